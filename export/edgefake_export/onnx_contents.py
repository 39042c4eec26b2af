"""What is in an ONNX file, and what ONNX Runtime makes of it."""

import math
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnxruntime
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, ValueInfoProto

from edgefake_runtime.errors import ModelFileError, first_line
from edgefake_runtime.metadata import METADATA_KEY
from edgefake_runtime.quiet import quiet

from .contents import Constant, Listing, Plan, Port, bits_of

__all__ = ["listing", "plan"]

FATAL = 4
"""ONNX Runtime's log level that keeps its own lines off standard error; errors still raise."""

PASSING = ("Cast", "DequantizeLinear", "Gather", "Identity", "QuantizeLinear", "Reshape", "Slice", "Transpose")
"""Operators that hand a weight on to the one that works with it."""

LONGEST_PASS = 5

PACKED = re.compile(r"(?:^|\.)levels([24])$")
"""Names of weights that edgefake packs, mostly into bytes, several to each."""

DATA_FIELDS = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
"""Where a TensorProto may keep its numbers."""


def listing(data: bytes) -> Listing:
    """Read an ONNX file.

    Raises:
        ModelFileError: no ONNX, or damaged.
        ValueError, TypeError and others of `contents.DAMAGED`: damaged too.
    """
    model = _parse(data)
    graphs = list(_graphs(model.graph)) + [part for function in model.functions for part in _graphs(function)]
    stored = [(tensor, readers) for graph in graphs for tensor, readers in _tensors(graph)]
    inside = [pair for pair in stored if pair[0].data_location != TensorProto.EXTERNAL]
    initializers = {tensor.name for tensor in model.graph.initializer}
    entries = {entry.key: entry.value for entry in model.metadata_props}
    shapes = {tensor.name: tensor for tensor, _ in inside if tensor.name.endswith("/shape")}
    return Listing(
        runtime="onnxruntime",
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        versions=_versions(model),
        metadata=entries.get(METADATA_KEY),
        metadata_bytes=sum(len(text.encode()) for text in entries.values()),
        inputs=tuple(_port(value) for value in model.graph.input if value.name not in initializers),
        outputs=tuple(_port(value) for value in model.graph.output),
        operators=_operators(graphs),
        constants=tuple(c for tensor, readers in inside if (c := _constant(tensor, readers, shapes)) is not None),
        types=frozenset(_type(tensor.data_type) for tensor, _ in stored),
        external=sum(math.prod(tensor.dims) for tensor, _ in stored) - sum(math.prod(t.dims) for t, _ in inside),
    )


def plan(data: bytes) -> Plan:
    """Load the file in ONNX Runtime and count the operators that are left after its optimization."""
    runtime = f"onnxruntime {onnxruntime.__version__}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory(prefix="edgefake-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        try:
            with quiet():
                onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
            model = _parse(optimized.read_bytes())
        except Exception as error:  # ONNX Runtime raises a dozen types without a common base.
            return Plan(runtime, {}, error=first_line(error))
    return Plan(runtime, _operators(list(_graphs(model.graph))))


def _parse(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own type, which has no type stubs
        raise ModelFileError("expected an ONNX or TFLite file, got another kind of file or a damaged one") from error
    if not model.graph.node or not model.opset_import:
        raise ModelFileError("expected an ONNX or TFLite file, got one without operators or opset; it may be cut off")
    return model


def _graphs(graph: GraphProto | FunctionProto) -> Iterator[GraphProto | FunctionProto]:
    """The graph and those inside its operators, such as the branches of If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _operators(graphs: list[GraphProto | FunctionProto]) -> dict[str, int]:
    names = (f"{node.domain}.{node.op_type}".lstrip(".") for graph in graphs for node in graph.node)
    return dict(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))


def _tensors(graph: GraphProto | FunctionProto) -> Iterator[tuple[TensorProto, tuple[str, ...]]]:
    """Every stored tensor of one graph, with the names of the operators that take it."""
    users: defaultdict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)

    def readers(name: str, seen: set[str], passes: int = LONGEST_PASS) -> Iterator[str]:
        if name in seen:
            return
        seen.add(name)
        for node in users[name]:
            through = 1 if node.op_type == "Gather" else 0  # bytes are looked up in a table; a shape is Reshape's own
            on = name == node.input[through] or "Quantize" in node.op_type
            if passes and on and node.op_type in PASSING:
                yield from readers(node.output[0], seen, passes - 1)
            else:
                yield node.name

    if isinstance(graph, GraphProto):
        for tensor in graph.initializer:
            yield tensor, tuple(readers(tensor.name, set()))
        for sparse in graph.sparse_initializer:
            yield sparse.values, tuple(readers(sparse.values.name, set()))
            yield sparse.indices, ()
    for node in graph.node:
        for tensor in _attributes(node):
            yield tensor, tuple(name for output in node.output for name in readers(output, set()))


def _attributes(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors
        if attribute.type == AttributeProto.SPARSE_TENSOR:
            yield attribute.sparse_tensor.values
            yield attribute.sparse_tensor.indices


def _type(number: int) -> str:
    try:
        return str(TensorProto.DataType.Name(number))
    except ValueError as error:
        raise ModelFileError(
            f"expected tensors of a type that onnx {onnx.__version__} knows, got type {number}; pip install -U onnx"
        ) from error


def _constant(tensor: TensorProto, readers: tuple[str, ...], shapes: Mapping[str, TensorProto]) -> Constant | None:
    """A stored tensor of numbers; text counts as a part of the graph.

    Args:
        tensor: with its numbers in the file.
        readers: operators that take it.
        shapes: by name, of weights that lie packed in bytes: their last byte may not be full.
    """
    bits = bits_of(_type(tensor.data_type))
    if bits is None:
        return None
    weights = math.prod(tensor.dims)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != -(-weights * bits // 8):
        raise ModelFileError(
            f"{tensor.name}: expected {weights} values of {bits} bits, got {len(tensor.raw_data)} bytes; "
            "the file is damaged"
        )
    packed = PACKED.search(tensor.name)
    if packed and bits == 8:
        bits, weights = int(packed[1]), weights * 8 // int(packed[1])
        shape = shapes.get(f"{tensor.name}/shape")
        if shape is not None:
            weights = math.prod(onnx.numpy_helper.to_array(shape).tolist())
    return Constant(tensor.name, bits, weights, _bytes(tensor), readers)


def _bytes(tensor: TensorProto) -> int:
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    bare = TensorProto()
    bare.CopyFrom(tensor)
    for field in DATA_FIELDS:
        bare.ClearField(field)
    return int(tensor.ByteSize() - bare.ByteSize())


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    known = {"opset": opsets.pop("", opsets.pop("ai.onnx", 0)), "IR version": model.ir_version}
    return known | {f"{domain} opset": version for domain, version in sorted(opsets.items())}


def _port(value: ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim)
    name = _type(tensor.elem_type).lower()
    return Port(value.name, "float32" if name == "float" else name, shape)
