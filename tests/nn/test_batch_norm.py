"""What the network for three labels adds: batch norm, a sum of losses, shifts; against PyTorch."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hw1lib import nn

PARTS = (0.02, nn.L2(), 1), (1, nn.NLL(), 2), (1, nn.NLL(), 5)
JOINT = {
    "picture": [3, 8, 8],
    "filters": [4, 6],
    "hidden": [5],
    "outputs": 8,
    "batch_norm": True,
    "activation": "tanh",
    "output_activation": "identity",
    "loss": nn.WeightedSum(*PARTS),
}


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    y = [rng.normal(30, 10, 40), rng.integers(0, 2, 40), rng.integers(0, 5, 40)]
    return rng.normal(size=(40, 3, 8, 8)), np.stack(y, axis=1)


@pytest.mark.parametrize("shape", [(6, 4, 3, 5), (30, 4)])
def test_batch_norm_is_pytorchs(torch, shape):
    rng = np.random.default_rng(0)
    layer = nn.BatchNorm(4)
    for name in layer.shapes:
        setattr(layer, name, rng.uniform(0.5, 2, 4))
        setattr(layer, f"d{name}", np.zeros(4))
    theirs = (torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d)(4).double()
    names = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
    theirs.load_state_dict(
        {name: torch.tensor(getattr(layer, ours)) for name, ours in names.items()}, strict=False
    )
    for training in (True, True, False):
        theirs.train(training)
        A, delta = rng.normal(3, 2, (2, *shape))
        inputs = torch.tensor(A, requires_grad=True)
        theirs.zero_grad()
        outputs = theirs(inputs)
        outputs.backward(torch.tensor(delta))
        ours, backward = layer.forward(A, training)
        assert_allclose(ours, outputs.detach(), atol=1e-12)
        assert_allclose(backward(delta), inputs.grad, atol=1e-12)
        assert_allclose(layer.dgamma, theirs.weight.grad, atol=1e-12)
        assert_allclose(layer.dbeta, theirs.bias.grad, atol=1e-12)
    for name, ours in names.items():
        assert_allclose(getattr(layer, ours), theirs.state_dict()[name], atol=1e-12)


def test_gradients_are_those_of_the_loss(faces, network):
    X, y = faces
    net = network(JOINT)
    net.parameters += np.random.default_rng(1).normal(0, 0.1, net.parameters.size)
    assert nn.gradcheck(net, X[:7], y[:7], weight_decay=0.1) < 1e-6


def test_asking_changes_nothing_and_a_row_is_told_alone(faces, network, fit):
    X, y = faces
    net = fit(network(JOINT), X, y)
    before = net.parameters.copy()
    alone = np.concatenate([net.outputs(X[i : i + 1]) for i in range(4)])
    assert_allclose(alone, net.outputs(X)[:4], rtol=1e-9)
    assert_array_equal(net.parameters, before)


def test_running_means_are_kept_with_the_weights(faces, network, fit, tmp_path):
    X, _ = faces
    net = fit(network({**JOINT, "loss": "l2"}), X, np.ones((40, 8)), epochs=3)
    assert net.layers[2].variance.std() > 0  # they moved
    for twin in (copy.deepcopy(net), nn.Network.load(net.save(tmp_path / "net.npz"))):
        assert_array_equal(twin.outputs(X), net.outputs(X))
    with_onnx = pytest.importorskip("onnx.reference").ReferenceEvaluator
    session = with_onnx(str(net.to_onnx(tmp_path / "net.onnx")))
    told = session.run(["outputs"], {"X": X.astype(np.float32)})[0]
    assert_allclose(told, net.outputs(X), atol=1e-4)


def test_batch_norm_decays_nothing_of_its_own(faces, network):
    net = network(JOINT)
    decayed = net._decays.astype(bool)
    assert decayed.sum() == sum(W.size for W in net.weights)


def test_a_weighted_sum_is_the_sum_of_its_losses(faces, torch):
    _, y = faces
    loss, o = nn.WeightedSum(*PARTS), np.random.default_rng(2).normal(size=(40, 8))
    t = loss.encode(y, 8)
    outputs, labels = torch.tensor(o, requires_grad=True), torch.tensor(y)
    entropy = torch.nn.functional.cross_entropy
    theirs = 0.01 * ((outputs[:, 0] - labels[:, 0]) ** 2).mean()
    theirs = theirs + entropy(outputs[:, 1:3], labels[:, 1].long())
    theirs = theirs + entropy(outputs[:, 3:], labels[:, 2].long())
    theirs.backward()
    assert loss.value(o, t) == pytest.approx(theirs.item())
    assert_allclose(loss.gradient(o, t), outputs.grad, atol=1e-12)
    assert loss.score(o, t) == pytest.approx(np.sqrt(np.mean((o[:, 0] - y[:, 0]) ** 2)))
    told = np.stack([o[:, 0], o[:, 1:3].argmax(1), o[:, 3:].argmax(1)], axis=1)
    assert_array_equal(loss.predict(o), told)
    with pytest.raises(ValueError, match=r"y must have shape \(40, 3\)"):
        loss.encode(y[:, :2], 8)


def test_shifts_are_of_at_most_one_cell_and_the_border_is_repeated():
    pictures = np.arange(200 * 3 * 5 * 4, dtype=np.uint16).reshape(200, 3, 5, 4)
    shifted = nn.random_shift(pictures, np.random.default_rng(0))
    rows, columns = np.arange(5), np.arange(4)
    seen = set()
    for before, after in zip(pictures, shifted, strict=True):
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                moved = before[:, (rows + down).clip(0, 4)][:, :, (columns + across).clip(0, 3)]
                if np.array_equal(moved, after):
                    seen.add((down, across))
                    break
            else:
                continue
            break
        else:
            pytest.fail("a picture was moved by more than a cell")
    assert len(seen) == 9
