"""Networks and estimators leave as ONNX: onnxruntime predicts the same."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hw1lib import nn
from hw1lib.nn.estimators import NetworkClassifier, NetworkRegressor

pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def answers(path, X):
    return runtime.InferenceSession(path).run(None, {"X": X})


def flatter():
    f = nn.LeakyReLU()
    f.slope = 0.5
    return f


@pytest.mark.parametrize("activation", [*nn.ACTIVATIONS, flatter()])
def test_onnxruntime_predicts_the_same(tmp_path, network, batch, config, activation):
    net = network({**config, "activation": activation})
    path, X = net.to_onnx(tmp_path / "net.onnx"), batch(config, 9)[0].astype(np.float32)
    for rows in (X, X[:1]):
        (outputs,) = answers(path, rows)
        assert_allclose(outputs, net.outputs(rows), rtol=1e-4, atol=1e-5)


def test_estimators_take_their_scaling_along(tmp_path):
    X = np.random.default_rng(0).normal(5000, 2000, (80, 6)).astype(np.float32)
    y = 10 + X[:, 0] / 1000 - X[:, 1] / 500
    model = NetworkRegressor(epochs=30, random_state=0).fit(X, y)
    (result,) = answers(model.to_onnx(tmp_path / "model.onnx"), X)
    assert_allclose(result[:, 0], model.predict(X), rtol=1e-4, atol=1e-4)
    codes = np.digitize(y, [-2, 2])
    for labels in (codes * 7 - 3, np.array(["low", "middle", "high é"])[codes], codes > 0):
        model = NetworkClassifier(learning_rate=0.1, batch_size=20, random_state=0).fit(X, labels)
        outputs, result = answers(model.to_onnx(tmp_path / "model.onnx"), X)
        assert_allclose(outputs, model.predict_proba(X), rtol=1e-4, atol=1e-5)
        assert result.tolist() == model.predict(X).tolist()
        assert len(set(result.tolist())) > 1
    dates = np.datetime64("2024-01-01") + codes
    with pytest.raises(ValueError, match="classes must be numbers or texts for ONNX"):
        NetworkClassifier(epochs=1).fit(X, dates).to_onnx(tmp_path / "dates.onnx")


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch, network, configs):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        network(configs["age"]).to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
