"""Many videos at once: one process each, started afresh, that outlive neither their work nor their parent."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2

from edgefake_runtime.errors import InputError
from edgefake_runtime.mtcnn import FaceDetector

from .extract import VideoCrops, cut_video
from .settings import CropSettings

__all__ = ["Job", "cut_videos"]

READY = "ready"
"""What a worker says when it has loaded its networks."""

CRASHED = (
    "expected a video that can be read, got one that ended the process that read it "
    "(out of memory, or damaged); convert it or use fewer --workers"
)


@dataclass(frozen=True)
class Job:
    """One video to cut.

    Attributes:
        source: path relative to SOURCE.
        folder: for its crops.
    """

    source: str
    folder: Path


class _Worker:
    """A process and the job that it has."""

    def __init__(self, root: Path, settings: CropSettings) -> None:
        # Spawned, since a forked child hangs where OpenCV or ONNX Runtime already have threads.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, root, settings), daemon=True)
        self.ready = self.lost = False
        self.job: Job | None = None
        with _interrupts_held():
            self.process.start()
        theirs.close()

    def give(self, job: Job | None) -> None:
        self.job = job
        if job is not None:
            with suppress(OSError):  # it has died; listening to it says so
                self.connection.send(job)

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits; what is started inside never sees it, so that the parent alone answers."""
    resource_tracker.ensure_running()  # it lets Ctrl-C through when it starts, as it would with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, root: Path, settings: CropSettings) -> None:
    """A worker's life: videos in, `VideoCrops` or an exception out, until the parent closes the pipe or dies."""
    cv2.setNumThreads(1)
    detector = FaceDetector(threads=1)
    try:
        connection.send(READY)
        while True:
            job: Job = connection.recv()
            result: VideoCrops | Exception
            try:
                result = cut_video(root, job.source, job.folder, settings, detector, on_frame=_leave_if_orphaned)
            except Exception as error:
                result = error
            connection.send(result)
    except (EOFError, OSError):
        return


def _leave_if_orphaned() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)


def cut_videos(jobs: Sequence[Job], root: Path, settings: CropSettings, *, workers: int) -> Iterator[VideoCrops]:
    """Cut videos in parallel; results come as they are done.

    A video that ends its process (a crash of the decoder, no memory) is reported as unreadable, and a new
    process takes the next. Closing the iterator, or an exception such as Ctrl-C, ends the processes.

    Args:
        jobs: videos.
        root: SOURCE.
        settings: frames and crops.
        workers: processes.

    Raises:
        InputError: processes do not start.
        OSError: a crop cannot be written.
    """
    waiting = deque(jobs)
    team: list[_Worker] = []
    try:
        while waiting or any(worker.job for worker in team):
            while len(team) < min(workers, len(waiting) + sum(worker.job is not None for worker in team)):
                team.append(_Worker(root, settings))
            for connection in wait([worker.connection for worker in team if worker.job or not worker.ready]):
                worker = next(worker for worker in team if worker.connection is connection)
                result = _hear(worker)
                if worker.lost:
                    worker.stop()
                    team.remove(worker)
                else:
                    worker.give(waiting.popleft() if waiting else None)
                if result is not None:
                    yield result
    finally:
        for worker in team:
            worker.stop()


def _hear(worker: _Worker) -> VideoCrops | None:
    """What a worker has to say: its video's result, or None when it has just become ready."""
    try:
        message = worker.connection.recv()
    except (EOFError, OSError) as error:
        worker.process.join()
        if worker.job is None:
            code = worker.process.exitcode
            raise InputError(
                f"expected worker processes to start, got exit code {code}; use fewer --workers"
            ) from error
        worker.lost = True
        return VideoCrops(worker.job.source, 0, (), error=CRASHED)
    if message == READY:
        worker.ready = True
        return None
    if isinstance(message, Exception):
        raise message
    result: VideoCrops = message
    return result
