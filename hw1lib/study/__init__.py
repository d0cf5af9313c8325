"""The report's experiments: run, recorded, compared. ``study.record`` records them all."""

from hw1lib.study.experiments import EXPERIMENTS, full_scale, limit_epochs, run
from hw1lib.study.linear import baselines, compare_normalizers
from hw1lib.study.published import PUBLISHED, RANKINGS, SPLIT, TABLE_3_3, TABLES
from hw1lib.study.results import (
    AS_PUBLISHED,
    OVERLAP,
    accuracy_by_group,
    beside_published,
    interval,
    mean_and_interval,
    mean_curve,
    paired,
    ranking_intervals,
    ranking_verdicts,
    recorded,
    rmse_by_group,
    values,
    verdict,
    wilson,
)
from hw1lib.study.training import TARGETS, Experiment, split_and_rescale, train
