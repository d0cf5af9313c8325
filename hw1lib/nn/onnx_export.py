"""A network as an ONNX file, for other programs and languages (https://onnx.ai). Needs the package ``onnx``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw1lib.files import write_atomically
from hw1lib.nn.activations import LeakyReLU

# names in ACTIVATIONS -> ONNX operator and its attributes
OPERATORS: dict[str, tuple[str, dict]] = {
    "leaky_relu": ("LeakyRelu", {"alpha": LeakyReLU.slope}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "identity": ("Identity", {}),
    "softmax": ("Softmax", {"axis": 1}),
}


def to_onnx(net, path) -> Path:
    """Write a ``Network`` to ``path``: input ``X`` (n, layers[0]), output ``outputs`` (n, k) as of ``net.forward``.

    Raises
    ------
    ImportError
        If ``onnx`` is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install onnx") from error

    dtype = TensorProto.FLOAT if net.dtype == np.float32 else TensorProto.DOUBLE
    names = [net.config["activation"]] * (len(net.weights) - 1) + [net.config["output_activation"]]
    nodes, constants, a = [], [], "X"
    for i, (W, b, name) in enumerate(zip(net.weights, net.biases, names, strict=True), start=1):
        constants += [numpy_helper.from_array(W.copy(), f"W{i}"), numpy_helper.from_array(b.copy(), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [a, f"W{i}", f"b{i}"], [f"z{i}"]))  # z = a @ W + b
        operator, attributes = OPERATORS[name]
        a = "outputs" if i == len(names) else f"a{i}"
        nodes.append(helper.make_node(operator, [f"z{i}"], [a], **attributes))
    graph = helper.make_graph(
        nodes,
        "hw1lib network",
        [helper.make_tensor_value_info("X", dtype, ["n", net.layers[0]])],
        [helper.make_tensor_value_info("outputs", dtype, ["n", net.layers[-1]])],
        constants,
    )
    # an old operator set and file version, which every runtime of the last years reads
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return write_atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))
