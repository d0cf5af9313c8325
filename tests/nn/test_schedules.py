"""Learning rates over the epochs: by hand and against PyTorch."""

import numpy as np
import pytest

from hw1lib.nn.schedules import Constant, ExponentialDecay, InverseTimeDecay, StepDecay, as_schedule


def test_schedules_by_hand():
    assert [Constant(0.3)(epoch) for epoch in (0, 7, 9999)] == [0.3] * 3
    halves = StepDecay(0.8, drop=0.5, every=10)
    assert [halves(epoch) for epoch in (39, 20, 19, 10, 9)] == [0.1, 0.2, 0.4, 0.4, 0.8]
    assert ExponentialDecay(2.0, decay=0.5)(3) == 0.25
    assert InverseTimeDecay(1.0, decay=0.5)(6) == 0.25


def test_schedules_are_pytorchs(torch):
    schedulers = torch.optim.lr_scheduler
    pairs = [
        (StepDecay(0.1, drop=0.3, every=7), lambda it: schedulers.StepLR(it, 7, gamma=0.3)),
        (ExponentialDecay(0.1, decay=0.9), lambda it: schedulers.ExponentialLR(it, gamma=0.9)),
    ]
    for ours, make in pairs:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        theirs = make(optimizer)
        for epoch in range(30):
            assert ours(epoch) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
            optimizer.step()
            theirs.step()


def test_numbers_become_schedules_that_compare_and_show_themselves():
    assert as_schedule(np.float32(0.25)) == as_schedule(0.25) == Constant(0.25)
    decay = StepDecay(np.float64(0.1), every=np.int64(3))
    assert repr(decay) == "StepDecay(rate=0.1, drop=0.5, every=3)"
    assert as_schedule(round) is round  # any function of the epoch


@pytest.mark.parametrize("bad", [StepDecay, [0.1, 0.01], None, "constant", 0, np.nan])
def test_bad_rates_are_refused(bad):
    with pytest.raises(ValueError, match=r"learning_rate, if no object .* finite number > 0, not"):
        as_schedule(bad)
    with pytest.raises(ValueError, match="every must be a finite number > 0"):
        StepDecay(0.1, every=bad)
