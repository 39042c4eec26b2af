"""What is in a model file, ONNX or TFLite: operators, weights by part and by width, the runtime that it needs.

Counted from the file's own bytes, of any such file, edgefake's or not; torch is not loaded.
"""

import hashlib
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from edgefake_runtime.errors import MissingExtraError, ModelFileError, first_line, printable
from edgefake_runtime.metadata import ModelMetadata
from edgefake_runtime.model_file import is_tflite, read_model_file
from edgefake_runtime.needs import OLDEST

__all__ = [
    "FIRST",
    "OTHER",
    "Constant",
    "Contents",
    "Listing",
    "Need",
    "Part",
    "Plan",
    "Port",
    "Stored",
    "bits_of",
    "read_contents",
    "read_plan",
]

FIRST = {"onnxruntime": "1.6", "ai-edge-litert": "1.0"}
"""Version of a runtime from which on all is read that `OLDEST` does not name."""

PARTS = {
    "tokenize": "patch embedding",
    "blocks": "blocks",
    "head": "head",
    "norm": "norms",
    "positions": "positions",
    "rows": "positions",
    "columns": "positions",
    "stem": "stem",
}
"""Parts of edgefake's networks, by the first word of a weight's name."""

OTHER = "other constants"
"""The part of what no name tells: sizes, axes, numbers that several parts share."""

CLASS_PATH = re.compile(r"(?:\w+\.)+(?=[A-Z])")
"""litert-torch names layers "torch.nn.modules.container.Sequential_head": the class is enough."""

GENERATED = ("arith", "stablehlo", "tfl", "edgefake")
"""First words of names that a TFLite converter makes up, such as "arith.constant3"."""

FORMATS = {"ONNX": ("onnx_contents", "onnx", "export"), "TFLite": ("tflite_contents", "ai_edge_litert", "litert")}
"""Module that reads a format, the package that it needs, and the extra that brings it."""


DAMAGED = (
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading a damaged file raises: a place outside it, a number too large, a name that is no text."""


@dataclass(frozen=True)
class Port:
    """An input or output: name, type such as "float32", shape with names for free axes."""

    name: str
    type: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Stored:
    """So many weights in so many bytes of the file."""

    weights: int
    bytes: int


@dataclass(frozen=True)
class Part:
    """A part of the network, such as "encoder".

    Attributes:
        name: of the part.
        widths: bits a weight -> what is stored at that width.
    """

    name: str
    widths: Mapping[int, Stored]

    @property
    def bytes(self) -> int:
        """Bytes of all its weights."""
        return sum(stored.bytes for stored in self.widths.values())

    @property
    def bits(self) -> int:
        """Width of most of its weights."""
        return max(self.widths, key=lambda bits: self.widths[bits].weights)


@dataclass(frozen=True)
class Need:
    """The oldest runtime that reads the file.

    Attributes:
        runtime: the package, such as "onnxruntime".
        version: the oldest; None when the file holds something newer than `OLDEST` knows.
        reasons: what in the file asks for that version.
    """

    runtime: str
    version: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Constant:
    """A tensor in the file.

    Attributes:
        name: of the tensor.
        bits: width of an element.
        weights: number of elements, with those that only pad.
        bytes: that they take in the file.
        readers: names of the operators that take it; none where the format has no such names.
    """

    name: str
    bits: int
    weights: int
    bytes: int
    readers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What the reader of a format finds in a file.

    Attributes:
        runtime: package that runs the format.
        producer: what wrote the file, in its own words; may be empty.
        versions: of the format, such as {"opset": 25, "IR version": 13}.
        metadata: edgefake's entry, JSON; None without.
        metadata_bytes: of all metadata entries.
        inputs, outputs: of the network.
        operators: name -> count.
        constants: every tensor, shared ones once.
        types: of the constants, as the format names them.
        external: number of weights that lie in other files.
    """

    runtime: str
    producer: str
    versions: Mapping[str, int]
    metadata: str | None
    metadata_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    constants: tuple[Constant, ...]
    types: frozenset[str]
    external: int = 0


@dataclass(frozen=True)
class Contents:
    """A model file, counted.

    Attributes:
        path: of the file.
        format: "ONNX" or "TFLite".
        bytes: of the file: those of all parts, `metadata_bytes` and `graph_bytes`.
        sha256: of the file, hexadecimal.
        producer, versions, inputs, outputs, operators, metadata_bytes, external: see `Listing`.
        metadata: what the file says about itself; None for a file that edgefake did not write.
        parts: largest first.
        needs: the oldest runtime that reads it.
    """

    path: Path
    format: str
    bytes: int
    sha256: str
    producer: str
    versions: Mapping[str, int]
    metadata: ModelMetadata | None
    metadata_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    parts: tuple[Part, ...]
    external: int
    needs: Need

    @property
    def graph_bytes(self) -> int:
        """What is neither weight nor metadata: operators, names, shapes, alignment."""
        return self.bytes - self.metadata_bytes - sum(part.bytes for part in self.parts)

    @property
    def widths(self) -> dict[int, Stored]:
        """Bits a weight -> all that is stored at that width, narrowest first."""
        return _add_up((bits, stored) for part in self.parts for bits, stored in part.widths.items())

    @property
    def bits_by_part(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Part -> bits a weight -> (weights, bytes), as in {"encoder": {2: (3538944, 884736)}}."""
        return {part.name: {b: (s.weights, s.bytes) for b, s in part.widths.items()} for part in self.parts}


@dataclass(frozen=True)
class Plan:
    """How the runtime that is installed here would run a file.

    Attributes:
        runtime: name and version.
        operators: name -> count. ONNX: after ONNX Runtime's own optimization. TFLite: those outside XNNPACK.
        partitions: XNNPACK's (TFLite only).
        error: why it cannot run the file; None when it can.
    """

    runtime: str
    operators: Mapping[str, int]
    partitions: int | None = None
    error: str | None = None


def bits_of(type_name: str) -> int | None:
    """Width of a number of this type, such as 2 of "INT2"; None for what is no number, such as "STRING"."""
    named = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8}
    digits = re.search(r"\d+", type_name)
    return int(digits[0]) if digits else named.get(type_name)


def read_contents(path: Path | str) -> Contents:
    """Count what is in a model file.

    Raises:
        ModelFileError: missing, empty, damaged, or neither ONNX nor TFLite.
        MissingExtraError: the package that reads the format is not installed.
    """
    path = Path(path)
    data = read_model_file(path)
    kind = _format(data)
    try:
        return _count(path, data, kind, _reader(kind).listing(data))
    except ModelFileError as error:
        raise ModelFileError(f"{printable(path)}: {error}") from error
    except DAMAGED as error:
        raise ModelFileError(
            f"{printable(path)}: expected a whole {kind} file, got a damaged one: {first_line(error)}"
        ) from error


def read_plan(path: Path | str) -> Plan:
    """Let the installed runtime load a model file, and look at what it made of it.

    A file that the runtime refuses has its reason in `error`.

    Raises:
        ModelFileError: missing, empty, or damaged beyond what the runtime takes for a model.
        MissingExtraError: the package that reads the format is not installed.
    """
    data = read_model_file(Path(path))
    try:
        plan: Plan = _reader(_format(data)).plan(data)
    except ModelFileError as error:
        raise ModelFileError(f"{printable(Path(path))}: {error}") from error
    return plan


def _format(data: bytes) -> str:
    return "TFLite" if is_tflite(data) else "ONNX"


def _reader(kind: str) -> Any:
    module, package, extra = FORMATS[kind]
    if find_spec(package) is None:
        raise MissingExtraError(package, extra)
    return import_module(f".{module}", __package__)


def _count(path: Path, data: bytes, kind: str, found: Listing) -> Contents:
    contents = Contents(
        path=path,
        format=kind,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        producer=found.producer,
        versions=found.versions,
        metadata=None if found.metadata is None else ModelMetadata.from_json(found.metadata),
        metadata_bytes=found.metadata_bytes,
        inputs=found.inputs,
        outputs=found.outputs,
        operators=found.operators,
        parts=_parts(found.constants),
        external=found.external,
        needs=_needs(found),
    )
    if contents.graph_bytes < 0:
        raise ModelFileError("expected tensors that fit into the file, got overlapping ones; the file is damaged")
    return contents


def _tokens(name: str) -> tuple[str, ...]:
    """Words of a name, outermost first: "blocks.0.attention.qkv/MatMul" -> blocks, 0, attention, qkv, MatMul."""
    return tuple(word for word in re.split(r"[./]", CLASS_PATH.sub("", name.split(";")[0])) if word)


def _known(tokens: Sequence[str]) -> str | None:
    """The part of edgefake's networks that a name begins with; a hybrid's convolutions are its stem."""
    if tokens[:2] == ("tokenize", "trunk"):
        return "stem"
    return PARTS.get(tokens[0].split("_")[0]) if tokens else None


def _shared(scopes: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The words with which all of them begin."""
    columns = takewhile(lambda words: len(set(words)) == 1, zip(*scopes, strict=False))
    return tuple(words[0] for words in columns)


def _scope(constant: Constant) -> tuple[str, ...]:
    """The layer that a tensor belongs to: by its own name, else by those of the operators that take it."""
    tokens = _tokens(constant.name)
    if _known(tokens):
        return tokens
    sizes = constant.bits == 64 and constant.readers  # shapes and axes, named after whatever came first
    if len(tokens) > 1 and not sizes:
        return () if tokens[0] in GENERATED else tokens[:-1]
    return _shared([_tokens(reader)[:-1] for reader in constant.readers])


def _part_names(constants: Sequence[Constant]) -> Iterator[str]:
    scopes = [_scope(constant) for constant in constants]
    shared = len(_shared([scope for scope in scopes if scope and not _known(scope)]))
    transformer = any(scope[:1] == ("tokenize",) for scope in scopes)
    for scope in scopes:
        part = _known(scope)
        if not scope:
            yield OTHER
        elif any("norm" in word.lower() for word in scope):
            yield "norms"
        elif part == "blocks" and transformer:
            yield "encoder"
        else:
            yield part or scope[min(shared, len(scope) - 1)]


def _add_up(stored: Iterable[tuple[int, Stored]]) -> dict[int, Stored]:
    sums: dict[int, Stored] = {}
    for bits, more in stored:
        old = sums.get(bits, Stored(0, 0))
        sums[bits] = Stored(old.weights + more.weights, old.bytes + more.bytes)
    return dict(sorted(sums.items()))


def _parts(constants: Sequence[Constant]) -> tuple[Part, ...]:
    members: defaultdict[str, list[tuple[int, Stored]]] = defaultdict(list)
    for name, constant in zip(_part_names(constants), constants, strict=True):
        members[name].append((constant.bits, Stored(constant.weights, constant.bytes)))
    parts = [Part(name, _add_up(stored)) for name, stored in members.items()]
    return tuple(sorted(parts, key=lambda part: (-part.bytes, part.name)))


def _oldest(runtime: str, inside: str) -> str | None:
    """First version that reads this, or the next thing listed; None when it is newer than all that is listed."""
    table = OLDEST[runtime]
    kind, _, number = inside.rpartition(" ")
    later = {int(key.removeprefix(f"{kind} ")): table[key] for key in table if kind and key.startswith(f"{kind} ")}
    if not later:
        return table.get(inside, FIRST[runtime])
    return next((later[listed] for listed in sorted(later) if listed >= int(number)), None)


def _needs(found: Listing) -> Need:
    inside = [*(f"{kind} {number}" for kind, number in found.versions.items()), *sorted(found.types)]
    first = {what: _oldest(found.runtime, what) for what in inside}
    unknown = tuple(what for what, version in first.items() if version is None)
    if unknown:
        return Need(found.runtime, None, unknown)
    always = FIRST[found.runtime]
    versions = {what: version for what, version in first.items() if version is not None}
    newest = max([*versions.values(), always], key=lambda version: [*map(int, version.split("."))])
    reasons = (what for what, version in versions.items() if version == newest != always)
    return Need(found.runtime, newest, tuple(reasons))
