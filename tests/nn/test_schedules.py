"""Learning rates over the epochs: by hand and against PyTorch."""

import numpy as np
import pytest

from hw1lib.nn.schedules import Constant, ExponentialDecay, InverseTimeDecay, StepDecay, as_schedule


def test_schedules_by_hand():
    assert [Constant(0.3)(epoch) for epoch in (0, 7, 9999)] == [0.3] * 3
    halves = StepDecay(0.8, drop=0.5, every=10)
    assert [halves(epoch) for epoch in (39, 20, 19, 10, 9, 0)] == [
        0.1,
        0.2,
        0.4,
        0.4,
        0.8,
        0.8,
    ]  # pure: in any order
    assert ExponentialDecay(2.0, decay=0.5)(3) == 0.25
    assert InverseTimeDecay(1.0, decay=0.5)(6) == 0.25
    assert [StepDecay(1.0)(epoch) for epoch in (49, 50)] == [1, 0.5]
    assert ExponentialDecay(1.0)(1) == 0.99
    assert InverseTimeDecay(1.0)(100) == 0.5


def test_schedules_are_pytorchs(torch):
    schedulers = torch.optim.lr_scheduler
    for ours, make in (
        (
            StepDecay(0.1, drop=0.3, every=7),
            lambda optimizer: schedulers.StepLR(optimizer, 7, gamma=0.3),
        ),
        (
            ExponentialDecay(0.1, decay=0.9),
            lambda optimizer: schedulers.ExponentialLR(optimizer, gamma=0.9),
        ),
    ):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        theirs = make(optimizer)
        for epoch in range(30):
            assert ours(epoch) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
            optimizer.step()
            theirs.step()


def test_numbers_become_schedules_that_compare_and_show_themselves():
    assert as_schedule(np.float32(0.25)) == as_schedule(0.25) == Constant(0.25)
    assert hash(StepDecay(0.1)) == hash(StepDecay(0.1, 0.5, 50))
    assert (
        repr(StepDecay(np.float64(0.1), every=np.int64(3)))
        == "StepDecay(rate=0.1, drop=0.5, every=3)"
    )
    assert as_schedule(round) is round  # any function of the epoch
    for bad in (StepDecay, [0.1, 0.01], None, "constant", 0, np.nan):
        with pytest.raises(
            ValueError,
            match=r"learning_rate, if no object such as .* must be a finite number > 0, not",
        ):
            as_schedule(bad)


def test_bad_schedules_are_refused():
    bad = [lambda rate=rate: Constant(rate) for rate in (0, -1, np.nan, np.inf, "fast", None, True)]
    bad += [
        lambda: StepDecay(1, drop=0),
        lambda: StepDecay(1, every=0),
        lambda: ExponentialDecay(1, decay=-1),
    ]
    for make, name in zip(bad, ["rate"] * 7 + ["drop", "every", "decay"], strict=True):
        with pytest.raises(ValueError, match=f"{name} must be a finite number > 0"):
            make()
