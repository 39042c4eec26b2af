"""An exported graph made ready to ship: weights at their bits, short names, no trace of the machine."""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxslim
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgefake_runtime import __version__
from edgefake_runtime.metadata import METADATA_KEY, ModelMetadata

from .bits import pack_levels, unpack_levels
from .onnx_older_opset import lower_opset
from .onnx_ops import DOMAIN, STORED_WEIGHT
from .onnx_tidy import separate_sums, share_zero_points
from .silence import quiet_export

__all__ = ["finish", "halve_weights", "pack_weights"]

TYPES = {2: TensorProto.INT2, 4: TensorProto.INT4, 8: TensorProto.INT8}
OPSETS = {2: 25, 4: 21}
"""First ones with such tensors; later versions of torch's operators take more types."""

LEVELS = re.compile(r"(?:^|\.)levels([248])$")
OWN = "edgefake"
"""What names of values begin with that several weights share, beside those of the network."""

SCOPES = "pkg.torch.onnx.name_scopes"

FOLD_TO = 4096
"""Bytes: constants that are computed when a file is loaded are not stored, where they would be larger."""

HALF_FROM = 1024
"""Fewest weights that are worth two more operators in the graph for half their bytes."""

Levels = NDArray[np.int8]


def _levels_of(graph: onnx.GraphProto) -> Iterator[tuple[TensorProto, int]]:
    """Initializers that hold levels, and the bits of one."""
    for weight in list(graph.initializer):
        found = LEVELS.search(weight.name)
        if found:
            yield weight, int(found[1])


def _cast(name: str, to: int, *, out: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [out], f"{out}/Cast", to=to)


def _packed(weight: TensorProto, bits: int) -> TensorProto:
    raw = pack_levels(numpy_helper.to_array(weight), bits)
    packed = TensorProto(data_type=TYPES[bits], name=weight.name, raw_data=raw)
    packed.dims.extend(weight.dims)
    return packed


def _unpacking(weight: TensorProto, bits: int, out: str) -> tuple[list[TensorProto], list[onnx.NodeProto]]:
    """Bytes of several levels each, and a table of what is in a byte, looked up once, when the file is loaded."""
    per, shape = 8 // bits, tuple(weight.dims)
    count = math.prod(shape)
    raw = pack_levels(numpy_helper.to_array(weight), bits)
    table, name = f"{OWN}/levels{bits}", weight.name
    every = np.stack([unpack_levels(bytes([byte]), bits, (per,)) for byte in range(256)])  # (256, levels in a byte)
    constants: dict[str, NDArray[Any]] = {
        name: np.frombuffer(raw, np.uint8),
        table: every,
        f"{name}/shape": np.array(shape, np.int64),
    }
    nodes = [_cast(name, TensorProto.INT32, out=f"{name}/index")]
    nodes.append(helper.make_node("Gather", [table, f"{name}/index"], [f"{name}/rows"], f"{name}/rows/Gather"))
    rows = f"{name}/rows"
    if count % per:
        constants |= {f"{OWN}/flat": np.array([-1]), f"{OWN}/start": np.array([0]), f"{name}/count": np.array([count])}
        nodes.append(helper.make_node("Reshape", [rows, f"{OWN}/flat"], [f"{name}/flat"], f"{name}/flat/Reshape"))
        rows = f"{name}/whole"
        cut = [f"{name}/flat", f"{OWN}/start", f"{name}/count"]
        nodes.append(helper.make_node("Slice", cut, [rows], f"{rows}/Slice"))
    nodes.append(helper.make_node("Reshape", [rows, f"{name}/shape"], [out], f"{out}/Reshape"))
    return [numpy_helper.from_array(value, key) for key, value in constants.items()], nodes


def pack_weights(model: onnx.ModelProto, *, types: bool, older_runtimes: bool = False) -> None:
    """Store int8 initializers called `levels2` and `levels4` in so many bits, in place.

    ONNX Runtime unpacks them when it loads the file, so that products run on its int8 kernels. INT4 is a type of the
    opset that torch writes; INT2 asks for opset 25, at which ONNX Runtime (up to 1.32) takes Attention apart.

    Args:
        model: of an opset that torch writes; raised to the first that has the types that are used.
        types: write INT2 too, for compilers; bytes and a table of what each stands for otherwise.
        older_runtimes: bytes at 4 bits too, for runtimes without INT4.
    """
    graph, opset = model.graph, next(entry for entry in model.opset_import if entry.domain == "")
    nodes: list[onnx.NodeProto] = []
    known: set[str] = set()
    for weight, bits in _levels_of(graph):
        if bits == 8:
            continue
        wide = f"{weight.name}/int8"
        as_type = types or (bits == 4 and not older_runtimes)
        tensors, unpacking = (
            ([_packed(weight, bits)], [_cast(weight.name, TensorProto.INT8, out=wide)])
            if as_type
            else _unpacking(weight, bits, wide)
        )
        _rename_uses(graph, weight.name, wide)
        graph.initializer.remove(weight)
        graph.initializer.extend(tensor for tensor in tensors if tensor.name not in known)
        known |= {tensor.name for tensor in tensors}
        nodes += unpacking
        if as_type:
            opset.version = max(opset.version, OPSETS[bits])
    _prepend(graph, nodes)
    # The smallest that may be: runtimes refuse a later one than theirs, and torch writes more than its opset asks for.
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)


def _rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _prepend(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    after = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *after])


def halve_weights(model: onnx.ModelProto) -> None:
    """Store float32 initializers whose values are float16 numbers as such, behind a Cast, in place."""
    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims, dtype=np.int64) < HALF_FROM:
            continue
        wide = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = wide.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), wide):
            continue
        name = weight.name
        _rename_uses(graph, name, f"{name}/float32")
        weight.CopyFrom(numpy_helper.from_array(half, name))
        casts.append(_cast(name, TensorProto.FLOAT, out=f"{name}/float32"))
    _prepend(graph, casts)


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next(int(a.i) for a in node.attribute if a.name == name)


def _expand(node: onnx.NodeProto, graph: onnx.GraphProto, known: dict[str, Any]) -> list[onnx.NodeProto]:
    """The operators in the place of a `StoredWeight`."""
    levels, scale, zero = node.input
    out, axis = node.output[0], _attribute(node, "axis")
    if _attribute(node, "dequantize"):
        attributes: dict[str, Any] = {"axis": axis} if known[scale].ndim else {}
        return [helper.make_node("DequantizeLinear", [levels, scale], [out], f"{out}/Dequantize", **attributes)]
    shape = np.ones(known[levels].ndim, np.int64)
    shape[axis] = -1
    steps = [("Sub", "zero", known[zero])] if known[zero].any() else []
    value, nodes = f"{out}/wide", [_cast(levels, TensorProto.FLOAT, out=f"{out}/wide")]
    for kind, name, constant in [*steps, ("Mul", "scale", known[scale])]:
        aligned = f"{levels}/{name}"
        if aligned not in {weight.name for weight in graph.initializer}:  # a layer used in two places has one
            graph.initializer.append(numpy_helper.from_array(constant.reshape(shape).copy(), aligned))
        result = out if kind == "Mul" else f"{out}/centred"
        nodes.append(helper.make_node(kind, [value, aligned], [result], f"{result}/{kind}"))
        value = result
    return nodes


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    known = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = helper.get_node_attr_value(node, node.attribute[0].name)
            known[node.output[0]] = (
                numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value, np.float32)
            )
    return known


def expand_stored(model: onnx.ModelProto) -> None:
    """Write each `StoredWeight` as operators that ONNX knows, in place."""
    graph = model.graph
    if not any(node.domain == DOMAIN for node in graph.node):
        return
    known = _constants(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        stored = node.domain == DOMAIN and node.op_type == STORED_WEIGHT
        nodes += _expand(node, graph, known) if stored else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    for index, entry in reversed(list(enumerate(model.opset_import))):
        if entry.domain == DOMAIN:
            del model.opset_import[index]
    _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for weight in [weight for weight in graph.initializer if weight.name not in used]:
        graph.initializer.remove(weight)


def _drop_new_attributes(model: onnx.ModelProto) -> None:
    """Without the attributes that our operators got since the opset of the graph; all have their defaults."""
    version = next(entry.version for entry in model.opset_import if entry.domain == "")
    for node in model.graph.node:
        if node.domain:
            continue
        known = onnx.defs.get_schema(node.op_type, version).attributes
        kept = [attribute for attribute in node.attribute if attribute.name in known]
        del node.attribute[:]
        node.attribute.extend(kept)


def _scope(node: onnx.NodeProto) -> str:
    """Name of the layer that a node comes from, such as "blocks.0.attention.qkv"; empty where unknown."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    names = [str(name) for name in ast.literal_eval(scopes)]
    return names[-2] if len(names) > 1 else ""


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Layer, operator and a count: "blocks.0.attention.qkv/MatMulInteger", as profilers show it."""
    seen: Counter[str] = Counter()
    for node in graph.node:
        scope = _scope(node)
        name = f"{scope}/{node.op_type}" if scope else node.op_type
        node.name = f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1


def _name_weights(graph: onnx.GraphProto) -> None:
    """Weights that the exporter transposed, and named by number, after the layer whose product reads them."""
    taken = {weight.name for weight in graph.initializer}
    readers = {name: node for node in graph.node for name in node.input}
    for weight in graph.initializer:
        reader = readers.get(weight.name)
        scope, slash, _ = reader.name.partition("/") if reader is not None else ("", "", "")
        name = f"{scope}.weight"
        plain = weight.name.startswith("val_") and weight.data_type == TensorProto.FLOAT
        if not slash or not plain or len(weight.dims) < 2 or name in taken:
            continue
        _rename_uses(graph, weight.name, name)
        weight.name = name
        taken.add(name)


def _slimmed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold and merge what the exporter left, by onnxslim."""
    with quiet_export():
        slim = onnxslim.slim(model, size_threshold=FOLD_TO)
    assert isinstance(slim, onnx.ModelProto)
    return slim


def _strip(message: Any) -> None:
    """Delete documentation and notes (stack traces, paths) from a protobuf message and all that it holds."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for element in [value] if hasattr(value, "ListFields") else value:
                _strip(element)


def finish(
    model: onnx.ModelProto,
    metadata: ModelMetadata | None,
    *,
    types: bool = False,
    older_runtimes: bool = False,
    slim: bool = False,
) -> onnx.ModelProto:
    """Pack, name, strip and sign an exporter's graph.

    Args:
        model: as torch's exporter writes it; levels are int8.
        metadata: kept under `METADATA_KEY`; None for no entry.
        types: see `pack_weights`.
        older_runtimes: see `pack_weights`.
        slim: whether to simplify it; not where weights were rounded: it merges them with what they are multiplied by.

    Returns:
        The finished model.

    Raises:
        onnx.checker.ValidationError: the graph is no valid ONNX.
    """
    _name_nodes(model.graph)
    _strip(model)
    if slim:
        model = _slimmed(model)
    _name_weights(model.graph)
    expand_stored(model)
    share_zero_points(model)
    separate_sums(model.graph)
    if older_runtimes:
        lower_opset(model)
    _drop_new_attributes(model)
    pack_weights(model, types=types, older_runtimes=older_runtimes)
    halve_weights(model)
    del model.graph.value_info[:]  # the runtime infers them again
    model.producer_name, model.producer_version = "edgefake", __version__
    if metadata is not None:
        helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model
