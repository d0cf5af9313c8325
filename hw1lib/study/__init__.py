"""The report's experiments: run, recorded, compared. ``study.record`` records them all."""

from hw1lib.study.comparisons import COMPARISONS, SAME, Comparison, compare, difference, verdict_table
from hw1lib.study.experiments import EXPERIMENTS, SIGMAS, TUNED, full_scale, limit_epochs, run
from hw1lib.study.linear import baselines, compare_normalizers
from hw1lib.study.published import PUBLISHED, SPLIT, TABLE_3_3, TABLES
from hw1lib.study.results import (
    AS_PUBLISHED,
    OVERLAP,
    accuracy_by_group,
    against_published,
    beside_published,
    families,
    fold_means,
    interval,
    mean_and_interval,
    mean_curve,
    network_noise,
    overview,
    paired,
    recorded,
    rmse_by_group,
    values,
    wilson,
)
from hw1lib.study.training import TARGETS, Experiment, effective_rank, split_and_rescale, train
