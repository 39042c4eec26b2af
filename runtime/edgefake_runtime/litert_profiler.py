"""LiteRT's profiler: how long each operator of a TFLite file takes, those that XNNPACK runs each by itself.

LiteRT's Python interface has no profiler. The library that comes with it does (libLiteRt.so: litert/c/litert_profiler.h
and the headers beside it), and is called here. These headers promise no stability: call this in a process that may end.
"""

import ctypes
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import MissingExtraError, ModelFileError
from .needs import installed_version, is_older

__all__ = ["litert_times"]

PACKAGE = "ai-edge-litert"

OLDEST = "2.2"
"""Version of LiteRT from which on options are text. Before, they were records, and it would follow text as if it were
an address: 2.1.2 wrote a file of a name that came from nowhere."""

CPU = 1
"""The bit of the hardware to run on."""

WRITE = 1
"""How a buffer is locked, to write into it."""

INVOKED, DELEGATED, INSIDE_DELEGATE = 2, 4, 8
"""Kinds of events: an operator, a delegate as a whole, and an operator of one that tells of its own."""

SUFFIXES = {"darwin": "dylib", "win32": "dll"}

MOST_AXES = 8

Handle = ctypes.c_void_p


class _Layout(ctypes.Structure):
    """Rank (7 bits) and whether strides follow (1 bit), sizes, strides."""

    _fields_ = (
        ("rank", ctypes.c_uint),
        ("sizes", ctypes.c_int32 * MOST_AXES),
        ("strides", ctypes.c_uint32 * MOST_AXES),
    )


class _TensorType(ctypes.Structure):
    _fields_ = (("element", ctypes.c_int), ("layout", _Layout))


class _Event(ctypes.Structure):
    """Of the profiler; `memory` is what it notes before and after."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("index", ctypes.c_uint64),
        ("graph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


def litert_times(data: bytes, image: NDArray[np.float32], *, runs: int, threads: int) -> list[tuple[str, str, float]]:
    """Number, kind and median milliseconds of each operator.

    Args:
        data: the bytes of a TFLite file that LiteRT has run before.
        image: its input.
        runs: how many count, after one that does not.
        threads: of XNNPACK.

    Raises:
        ModelFileError: this LiteRT does not tell.
        MissingExtraError: it is not installed.
    """
    library, installed = _library(), installed_version(PACKAGE)
    if installed is None or is_older(installed, OLDEST):
        raise _silent(f"pip install -U {PACKAGE} for {OLDEST} or newer")
    model = _Profiled(library, data, threads)
    model.fill(image)
    return model.times(runs)


def _library() -> ctypes.CDLL:
    spec = find_spec("ai_edge_litert")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("ai_edge_litert", "litert")
    name = f"libLiteRt.{SUFFIXES.get(sys.platform, 'so')}"
    try:
        return ctypes.CDLL(str(Path(spec.submodule_search_locations[0]) / name))
    except OSError as error:
        raise _silent(f"its library {name} cannot be loaded") from error


def _silent(reason: str) -> ModelFileError:
    version = installed_version(PACKAGE) or "of an unknown version"
    return ModelFileError(f"expected LiteRT's times of its operators, but {PACKAGE} {version} does not tell: {reason}")


def _keep(place: int) -> None:
    """LiteRT gives back an option's text here; Python frees it."""


KEEP = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_keep)


class _Profiled:
    """A model, compiled for the CPU by XNNPACK with its profiler on. It stays for as long as the process does."""

    def __init__(self, library: ctypes.CDLL, data: bytes, threads: int) -> None:
        self._library = library
        self._kept: list[Any] = [data]
        self._environment, self._model, self._compiled, self._profiler = Handle(), Handle(), Handle(), Handle()
        self._call("CreateEnvironment", ctypes.c_int(0), None, ctypes.byref(self._environment))
        place = (ctypes.c_char_p(data), ctypes.c_size_t(len(data)), ctypes.byref(self._model))
        self._call("CreateModelFromBuffer", self._environment, *place)
        options = self._options(threads)
        self._call("CreateCompiledModel", self._environment, self._model, options, ctypes.byref(self._compiled))
        self._call("CompiledModelGetProfiler", self._compiled, ctypes.byref(self._profiler))
        if not self._profiler:
            raise _silent("it made no profiler")
        self._signature = Handle()
        self._call("GetModelSignature", self._model, ctypes.c_size_t(0), ctypes.byref(self._signature))
        self._input, self._output = self._buffer("Input"), self._buffer("Output")

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a function of LiteRT's C interface, which gives a status."""
        try:
            function = getattr(self._library, f"LiteRt{name}")
        except AttributeError as error:
            raise _silent(f"it has no LiteRt{name}") from error
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise _silent(f"LiteRt{name} gives status {status}")

    def _options(self, threads: int) -> Handle:
        options = Handle()
        self._call("CreateOptions", ctypes.byref(options))
        self._call("SetOptionsHardwareAccelerators", options, ctypes.c_int(CPU))
        for name, text in (
            ("runtime_options_string", "enable_profiling = true\n"),
            ("xnnpack", f"num_threads = {threads}\n"),
        ):
            entry = Handle()
            words = ctypes.create_string_buffer(name.encode()), ctypes.create_string_buffer(text.encode())
            self._kept += words
            self._call("CreateOpaqueOptions", *words, KEEP, ctypes.byref(entry))
            self._call("AddOpaqueOptions", options, entry)
        return options

    def _buffer(self, side: str) -> Handle:
        """Memory for the one input or output."""
        demands, tensor, kind, buffer = Handle(), Handle(), _TensorType(), Handle()
        first = ctypes.c_size_t(0)
        self._call(f"GetCompiledModel{side}BufferRequirements", self._compiled, first, first, ctypes.byref(demands))
        self._call(f"GetSignature{side}TensorByIndex", self._signature, first, ctypes.byref(tensor))
        self._call("GetRankedTensorType", tensor, ctypes.byref(kind))
        self._call(
            "CreateManagedTensorBufferFromRequirements",
            self._environment,
            ctypes.byref(kind),
            demands,
            ctypes.byref(buffer),
        )
        return buffer

    def fill(self, image: NDArray[np.float32]) -> None:
        """Write the input."""
        place, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._call("GetTensorBufferSize", self._input, ctypes.byref(size))
        values = np.ascontiguousarray(image, np.float32)
        if size.value < values.nbytes:
            raise _silent(f"its input takes {size.value} bytes, not {values.nbytes}")
        self._call("LockTensorBuffer", self._input, ctypes.byref(place), ctypes.c_int(WRITE))
        ctypes.memmove(place, values.ctypes.data, values.nbytes)
        self._call("UnlockTensorBuffer", self._input)

    def times(self, runs: int) -> list[tuple[str, str, float]]:
        """Run, and take the median of each operator."""
        self._run()
        found: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
        for _ in range(runs):
            self._call("ResetProfiler", self._profiler)
            self._call("StartProfiler", self._profiler)
            self._run()
            self._call("StopProfiler", self._profiler)
            for key, ms in _operators(self._events()):
                found[key].append(ms)
        if not found:
            raise _silent("its profiler noted no operator")
        return [(f"#{index}", kind, median(times)) for (index, kind), times in found.items()]

    def _run(self) -> None:
        first, one = ctypes.c_size_t(0), ctypes.c_size_t(1)
        ends = one, ctypes.byref(self._input), one, ctypes.byref(self._output)
        self._call("RunCompiledModel", self._compiled, first, *ends)

    def _events(self) -> Sequence[Any]:
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * max(count.value, 0))()
        self._call("GetProfilerEvents", self._profiler, count, events)
        return list(events)


def _operators(events: Sequence[Any]) -> list[tuple[tuple[int, str], float]]:
    """Place and kind of each operator of one run, and its milliseconds; a silent delegate counts as one."""
    inside = any(event.kind == INSIDE_DELEGATE for event in events)
    kinds = (INVOKED, INSIDE_DELEGATE) if inside else (INVOKED, DELEGATED)
    shown = [event for event in events if event.kind in kinds]
    return [
        ((place, (event.tag or b"?").decode("utf-8", "replace")), event.elapsed_us / 1000)
        for place, event in enumerate(shown)
    ]
