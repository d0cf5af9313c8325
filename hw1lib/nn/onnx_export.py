"""A network as an ONNX file, for other programs and languages (https://onnx.ai). Needs the package ``onnx``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw1lib.files import write_atomically
from hw1lib.nn.activations import Identity, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh

OPERATORS: dict[type, str] = {
    LeakyReLU: "LeakyRelu",
    ReLU: "Relu",
    Sigmoid: "Sigmoid",
    Tanh: "Tanh",
    Identity: "Identity",
    Softmax: "Softmax",  # over the last axis, the classes
}


def to_onnx(net, path, scale: float = 1.0, classes=None) -> Path:
    """Write a ``Network`` to ``path``, in float32: input ``X`` (n, layers[0]), output ``outputs`` (n, n_outputs).

    Parameters
    ----------
    net : Network
    path : path-like
    scale : float
        ``X`` is divided by it first.
    classes : ndarray, (n_outputs,), optional
        Whole numbers or texts: there is a second output ``labels`` (n,) then, the most probable class.

    Raises
    ------
    ImportError
        If ``onnx`` is not installed.
    ValueError
        If an activation has no operator in ONNX.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install onnx") from error

    nodes, constants = [], []

    def constant(name, values) -> str:
        if values.dtype == np.float32 and not (
            np.isfinite(values).all() and (name != "scale" or values > 0)
        ):
            raise ValueError(
                f"the file holds float32, for which {name} has numbers that are too large or too small"
            )
        constants.append(numpy_helper.from_array(np.array(values), name))
        return name

    def node(operator, inputs, output, **attributes) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    activations = [net.activation] * (len(net.weights) - 1) + [net.output_activation]
    a = node("Div", ["X", constant("scale", np.float32(scale))], "scaled")
    for i, (W, b, f) in enumerate(zip(net.weights, net.biases, activations, strict=True), start=1):
        if type(f) not in OPERATORS:
            known = ", ".join(kind.__name__ for kind in OPERATORS)
            raise ValueError(f"the activation {f!r} has no ONNX operator; these have: {known}")
        matrix, vector = (
            constant(f"W{i}", W.astype(np.float32)),
            constant(f"b{i}", b.astype(np.float32)),
        )
        z = node("Gemm", [a, matrix, vector], f"z{i}")  # z = a @ W + b
        attributes = {"alpha": f.slope} if isinstance(f, LeakyReLU) else {}
        a = node(
            OPERATORS[type(f)], [z], "outputs" if i == len(activations) else f"a{i}", **attributes
        )
    results = [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["n", net.n_outputs])]
    if classes is not None:
        names = np.array(np.asarray(classes).tolist())
        kind, names = (
            (TensorProto.STRING, names.astype(object)) if names.dtype.kind == "U" else (None, names)
        )
        constant("classes", names)
        best = node("ArgMax", ["outputs"], "best", axis=1, keepdims=0)
        node("Gather", ["classes", best], "labels")
        kind = kind or helper.np_dtype_to_tensor_dtype(names.dtype)
        results.append(helper.make_tensor_value_info("labels", kind, ["n"]))
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", net.input_shape[0]])]
    graph = helper.make_graph(nodes, "hw1lib network", inputs, results, constants)
    # an old operator set and file version, which every runtime of the last years reads
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return write_atomically(
        path, lambda temporary: temporary.write_bytes(model.SerializeToString())
    )
