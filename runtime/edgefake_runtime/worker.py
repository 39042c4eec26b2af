"""A process of its own for a model: its memory is the model's, and what ends it does not end the program.

It is a fresh interpreter that runs `edgefake_runtime.worker_main`; requests and answers are lines of JSON.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import errors
from .errors import EdgefakeError, ModelFileError, printable

__all__ = ["Worker"]

MODULE = "edgefake_runtime.worker_main"

PATIENCE_S = 5.0
"""Seconds that a process may take to end."""


class Worker:
    """The process, from its start until `close`; use it as a context.

    It does not get the terminal's Ctrl-C: who asks gets it, and closes the process.

    Args:
        limit_s: seconds after which the process is ended; None for no limit.
    """

    def __init__(self, *, limit_s: float | None = None) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._limit_s, self._late = limit_s, threading.Event()
        self._timer = None if limit_s is None else threading.Timer(limit_s, self._end_late)
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def _end_late(self) -> None:
        self._late.set()
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str, **values: Any) -> Any:
        """Let it do something (see `worker_main.Subject`), and wait for the answer.

        Args:
            do: name of the method.
            values: its arguments, as JSON has them; paths as such.

        Raises:
            EdgefakeError: the one that the process raised.
            ModelFileError: the process ended.
        """
        plain = {key: os.fsdecode(value) if isinstance(value, Path) else value for key, value in values.items()}
        answer = ""
        with suppress(BrokenPipeError):
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"do": do, "values": plain}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer.endswith("\n"):
            raise ModelFileError(f"the process that ran it ended: {self._last_words()}")
        found = json.loads(answer)
        if "error" in found:
            kind: type[EdgefakeError] = getattr(errors, found["error"])
            raise kind.__new__(kind, found["message"])
        return found["found"]

    def _last_words(self) -> str:
        """How it ended, and what it or a library said last."""
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if self._late.is_set():
            return f"it took longer than {self._limit_s:g} s"
        how = f"exit code {code}"
        if code < 0:
            with suppress(ValueError):
                how = f"signal {signal.Signals(-code).name}"
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{how}; it said: {printable(Path(said[:200]))}" if said else how

    def close(self) -> None:
        """End the process, whatever it does; what it has in temporary files goes."""
        if self._timer is not None:
            self._timer.cancel()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._said.close()
