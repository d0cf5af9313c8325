"""The network's parts on their own: activations, losses, initialisers, schedules."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from hw1lib.nn.activations import ACTIVATIONS, Activation
from hw1lib.nn.initializers import INITIALIZERS, He, Random, Xavier, Zero
from hw1lib.nn.losses import LOSSES, one_hot
from hw1lib.nn.schedules import SCHEDULES, Constant, ExponentialDecay, InverseTimeDecay, StepDecay

ELEMENTWISE = [name for name in ACTIVATIONS if name != "softmax"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# -- activations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("leaky_relu", lambda z: np.where(z > 0, z, 0.01 * z)),
        ("relu", lambda z: np.where(z > 0, z, 0)),
        ("sigmoid", special.expit),
        ("tanh", lambda z: np.sinh(z) / np.cosh(z)),
        ("identity", lambda z: z),
        ("softmax", lambda z: special.softmax(z, axis=1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_the_functions_that_they_are_called(name, reference, dtype, rng):
    z = rng.normal(0, 3, (50, 4)).astype(dtype)
    before = z.copy()
    a = ACTIVATIONS[name](z)
    assert a.dtype == dtype
    np.testing.assert_allclose(a, reference(z.astype(float)), rtol=1e-5 if dtype == np.float32 else 1e-12)
    out = np.full_like(z, np.nan)
    assert ACTIVATIONS[name](z, out=out) is out
    np.testing.assert_array_equal(out, a)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_agree_with_pytorch(name, rng):
    torch = pytest.importorskip("torch")
    theirs = {
        "leaky_relu": torch.nn.LeakyReLU(0.01),
        "relu": torch.nn.ReLU(),
        "sigmoid": torch.nn.Sigmoid(),
        "tanh": torch.nn.Tanh(),
        "identity": torch.nn.Identity(),
        "softmax": torch.nn.Softmax(dim=1),
    }[name]
    z = rng.normal(0, 2, (20, 5))
    z[0, 0] = 0  # the kink of the ReLUs
    grad = rng.normal(size=z.shape)
    leaf = torch.tensor(z, requires_grad=True)
    output = theirs(leaf)
    output.backward(torch.tensor(grad))
    a = ACTIVATIONS[name](z)
    np.testing.assert_allclose(a, output.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(ACTIVATIONS[name].backward(grad, a), leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivatives_are_those_of_the_functions(name, rng):
    f = ACTIVATIONS[name]
    z = rng.uniform(-4, 4, (30, 7))
    z = z[np.abs(z).min(axis=1) > 1e-3]  # away from the kink
    slopes = (f(z + 1e-6) - f(z - 1e-6)) / 2e-6
    np.testing.assert_allclose(f.derivative(f(z)), slopes, atol=1e-8)
    np.testing.assert_allclose(f.backward(z, f(z)), z * slopes, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_leaves_the_function_and_its_derivative(name, dtype, rng):
    f = ACTIVATIONS[name]
    z = np.concatenate([rng.normal(0, 3, (40, 3)), np.zeros((1, 3)), np.full((1, 3), -0.0)]).astype(dtype)
    grad = rng.normal(size=z.shape).astype(dtype)
    wide = np.full((42, 4), 7, dtype)
    a, prime = wide[:, :3], np.full_like(z, np.nan)  # the network's outputs share rows with a column of ones
    f.forward(z, a, prime)
    np.testing.assert_array_equal(a, f(z))
    assert (wide[:, 3] == 7).all()
    np.testing.assert_array_equal(f.backward(grad, a, prime), f.backward(grad, f(z)))
    if name in ELEMENTWISE:
        np.testing.assert_array_equal(prime, f.derivative(f(z)))


def test_derivatives_at_the_kink_are_those_on_the_left():
    zeros = np.array([0.0, -0.0])
    assert (ACTIVATIONS["leaky_relu"].derivative(zeros) == 0.01).all()
    assert (ACTIVATIONS["relu"].derivative(zeros) == 0).all()
    for dtype in (np.float32, np.float64):  # 1 and the slope exactly, not nearly
        slopes = ACTIVATIONS["leaky_relu"].derivative(np.array([-3, 3], dtype))
        assert slopes.tolist() == [dtype(0.01), 1]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_whole_numbers_have_fractions_for_derivatives(name):
    whole = np.array([-2, 0, 3])
    np.testing.assert_allclose(ACTIVATIONS[name].derivative(whole), ACTIVATIONS[name].derivative(whole.astype(float)))


def test_softmax_multiplies_by_its_jacobian(rng):
    z, grad = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    a = ACTIVATIONS["softmax"](z)
    jacobians = [np.diag(row) - np.outer(row, row) for row in a]
    expected = np.stack([J @ g for J, g in zip(jacobians, grad, strict=True)])
    np.testing.assert_allclose(ACTIVATIONS["softmax"].backward(grad, a), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_sigmoid_of_huge_sums_are_exact(dtype):
    with np.errstate(all="raise", under="ignore"):
        z = np.array([[1000, -1000, 0], [-1000, -1000, -1000], [1000, 1000, 999]], dtype)
        a = ACTIVATIONS["softmax"](z)
        e = math.e
        np.testing.assert_allclose(a, [[1, 0, 0], [1 / 3] * 3, np.array([e, e, 1]) / (2 * e + 1)], rtol=1e-6)
        assert ACTIVATIONS["sigmoid"](np.array([-1e4, 0, 1e4], dtype)).tolist() == [0, 0.5, 1]


def test_softmax_takes_a_single_row():
    np.testing.assert_allclose(ACTIVATIONS["softmax"](np.array([0.0, math.log(3)])), [0.25, 0.75])


def test_the_names_of_parts_are_their_reprs():
    assert repr(ACTIVATIONS["leaky_relu"]) == "LeakyReLU()"
    assert [repr(loss) for loss in LOSSES.values()] == ["L2()", "NLL()", "Logistic()"]
    with pytest.raises(NotImplementedError):
        Activation()(np.zeros(2))


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 3])
def test_l2_is_half_the_squared_error_averaged_over_rows_and_summed_over_outputs(outputs, rng):
    z, t = rng.normal(0, 5, (40, outputs)), rng.normal(0, 5, (40, outputs))
    for f in (ACTIVATIONS["leaky_relu"], ACTIVATIONS["identity"]):
        loss, rmse = LOSSES["l2"].evaluate(z, t, f)
        mse = metrics.mean_squared_error(t, f(z))  # averaged over the outputs as well
        assert loss == pytest.approx(outputs * mse / 2, rel=1e-12)
        assert rmse == pytest.approx(mse**0.5, rel=1e-12)
        assert rmse == pytest.approx((2 * loss / outputs) ** 0.5, rel=1e-12)  # the report's "almost half"


@pytest.mark.parametrize("scale", [1, 1000])
def test_nll_is_scikit_learns_log_loss_at_any_scale(scale, rng):
    z, labels = rng.normal(0, scale, (60, 5)), rng.integers(0, 5, 60)
    with np.errstate(all="raise", under="ignore"):
        loss, accuracy = LOSSES["nll"].evaluate(z, one_hot(labels, 5), None)
    assert loss == pytest.approx(-special.log_softmax(z, axis=1)[np.arange(60), labels].mean(), rel=1e-12)
    assert accuracy == metrics.accuracy_score(labels, z.argmax(axis=1))
    if scale == 1:
        assert loss == pytest.approx(metrics.log_loss(labels, special.softmax(z, axis=1), labels=range(5)), rel=1e-9)


def test_nll_counts_the_first_of_equal_outputs_as_the_prediction():
    z = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 2], [1, 2, 2]], np.float32)
    assert LOSSES["nll"].evaluate(z, one_hot([0, 1, 1, 2], 3), None)[1] == 0.5
    assert LOSSES["nll"].predict(z).tolist() == [0, 0, 1, 1]


def test_nll_takes_shares_of_classes(rng):
    z, shares = rng.normal(size=(30, 4)), rng.dirichlet(np.ones(4), 30)
    encoded = LOSSES["nll"].encode(shares, 4)
    expected = -(shares * special.log_softmax(z, axis=1)).sum(axis=1).mean()
    assert LOSSES["nll"].evaluate(z, encoded, None)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_logistic_loss_is_scikit_learns_log_loss(outputs, rng):
    z, t = rng.normal(0, 2, (50, outputs)), rng.integers(0, 2, (50, outputs))
    loss, accuracy = LOSSES["logistic"].evaluate(z, t.astype(float), None)
    each = [metrics.log_loss(t[:, j], special.expit(z[:, j]), labels=[0, 1]) for j in range(outputs)]
    assert loss == pytest.approx(sum(each), rel=1e-9)
    assert accuracy == np.mean((z > 0) == t)
    predicted = LOSSES["logistic"].predict(special.expit(z))
    np.testing.assert_array_equal(predicted, (z > 0)[:, 0] if outputs == 1 else z > 0)


def test_the_logistic_loss_of_huge_sums_is_exact():
    z, t = np.array([[1000.0], [-1000], [1000], [-1000]]), np.array([[1.0], [0], [0], [1]])
    with np.errstate(all="raise", under="ignore"):
        assert LOSSES["logistic"].evaluate(z, t, None) == (500, 0.5)


def test_an_even_chance_is_counted_as_it_is_predicted():
    z = np.zeros((4, 1))
    assert LOSSES["logistic"].predict(special.expit(z)).tolist() == [0, 0, 0, 0]
    assert LOSSES["logistic"].evaluate(z, np.array([[0.0], [0], [0], [1]]), None)[1] == 0.75


def test_losses_name_their_metric():
    assert {name: loss.metric for name, loss in LOSSES.items()} == {
        "l2": "rmse", "nll": "accuracy", "logistic": "accuracy",
    }  # fmt: skip


def test_predictions_of_l2_are_values():
    a = np.array([[1.5], [2.5]])
    assert LOSSES["l2"].predict(a).tolist() == [1.5, 2.5]
    assert LOSSES["l2"].predict(np.hstack([a, a])).shape == (2, 2)
    LOSSES["l2"].predict(a)[0] = 9
    assert a[0, 0] == 1.5


def test_one_hot():
    assert one_hot([2, 0, 1], 3).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert one_hot(np.array([1.0, 0.0]), 2).tolist() == one_hot([True, False], 2).tolist() == [[0, 1], [1, 0]]
    assert one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize("labels", [[0, 5], [-1, 0], [0.5, 1], [np.nan, 1], [np.inf, 1], [2**40, 1]])
def test_labels_out_of_range_are_refused(labels):
    for encode in (one_hot, LOSSES["nll"].encode):
        with pytest.raises(ValueError, match="whole numbers from 0 to 4, one of 5 classes"):
            encode(labels, 5)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("l2", [[1, 2]], r"y must have shape \(n, 3\), not \(1, 2\)"),
        ("l2", [1, 2], r"y must have shape \(n, 3\), not \(2, 1\)"),
        ("l2", np.zeros((2, 3, 1)), "y must have shape"),
        ("l2", 5.0, "y must have shape"),
        ("l2", [[1, 2, np.nan]], "y must be finite"),
        ("l2", [["a", "b", "c"]], "y must hold real numbers, not <U1"),
        ("l2", [[1, 2, 3j]], "y must hold real numbers, not complex128"),
        ("l2", [[1, 2], [3]], "y must be an array, with rows of equal length"),
        ("l2", [[1, 2, None]], "y must hold real numbers, not object"),
        ("nll", ["0", "1"], "y must hold real numbers"),
        ("nll", [[1, 1, 0]], "one-hot rows"),
        ("nll", [[2, -1, 0]], "one-hot rows"),
        ("nll", np.zeros((2, 3, 3)), "y must have shape"),
        ("logistic", [[0, 1, 2]], "y must lie between 0 and 1"),
        ("logistic", [[0, 1, -0.1]], "y must lie between 0 and 1"),
    ],
)
def test_bad_targets_are_named(loss, y, message):
    with pytest.raises(ValueError, match=message):
        LOSSES[loss].encode(y, 3)


# -- initialisers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initializer", "std"),
    [(Random(0.1), 0.1), (Random(2), 2), (Xavier(), (2 / 1000) ** 0.5), (He(), (2 / 300) ** 0.5), (Zero(), 0)],
)
def test_weights_are_normal_with_the_width_of_the_paper(initializer, std):
    W = initializer(300, 700, np.random.default_rng(0))
    assert W.shape == (300, 700)
    assert W.std() == pytest.approx(std, rel=0.01)
    assert abs(W.mean()) <= 0.01 * std
    if std:
        kurtosis = np.mean((W / std) ** 4)
        assert kurtosis == pytest.approx(3, rel=0.03)  # a uniform distribution has 1.8


def test_the_reports_random_is_a_tenth_wide():
    assert Random() == INITIALIZERS["random"]() == Random(0.1)
    assert not Random(0)(3, 2, np.random.default_rng(0)).any()


def test_weights_are_as_wide_as_pytorchs():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    for ours, theirs in ((Xavier(), torch.nn.init.xavier_normal_), (He(), torch.nn.init.kaiming_normal_)):
        W = theirs(torch.empty(700, 300))  # (fan_out, fan_in) there
        assert float(W.std()) == pytest.approx(ours.std(300, 700), rel=0.01)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_draw_from_the_generator_alone(name):
    initializer = INITIALIZERS[name]()
    one, two = (initializer(5, 4, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    rng = np.random.default_rng(3)
    first, second = initializer(5, 4, rng), initializer(5, 4, rng)
    np.testing.assert_array_equal(first, one)
    assert name == "zero" or (first != second).any()
    assert initializer == INITIALIZERS[name]()  # equal, so that experiments compare
    assert hash(initializer) == hash(INITIALIZERS[name]())


@pytest.mark.parametrize("sigma", [-0.1, np.nan, np.inf, "0.1", None])
def test_bad_widths_are_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be a finite number >= 0"):
        Random(sigma)


# -- schedules --------------------------------------------------------------------------------------------------------


def test_schedules_by_hand():
    assert [Constant(0.3)(epoch) for epoch in (0, 7, 9999)] == [0.3] * 3
    assert [StepDecay(0.8, drop=0.5, every=10)(epoch) for epoch in (0, 9, 10, 19, 20, 39)] == [
        0.8, 0.8, 0.4, 0.4, 0.2, 0.1
    ]  # fmt: skip
    assert ExponentialDecay(2.0, decay=0.5)(3) == 0.25
    assert InverseTimeDecay(1.0, decay=0.5)(6) == 0.25
    assert [StepDecay(1.0)(epoch) for epoch in (49, 50)] == [1, 0.5]
    assert ExponentialDecay(1.0)(1) == 0.99
    assert InverseTimeDecay(1.0)(100) == 0.5


def test_schedules_are_pytorchs():
    torch = pytest.importorskip("torch")
    schedulers = torch.optim.lr_scheduler
    for ours, make in (
        (StepDecay(0.1, drop=0.3, every=7), lambda optimizer: schedulers.StepLR(optimizer, 7, gamma=0.3)),
        (ExponentialDecay(0.1, decay=0.9), lambda optimizer: schedulers.ExponentialLR(optimizer, gamma=0.9)),
    ):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        theirs = make(optimizer)
        for epoch in range(30):
            assert ours(epoch) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
            optimizer.step()
            theirs.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_pure(name):
    schedule = SCHEDULES[name](0.1)
    forwards = [schedule(epoch) for epoch in range(100)]
    assert forwards == [schedule(epoch) for epoch in reversed(range(100))][::-1]
    assert forwards[0] == 0.1
    assert all(later <= earlier for earlier, later in pairwise(forwards))
    assert name == "constant" or forwards[-1] < 0.1
    assert schedule == SCHEDULES[name](0.1)
    assert hash(schedule) == hash(SCHEDULES[name](0.1))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Constant(0), "rate"),
        (lambda: Constant(-1), "rate"),
        (lambda: Constant(np.nan), "rate"),
        (lambda: Constant(np.inf), "rate"),
        (lambda: Constant("fast"), "rate"),
        (lambda: Constant(None), "rate"),
        (lambda: StepDecay(0.1, drop=0), "drop"),
        (lambda: StepDecay(0.1, every=0), "every"),
        (lambda: ExponentialDecay(0.1, decay=-1), "decay"),
        (lambda: InverseTimeDecay(0.1, decay=np.nan), "decay"),
    ],
)
def test_bad_schedules_are_refused(make, name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number > 0"):
        make()
