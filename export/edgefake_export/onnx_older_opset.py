"""Graphs of opset 18 written for opset 13, which ONNX Runtime has read since 1.6 (December 2020) instead of 1.14."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["OLD_OPSET", "lower_opset"]

OLD_OPSET = 13

SAME = frozenset(
    (
        *("Add", "BatchNormalization", "CumSum", "Div", "GreaterOrEqual", "Identity", "LeakyRelu", "LessOrEqual"),
        *("Mul", "PRelu", "Pad", "Pow", "Relu", "Reshape", "Shape", "Sub", "Where"),
    )
)
"""Operators that only took more types, inputs or attributes between the two opsets."""

Constants = Mapping[str, NDArray[Any]]


def lower_opset(model: onnx.ModelProto) -> None:
    """Write a graph for `OLD_OPSET`, in place; one with an operator that is not to be had there stays as it is.

    Args:
        model: of opset 18 or older.
    """
    opset = next(entry for entry in model.opset_import if entry.domain == "")
    graph, version = model.graph, opset.version
    constants = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    if version <= OLD_OPSET or not all(_fits(node, version, constants) for node in graph.node):
        return
    axes = {node.input[1] for node in graph.node if _reduces(node, version) and len(node.input) > 1}
    for node in graph.node:
        _rewrite(node, version, constants)
    used = {name for node in graph.node for name in node.input}
    for weight in [weight for weight in graph.initializer if weight.name in axes - used]:
        graph.initializer.remove(weight)
    opset.version = OLD_OPSET


def _rewrite(node: onnx.NodeProto, version: int, constants: Constants) -> None:
    """Axes as an attribute, and none that `OLD_OPSET` does not know."""
    if node.domain:
        return
    if _reduces(node, version) and len(node.input) > 1:
        node.attribute.append(helper.make_attribute("axes", constants[node.input[1]].ravel().tolist()))
        del node.input[1:]
    known = onnx.defs.get_schema(node.op_type, OLD_OPSET).attributes
    for attribute in [attribute for attribute in node.attribute if attribute.name not in known]:
        node.attribute.remove(attribute)


def _fits(node: onnx.NodeProto, version: int, constants: Constants) -> bool:
    """Whether the node says nothing that cannot be said in `OLD_OPSET`."""
    if node.domain:
        return True
    try:
        old = onnx.defs.get_schema(node.op_type, OLD_OPSET)
    except onnx.defs.SchemaError:
        return False
    new = onnx.defs.get_schema(node.op_type, version)
    if new.since_version == old.since_version:
        return True
    if _reduces(node, version):
        axes_known = len(node.input) < 2 or node.input[1] in constants
        return axes_known and (len(node.input) > 1 or _says_nothing_new(node, old, new, constants))
    inputs_fit = len(node.input) <= old.max_input
    return node.op_type in SAME and inputs_fit and _says_nothing_new(node, old, new, constants)


def _reduces(node: onnx.NodeProto, version: int) -> bool:
    """Whether it is a reduction whose axes are an input now, and were an attribute."""
    return (
        node.op_type.startswith("Reduce")
        and "axes" in onnx.defs.get_schema(node.op_type, OLD_OPSET).attributes
        and "axes" not in onnx.defs.get_schema(node.op_type, version).attributes
    )


def _says_nothing_new(
    node: onnx.NodeProto, old: onnx.defs.OpSchema, new: onnx.defs.OpSchema, constants: Constants
) -> bool:
    """Whether all attributes that the old operator has not have their defaults."""
    for attribute in node.attribute:
        if attribute.name in old.attributes:
            continue
        if attribute.name == "allowzero":  # a 0 in a shape stands for 0 then, not for the size of the input
            if not np.all(constants.get(node.input[1], np.ones(1))):
                return False
        elif helper.get_attribute_value(attribute) != _default(new, attribute.name):
            return False
    return True


def _default(schema: onnx.defs.OpSchema, name: str) -> Any:
    """None where there is none."""
    default = schema.attributes[name].default_value
    return helper.get_attribute_value(default) if default.name else None
