"""The report's experiments: run, recorded, compared. ``study.record`` records them all."""

from hw1lib.study.comparisons import COMPARISONS, SAME, Comparison, compare, difference, verdict_table
from hw1lib.study.experiments import EXPERIMENTS, SIGMAS, TUNED, full_scale, limit_epochs, run
from hw1lib.study.linear import baselines, compare_normalizers, normalizer_table
from hw1lib.study.published import OTHERS, PUBLISHED, SPLIT, TABLE_3_3, TABLES
from hw1lib.study.results import (
    AS_PUBLISHED,
    OVERLAP,
    accuracy_by_label,
    against_published,
    beside_baselines,
    beside_published,
    beside_recorded,
    counts,
    families,
    fold_means,
    interval,
    ladder,
    learning_curve,
    mean_and_interval,
    mean_curve,
    network_noise,
    overview,
    paired,
    recorded,
    rmse_by_group,
    rmse_by_label,
    training_ends,
    values,
    where_this_stands,
    wilson,
)
from hw1lib.study.training import TARGETS, Experiment, effective_rank, split_and_rescale, train
from hw1lib.study.tuning import within_one_error
