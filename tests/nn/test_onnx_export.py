"""Networks leave as ONNX: onnxruntime predicts the same."""

import sys

import numpy as np
import pytest

from hw1lib.nn.activations import ACTIVATIONS
from hw1lib.nn.initializers import Xavier
from hw1lib.nn.network import Network


def network(activation="leaky_relu", output="identity", loss="l2", outputs=1, dtype=np.float32):
    config = {"layers": [6, 5, 4, outputs], "activation": activation, "output_activation": output, "loss": loss}
    net = Network(config, Xavier(), seed=0, dtype=dtype)
    for b in net.biases:
        b[...] = np.random.default_rng(1).standard_normal(b.shape)
    return net


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("output", "loss", "outputs"), [("identity", "l2", 1), ("softmax", "nll", 5)])
def test_onnxruntime_predicts_the_same(tmp_path, activation, output, loss, outputs, dtype):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net = network(activation, output, loss, outputs, dtype)
    session = runtime.InferenceSession(net.to_onnx(tmp_path / "net.onnx"))
    X = np.random.default_rng(2).standard_normal((9, 6)).astype(dtype)
    found = session.run(None, {"X": X})[0]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, net.forward(X), atol=1e-5)
    assert session.get_inputs()[0].shape == ["n", 6]  # any number of rows


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        network().to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
