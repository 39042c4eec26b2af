"""The oldest runtime that reads a model file, told from its bytes.

ONNX files are protobuf. The three fields that count are found without the package onnx.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from .protobuf import BYTES, VARINT, read_fields

__all__ = ["OLDEST", "Need", "OnnxFacts", "installed_version", "is_older", "onnx_facts", "onnx_need"]

OLDEST: Mapping[str, Mapping[str, str]] = {
    "onnxruntime": {
        "opset 13": "1.6",
        "opset 14": "1.8",
        "opset 15": "1.9",
        "opset 16": "1.11",
        "opset 17": "1.12",
        "opset 18": "1.14",
        "opset 19": "1.16",
        "opset 20": "1.17",
        "opset 21": "1.18",
        "opset 22": "1.21",
        "opset 23": "1.24",
        "opset 25": "1.24",
        "IR version 7": "1.6",
        "IR version 8": "1.9",
        "IR version 9": "1.15",
        "IR version 10": "1.18",
        "IR version 11": "1.23",
        "IR version 13": "1.24",
        "INT4": "1.23",
        "UINT4": "1.23",
        "INT2": "1.24",
        "UINT2": "1.24",
    },
    "ai-edge-litert": {"INT4": "1.0", "INT2": "2.1.2"},
}
"""First version of a runtime that reads what is inside; a number between two entries takes the later one.

Measured (docs/bench/oldest_runtimes.csv), not looked up: ONNX Runtime reads opset 19 since 1.15 and 23 since 1.23, but
has no Pad of the one and no QuantizeLinear of the other; it knows 4-bit weights since 1.18, and casts them since 1.23.
"""

OTHERWISE = {
    "onnxruntime": "export with --older-runtimes",
    "ai-edge-litert": "export at 4 bits / with --older-runtimes",
}
"""What else helps, where the runtime has to stay as it is."""

WORDS = {"INT4": "4-bit weights", "UINT4": "4-bit weights", "INT2": "2-bit weights", "UINT2": "2-bit weights"}

ONNX_TYPES = {2: "UINT8", 3: "INT8", 21: "UINT4", 22: "INT4", 25: "UINT2", 26: "INT2"}
"""Types of ONNX tensors that hold rounded weights."""

IR_VERSION, GRAPH, OPSET = 1, 7, 8
"""Fields of an ONNX model."""

INITIALIZER = 5
"""Of a graph: a weight."""

DATA_TYPE = 2
"""Of a weight."""

DOMAIN, OPSET_VERSION = 1, 2
"""Of an opset."""


@dataclass(frozen=True)
class Need:
    """What a file asks of its runtime.

    Attributes:
        package: the runtime, such as "onnxruntime".
        version: the oldest that reads the file.
        reason: what in the file asks for it, such as "INT2" or "opset 25".
    """

    package: str
    version: str
    reason: str

    def __str__(self) -> str:
        """The demand and the cures, as an error shows them."""
        reason = WORDS.get(self.reason, self.reason)
        verb = "need" if reason.endswith("s") else "needs"
        return (
            f"{reason} {verb} {self.package} {self.version} or newer; pip install -U {self.package}, "
            f"or {OTHERWISE[self.package]}"
        )


@dataclass(frozen=True)
class OnnxFacts:
    """What decides who reads an ONNX file.

    Attributes:
        ir_version: of the file format.
        opset: of the standard operators.
        types: of the weights, as far as they are rounded ones.
    """

    ir_version: int
    opset: int
    types: frozenset[str]


def installed_version(package: str) -> str | None:
    """Version of an installed package; None when pip does not know it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_older(installed: str, wanted: str) -> bool:
    """Whether a version comes before another, by as many numbers as the other has."""
    parts = wanted.split(".")
    numbers = ["".join(c for c in part if c.isdigit()) or "0" for part in installed.split(".")]
    return [int(n) for n in numbers[: len(parts)]] < [int(n) for n in parts]


def onnx_need(facts: OnnxFacts) -> Need | None:
    """The newest thing in an ONNX file; None for what every version reads, or none that is known."""
    table = OLDEST["onnxruntime"]
    numbers = {"opset": facts.opset, "IR version": facts.ir_version}
    reasons = [kind for kind in WORDS if kind in facts.types]
    reasons += [entry for word, number in numbers.items() if (entry := _entry(table, word, number))]
    needs = [Need("onnxruntime", table[reason], reason) for reason in reasons]
    return max(needs, key=lambda need: [int(n) for n in need.version.split(".")], default=None)


def _entry(table: Mapping[str, str], word: str, number: int) -> str | None:
    """The first entry of this word that is not below the number; None for what is older or newer than all."""
    known = sorted(int(entry.rsplit(" ", 1)[1]) for entry in table if entry.startswith(f"{word} "))
    above = [n for n in known if n >= number > known[0] - 1]
    return f"{word} {above[0]}" if above else None


def onnx_facts(data: bytes) -> OnnxFacts | None:
    """What decides who reads an ONNX file; None when the bytes are no such file, or a damaged one."""
    ir_version, opset, types, graphs = 0, 0, set(), 0
    try:
        for number, kind, value, stop in read_fields(data, 0, len(data)):
            if (number, kind) == (IR_VERSION, VARINT):
                ir_version = value
            elif (number, kind) == (OPSET, BYTES):
                opset = max(opset, _opset(data, value, stop))
            elif (number, kind) == (GRAPH, BYTES):
                graphs += 1
                types |= set(_types(data, value, stop))
    except ValueError:
        return None
    return OnnxFacts(ir_version, opset, frozenset(types)) if graphs and ir_version else None


def _opset(data: bytes, start: int, stop: int) -> int:
    """Version of the standard operators' set; 0 for another domain's."""
    fields = {(number, kind): (value, end) for number, kind, value, end in read_fields(data, start, stop)}
    domain = slice(*fields.get((DOMAIN, BYTES), (0, 0)))
    return fields.get((OPSET_VERSION, VARINT), (0, 0))[0] if data[domain] in (b"", b"ai.onnx") else 0


def _types(data: bytes, start: int, stop: int) -> Iterator[str]:
    for number, kind, value, end in read_fields(data, start, stop):
        if (number, kind) == (INITIALIZER, BYTES):
            entries = read_fields(data, value, end)
            found = (entry for number, kind, entry, _ in entries if (number, kind) == (DATA_TYPE, VARINT))
            yield from (ONNX_TYPES[entry] for entry in found if entry in ONNX_TYPES)
