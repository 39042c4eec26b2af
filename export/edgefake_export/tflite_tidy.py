"""What a runtime needs of a converter's TFLite file: few operators, names that tell, one signature, no more."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from edgefake_runtime import __version__
from edgefake_runtime.errors import UsageError
from edgefake_runtime.metadata import METADATA_KEY, ModelMetadata

from .tflite_flatbuffer import Model

__all__ = ["INPUT", "OUTPUT", "SIGNATURE", "constant_names", "merge_scales", "split_joins", "tidy"]

INPUT, OUTPUT = "image", "logits"
SIGNATURE = "serving_default"

MOST_JOINED = 5
"""Inputs of a CONCATENATION in XNNPACK."""


def constant_names(model: Model, module: nn.Module) -> dict[int, str]:
    """Names of the float constants that are a module's parameters or buffers, unchanged; the first of equal ones."""
    known: dict[bytes, str] = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.ndim:
            known.setdefault(tensor.detach().numpy().tobytes(), name)
    found = {}
    for index, tensor in enumerate(model.graph.tensors):
        values = model.floats(tensor)
        if values is not None and values.tobytes() in known:
            found[index] = known[values.tobytes()]
    return found


def _scaling(model: Model, operator: Any) -> tuple[int, int] | None:
    """Tensor and constant of x * constant; None for any other operator."""
    if model.kind_of(operator) != model.schema.BuiltinOperator.MUL:
        return None
    constants = [index for index in operator.inputs if model.floats(model.graph.tensors[index]) is not None]
    others = [index for index in operator.inputs if index not in constants]
    return (int(others[0]), int(constants[0])) if len(constants) == len(others) == 1 else None


def merge_scales(model: Model, names: dict[int, str]) -> None:
    """Turn x * a * b with constants a and b, such as a norm's gain and a layer's scale, into x * (a * b), in place.

    Args:
        model: changed in place.
        names: of constants; the product takes that of its first factor.
    """
    readers, outputs = model.readers(), {int(index) for index in model.graph.outputs}
    merged: list[Any] = []
    for first in model.graph.operators:
        middle = int(first.outputs[0])
        after = readers.get(middle, [])
        if len(after) != 1 or middle in outputs or _scaling(model, first) is None:
            continue
        if _scaling(model, after[0]) is not None and not first.builtinOptions.fusedActivationFunction:
            _merge(model, first, after[0], names)
            merged.append(first)
    model.graph.operators = [operator for operator in model.graph.operators if operator not in merged]


def _merge(model: Model, first: Any, second: Any, names: dict[int, str]) -> None:
    (x, a), (_, b) = (_scaling(model, operator) or (0, 0) for operator in (first, second))
    factors = [model.floats(model.graph.tensors[index]) for index in (a, b)]
    product = np.asarray(factors[0]) * np.asarray(factors[1])
    index = model.add_tensor("", product.shape, model.schema.TensorType.FLOAT32, product.tobytes())
    names[index] = names.get(a) or names.get(b, "")
    second.inputs = np.array([x, index], np.int32)


def split_joins(model: Model) -> None:
    """Let no CONCATENATION have more parts than XNNPACK takes, in place: those above go in groups."""
    operators = []
    for operator in model.graph.operators:
        if model.kind_of(operator) == model.schema.BuiltinOperator.CONCATENATION:
            operators += _grouped(model, operator)
        operators.append(operator)
    model.graph.operators = operators


def _grouped(model: Model, operator: Any) -> list[Any]:
    """Operators that join the first parts of one with too many, which takes their results."""
    tensors, added = model.graph.tensors, []
    while len(operator.inputs) > MOST_JOINED:
        parts, rest = operator.inputs[:MOST_JOINED], operator.inputs[MOST_JOINED:]
        shape = np.array(tensors[parts[0]].shape, np.int32)
        shape[operator.builtinOptions.axis] = sum(tensors[part].shape[operator.builtinOptions.axis] for part in parts)
        group, joined = copy.copy(operator), model.schema.TensorT()
        joined.shape, joined.type, joined.buffer = shape, tensors[parts[0]].type, 0
        group.inputs, group.outputs = parts, np.array([len(tensors)], np.int32)
        operator.inputs = np.array([len(tensors), *rest], np.int32)
        tensors.append(joined)
        added.append(group)
    return added


def _keep_used_tensors(model: Model, names: Mapping[int, str]) -> None:
    """Drop tensors that nothing takes or makes, and all that only people would read except some names."""
    graph = model.graph
    ends = [graph.inputs, graph.outputs, *(side for o in graph.operators for side in (o.inputs, o.outputs))]
    used = sorted({int(index) for side in ends for index in side} - {-1})
    moved = {old: new for new, old in enumerate(used)} | {-1: -1}
    for owner, attribute in [
        *((operator, attribute) for operator in graph.operators for attribute in ("inputs", "outputs")),
        (graph, "inputs"),
        (graph, "outputs"),
    ]:
        setattr(owner, attribute, np.array([moved[int(index)] for index in getattr(owner, attribute)], np.int32))
    for index in used:
        tensor = graph.tensors[index]
        tensor.name = names[index].encode() if names.get(index) else None
        tensor.shapeSignature, tensor.hasRank = None, False
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    graph.tensors = [graph.tensors[index] for index in used]


def _keep_used_buffers(model: Model) -> None:
    """One buffer a constant, after the empty one that stands for none."""
    root, empty = model.root, model.schema.BufferT()
    buffers = [empty]
    for graph in root.subgraphs:
        for tensor in graph.tensors:
            buffer = root.buffers[tensor.buffer]
            tensor.buffer = 0
            if buffer.data is not None and len(buffer.data):
                tensor.buffer = len(buffers)
                buffers.append(buffer)
    root.buffers = buffers


def _keep_used_codes(model: Model) -> None:
    operators = [operator for graph in model.root.subgraphs for operator in graph.operators]
    used = sorted({int(operator.opcodeIndex) for operator in operators})
    for operator in operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)
        operator.mutatingVariableInputs = operator.intermediates = None
    model.root.operatorCodes = [model.root.operatorCodes[index] for index in used]


def _sign(model: Model) -> None:
    """One signature, with the names that every file of ours has."""
    schema, graph = model.schema, model.graph
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    for side, name in (("inputs", INPUT), ("outputs", OUTPUT)):
        (index,) = getattr(graph, side)
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(index)
        setattr(signature, side, [entry])
        graph.tensors[index].name = name.encode()
    model.root.signatureDefs = [signature]


def _describe(model: Model, metadata: ModelMetadata | None) -> None:
    root, schema = model.root, model.schema
    root.description = f"edgefake {__version__}".encode()
    root.metadata = root.metadataBuffer = None
    if metadata is not None:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = METADATA_KEY.encode(), len(root.buffers)
        buffer.data = np.frombuffer(metadata.to_json().encode(), np.uint8)
        root.metadata = [entry]
        root.buffers.append(buffer)


def tidy(model: Model, names: Mapping[int, str], metadata: ModelMetadata | None) -> None:
    """Make a packed model ready to ship, in place.

    Args:
        model: with one input and one output.
        names: of constants; every other name is dropped.
        metadata: kept under `METADATA_KEY`; None for no entry.

    Raises:
        UsageError: another number of inputs or outputs.
    """
    ends = len(model.graph.inputs), len(model.graph.outputs)
    if ends != (1, 1):
        raise UsageError(f"expected a network with one input and one output, got {ends[0]} and {ends[1]}")
    _keep_used_tensors(model, names)
    _keep_used_buffers(model)
    _keep_used_codes(model)
    _sign(model)
    _describe(model, metadata)
