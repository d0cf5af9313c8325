"""The report's experiments: run, recorded, compared. ``study.record`` records them all."""

from hw1lib.study.answers import check
from hw1lib.study.comparisons import (
    COMPARISONS,
    SAME,
    Comparison,
    by_label,
    compare,
    difference,
    errors_by_group,
    errors_by_label,
    interval,
    own_noise,
    paired,
    same_settings,
    verdict_table,
    wilson,
)
from hw1lib.study.experiment import TARGETS, Experiment
from hw1lib.study.experiments import (
    CONV_TUNED,
    EXPERIMENTS,
    RECONSTRUCTED,
    TUNED,
    full_scale,
    limit_epochs,
)
from hw1lib.study.published import OTHERS, PUBLISHED, SAME_RUN, SPLIT, TABLE_3_3, TABLES
from hw1lib.study.runs import face_errors, fold_means, mean_curve, recorded, run
from hw1lib.study.simple_models import baselines, compare_normalizers, normalizer_table
from hw1lib.study.tables import (
    mean_and_interval,
    model_comparison,
    published_table,
    recorded_table,
    where_this_stands,
)
from hw1lib.study.training import participation_ratio, train
from hw1lib.study.tuning import tuning_noise
