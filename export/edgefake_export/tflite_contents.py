"""What is in a TFLite file, and what LiteRT makes of it."""

import math
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any

from edgefake_runtime.errors import ModelFileError, first_line
from edgefake_runtime.metadata import METADATA_KEY
from edgefake_runtime.quiet import quiet

from .contents import Constant, Listing, Plan, Port, bits_of

__all__ = ["listing", "plan"]

schema: Any = import_module("ai_edge_litert.schema_py_generated")

# Places of fields in the flatbuffer's tables: 4 for the first of a table, 2 more for each after it.
DATA = 4
SCALE = 8
ZERO_POINT = 10


def listing(data: bytes) -> Listing:
    """Read a TFLite file.

    Raises:
        ValueError, struct.error and others of `contents.DAMAGED`: damaged.
    """
    return _File(data).listing()


def plan(data: bytes) -> Plan:
    """Load the file in LiteRT, and count XNNPACK's partitions and the operators outside them.

    Raises:
        ModelFileError: damaged.
    """
    interpreter: Any = import_module("ai_edge_litert.interpreter")
    runtime = f"ai-edge-litert {version('ai-edge-litert')}"
    try:
        with quiet():
            loaded = interpreter.Interpreter(model_content=data, num_threads=1)
            loaded.allocate_tensors()
        # LiteRT's Python interface has no public list of what runs.
        steps = loaded._get_ops_details()
    except (ValueError, RuntimeError) as error:
        if "valid Flatbuffer" in str(error):
            raise ModelFileError(f"expected a whole TFLite file, got a damaged one ({error})") from error
        return Plan(runtime, {}, error=first_line(error))
    outputs = [output["index"] for output in loaded.get_output_details()]
    running = Counter(step["op_name"] for step in _running(steps, outputs))
    partitions = running.pop("DELEGATE", 0)
    return Plan(runtime, _by_count(running), partitions)


def _running(steps: list[dict[str, Any]], outputs: list[int]) -> list[dict[str, Any]]:
    """The steps that lead to the outputs; LiteRT lists those that a delegate took over beside the delegate itself."""
    producers = {int(tensor): step for step in steps for tensor in step["outputs"]}  # a delegate comes after its own
    wanted, found = list(outputs), {}
    while wanted:
        step = producers.get(int(wanted.pop()))
        if step is not None and step["index"] not in found:
            found[step["index"]] = step
            wanted += [tensor for tensor in step["inputs"] if tensor >= 0]
    return list(found.values())


def _by_count(names: Counter[str]) -> dict[str, int]:
    return dict(sorted(names.items(), key=lambda pair: (-pair[1], pair[0])))


def _names(enumeration: Any) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if not name.startswith("_")}


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")


class _File:
    """A flatbuffer read in place, so that tables and buffers that are shared can be told apart by where they lie."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.model = schema.Model.GetRootAs(data, 0)
        self.graphs = [self.model.Subgraphs(i) for i in range(self.model.SubgraphsLength())]
        self.tensors = [graph.Tensors(i) for graph in self.graphs for i in range(graph.TensorsLength())]
        self.types = _names(schema.TensorType)
        self.seen: set[int] = set()
        if not self.graphs or not self.tensors:
            raise ValueError("no graph")

    def listing(self) -> Listing:
        metadata = self.metadata()
        return Listing(
            runtime="ai-edge-litert",
            producer=_text(self.model.Description()).strip(" ."),
            versions={"schema": self.model.Version()},
            metadata=_text(metadata[METADATA_KEY]) if METADATA_KEY in metadata else None,
            metadata_bytes=sum(map(len, metadata.values())),
            inputs=self.ports("Inputs"),
            outputs=self.ports("Outputs"),
            operators=self.operators(),
            constants=tuple(self.constants()),
            types=frozenset(self.types[t.Type()] for t in self.tensors if self.buffer(t.Buffer())[1]),
        )

    def within(self, start: int, length: int) -> tuple[int, int]:
        if not 0 <= start <= start + length <= len(self.data):
            raise ValueError(f"{length} bytes at {start} of {len(self.data)}")
        return start, length

    def vector(self, table: Any, field: int, size: int) -> tuple[int, int]:
        """Where a vector of elements of so many bytes lies: start, bytes; (0, 0) where there is none."""
        place = table._tab.Offset(field)
        if not place:
            return 0, 0
        return self.within(table._tab.Vector(place), size * table._tab.VectorLen(place))

    def buffer(self, index: int) -> tuple[int, int]:
        """Where a buffer's bytes lie: start, bytes. In files above 2 GB they lie behind the flatbuffer."""
        buffer = self.model.Buffers(index)
        if buffer.Offset() > 1:
            return self.within(buffer.Offset(), buffer.Size())
        return self.vector(buffer, DATA, 1)

    def metadata(self) -> dict[str, bytes]:
        entries = [self.model.Metadata(i) for i in range(self.model.MetadataLength())]
        places = {_text(entry.Name()): self.buffer(entry.Buffer()) for entry in entries}
        return {name: self.data[start : start + length] for name, (start, length) in places.items()}

    def operators(self) -> dict[str, int]:
        builtin = _names(schema.BuiltinOperator)
        codes = [self.model.OperatorCodes(i) for i in range(self.model.OperatorCodesLength())]
        # The older field is a byte; operators above 127 are in the newer one alone.
        names = [builtin[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes]
        custom = [
            f"{name} {_text(code.CustomCode())}" if name == "CUSTOM" else name
            for name, code in zip(names, codes, strict=True)
        ]
        steps = (graph.Operators(i) for graph in self.graphs for i in range(graph.OperatorsLength()))
        return _by_count(Counter(custom[step.OpcodeIndex()] for step in steps))

    def ports(self, side: str) -> tuple[Port, ...]:
        """Inputs or outputs of the first graph, named as its first signature names them."""
        graph = self.graphs[0]
        indices = [getattr(graph, side)(i) for i in range(getattr(graph, f"{side}Length")())]
        signature = self.model.SignatureDefs(0) if self.model.SignatureDefsLength() else None
        maps = [getattr(signature, side)(i) for i in range(getattr(signature, f"{side}Length")())] if signature else []
        names = {entry.TensorIndex(): _text(entry.Name()) for entry in maps}
        return tuple(self.port(graph.Tensors(i), names.get(i)) for i in indices)

    def port(self, tensor: Any, name: str | None) -> Port:
        free = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
        shape = free or [tensor.Shape(i) for i in range(tensor.ShapeLength())]
        axes = tuple(int(size) if size >= 0 else "?" for size in shape)
        return Port(name or _text(tensor.Name()), self.types[tensor.Type()].lower(), axes)

    def constants(self) -> Iterator[Constant]:
        """Buffers of tensors, and the scales and zero points of these tensors, each where it lies once."""
        for tensor in self.tensors:
            name, (start, length) = _text(tensor.Name()), self.buffer(tensor.Buffer())
            bits = bits_of(self.types[tensor.Type()])
            if not length or bits is None:  # computed while running, or text: a part of the graph
                continue
            if self.first(start):
                yield Constant(name, bits, self.weights(tensor, bits, length), length)
            quantization = tensor.Quantization()
            for field, width in ((SCALE, 32), (ZERO_POINT, 64)) if quantization else ():
                start, length = self.vector(quantization, field, width // 8)
                if length and self.first(start):
                    yield Constant(name, width, length * 8 // width, length)

    def first(self, start: int) -> bool:
        new = start not in self.seen
        self.seen.add(start)
        return new

    def weights(self, tensor: Any, bits: int, length: int) -> int:
        if tensor.Sparsity() is not None:
            return length * 8 // bits
        weights = math.prod(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))
        if length != -(-weights * bits // 8):
            raise ValueError(f"{_text(tensor.Name())}: {weights} values of {bits} bits in {length} bytes")
        return weights
