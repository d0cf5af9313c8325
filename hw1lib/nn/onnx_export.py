"""A network as an ONNX file, for other programs and languages (https://onnx.ai).

Needs the package ``onnx``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw1lib.files import write_atomically
from hw1lib.nn.activations import Identity, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from hw1lib.nn.layers import Apply, BatchNorm, Conv, Dense, Flatten, MaxPool

OPERATORS: dict[type, str] = {
    LeakyReLU: "LeakyRelu",
    ReLU: "Relu",
    Sigmoid: "Sigmoid",
    Tanh: "Tanh",
    Identity: "Identity",
    Softmax: "Softmax",  # over the last axis, the classes
    Dense: "Gemm",
    Conv: "Conv",
    MaxPool: "MaxPool",
    Flatten: "Flatten",
    BatchNorm: "BatchNormalization",  # with running means, and the same eps
}


def to_onnx(net, path, classes=None) -> Path:
    """Write a network in float32: input ``X`` (n, ...), output ``outputs`` (n, n_outputs).

    Parameters
    ----------
    net : Network
        Pictures go in as floats: bytes must be brought to x / 255 - 1/2 before.
    path : path-like
    classes : ndarray, (n_outputs,), optional
        Numbers or texts: there is a second output ``labels`` (n,) then, the most probable class.

    Raises
    ------
    ImportError
        If ``onnx`` is not installed.
    ValueError
        If an activation or a layer has no operator in ONNX, or classes are dates.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install onnx") from error
    nodes, constants = [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(values, name))
        return name

    def node(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    A = node("Div", ["X", constant("scale", net.input_scale.astype(np.float32))], "scaled")
    for i, layer in enumerate([*net.layers, Apply(net.output_activation)], start=1):
        step = layer.activation if isinstance(layer, Apply) else layer
        if type(step) not in OPERATORS:
            known = ", ".join(kind.__name__ for kind in OPERATORS)
            raise ValueError(f"{step!r} has no ONNX operator; these have: {known}")
        inputs = [A]
        for name in layer.shapes:
            inputs.append(constant(f"{name}{i}", getattr(layer, name).astype(np.float32)))
        attributes: dict = {}
        if isinstance(step, LeakyReLU):
            attributes = {"alpha": step.slope}
        elif isinstance(step, Conv):
            attributes = {"pads": [1, 1, 1, 1]}
        elif isinstance(step, MaxPool):
            attributes = {"kernel_shape": [2, 2], "strides": [2, 2]}
        output = f"A{i}" if i <= len(net.layers) else "outputs"
        A = node(OPERATORS[type(step)], inputs, output, **attributes)
    results = [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["n", net.n_outputs])]
    if classes is not None:
        names = np.array(np.asarray(classes).tolist())  # of Python's numbers and texts
        if names.dtype.kind not in "biufU":
            raise ValueError(f"classes must be numbers or texts for ONNX, not {classes}")
        is_text = names.dtype.kind == "U"
        kind = TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(names.dtype)
        constant("classes", names.astype(object) if is_text else names)
        best = node("ArgMax", ["outputs"], "best", axis=1, keepdims=0)
        node("Gather", ["classes", best], "labels")
        results.append(helper.make_tensor_value_info("labels", kind, ["n"]))
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", *net.input_shape])]
    graph = helper.make_graph(nodes, "hw1lib network", inputs, results, constants)
    # an old operator set and file version, which every runtime of the last years reads
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    checker.check_model(model)
    content = model.SerializeToString()
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))
