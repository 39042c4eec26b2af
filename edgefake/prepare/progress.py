"""What is done so far, kept in OUT so that an interrupted run goes on and a foreign one is refused."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgefake.whole import write_whole
from edgefake_runtime.errors import InputError, UsageError

from .extract import VideoCrops

__all__ = ["PROGRESS", "REPORT", "SETTINGS", "Progress"]

SETTINGS = "prepare.json"
PROGRESS = ".progress.jsonl"
REPORT = "report.json"
"""Written last: a folder that holds it is finished."""


class Progress:
    """The state of a run in OUT: a context manager that holds the folder for itself.

    A video is recorded as one line of JSON after its crops are written; a line that was cut off counts as
    not written, and the video is cut again.

    Args:
        out: OUT; made when missing.
        settings: all that decides the result; those of an earlier run must be the same.

    Raises:
        UsageError: OUT holds something else, or a run with other settings.
        InputError: OUT cannot be written, or another run is writing it.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.out = out
        self.done: dict[str, VideoCrops] = {}
        try:
            out.mkdir(parents=True, exist_ok=True)
            _require_own(out, settings)
            self._file = (out / PROGRESS).open("a+b")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"{out}: expected a folder that can be written, got: {reason}; name another") from error

    def __enter__(self) -> Self:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError as error:
            self._file.close()
            raise InputError(
                f"{self.out}: expected a folder of its own, got one that another run is writing"
            ) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the folder go; of a finished run the steps are forgotten."""
        if self.finished:
            (self.out / PROGRESS).unlink(missing_ok=True)
        self._file.close()

    @property
    def finished(self) -> bool:
        """Whether the earlier run came to its end."""
        return (self.out / REPORT).is_file()

    def _read(self) -> None:
        self._file.seek(0)
        sound = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                record = VideoCrops.from_json(json.loads(line))
            except (ValueError, TypeError, KeyError):
                break
            self.done[record.source] = record
            sound += len(line)
        self._file.truncate(sound)

    def record(self, video: VideoCrops) -> None:
        """Remember that a video is done."""
        self._file.write(json.dumps(asdict(video), ensure_ascii=True).encode() + b"\n")
        self._file.flush()
        self.done[video.source] = video

    def finish(self, report: str) -> None:
        """Write the report, after which the run is finished."""
        write_whole(self.out / REPORT, report.encode())


def _require_own(out: Path, settings: Mapping[str, Any]) -> None:
    path = out / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if not path.is_file():
        others = [name for name in os.listdir(out) if name != f".{SETTINGS}.part"]  # noqa: PTH208
        if others:
            raise UsageError(f"{out}: expected an empty folder or an earlier run's, got {others[0]!r}; name another")
        write_whole(path, (json.dumps(wanted, indent=2, sort_keys=True) + "\n").encode())
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: expected the settings of an earlier run, got: {error}; name another folder"
        ) from error
    if found != wanted:
        raise UsageError(f"{out}: expected the settings of its earlier run, got {_differences(found, wanted)}; {_CURE}")


_CURE = "give the same options, or name another folder"


def _differences(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict):
        return "others"
    if found.get("videos") != wanted["videos"] and {**found, "videos": 0} == {**wanted, "videos": 0}:
        return "other videos in SOURCE"
    old, new = _flat(found), _flat(wanted)
    names = [name for name in new if old.get(name) != new[name] and name != "videos"]
    return ", ".join(f"{name} {new[name]} (was {old.get(name)})" for name in names) or "others"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value) if isinstance(value, dict) else {key: value}
    return flat
