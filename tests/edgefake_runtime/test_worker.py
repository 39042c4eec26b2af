"""A process of its own: what it answers, how its errors come back, and that it ends."""

import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import cv2
import pytest

from edgefake_runtime import worker
from edgefake_runtime.errors import InputError, ModelFileError, UsageError
from edgefake_runtime.shipped import default_model
from edgefake_runtime.worker import Worker
from edgefake_runtime.worker_main import Subject

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def alive(number: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_it_opens_runs_and_answers_like_this_process() -> None:
    from edgefake_runtime.engine import open_engine
    from edgefake_runtime.latency import example_input

    with Worker() as process:
        facts = process.ask("open", path=default_model(), threads=1, widen=None)
        assert (facts["format"], facts["bits"], facts["widened"]) == ("ONNX", 2, False)
        assert facts["load_s"] > 0
        assert process.ask("run", times=2) > 0
        answer = process.ask("answer")
        assert process.ask("memory") >= facts["memory_before"] > 10_000_000
    engine = open_engine(default_model().read_bytes(), 1)
    assert answer == pytest.approx(engine.run(example_input(engine))[0].tolist(), abs=1e-6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="elsewhere a child may have its parent's peak")
def test_the_file_is_no_memory_from_before_the_model(tmp_path: Path) -> None:
    """A large file, by 50 MB of documentation at its end (ModelProto.doc_string)."""
    size = 50_000_000
    length = bytes(size >> shift & 0x7F | 0x80 * (shift < 21) for shift in (0, 7, 14, 21))
    (tmp_path / "large.onnx").write_bytes(default_model().read_bytes() + b"\x32" + length + b"x" * size)
    before = []
    for path in (default_model(), tmp_path / "large.onnx"):
        with Worker() as process:
            before.append(process.ask("open", path=path, threads=1, widen=None)["memory_before"])
            assert path == default_model() or process.ask("memory") > before[-1] + size
    assert before[1] < before[0] + 0.4 * size


def test_errors_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with Worker() as process:
        with pytest.raises(ModelFileError, match="expected a model file, got no such file"):
            process.ask("open", path=tmp_path / "none.onnx", threads=1, widen=None)
        with pytest.raises(InputError, match="expected a picture or video, got text"):
            process.ask("decode", path=tmp_path / "text.mp4")
        with pytest.raises(UsageError, match="widen: expected a TFLite file"):
            process.ask("open", path=default_model(), threads=1, widen=True)
        assert process.ask("memory") > 0  # it goes on


def test_a_video_is_judged_with_one_copy_of_the_model() -> None:
    subject, threads = Subject(), cv2.getNumThreads()
    try:
        subject.open(str(default_model()), 1, None)
        first, answer = weakref.ref(subject._engine), subject.answer()
        assert subject.video(str(SAMPLES / "real.mp4"), 50)["faces"] == 2
        assert first() is None
        assert subject.answer() == answer
    finally:
        cv2.setNumThreads(threads)


def test_a_name_that_is_no_text_goes_through(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.onnx"))
    path.write_bytes(default_model().read_bytes())
    with Worker() as process:
        assert process.ask("open", path=path, threads=1, widen=None)["bits"] == 2


def test_a_process_that_ends_says_how() -> None:
    with Worker() as process, pytest.raises(ModelFileError, match="ended: exit code 1; it said: AttributeError"):
        process.ask("run", times=1)  # nothing is open
    with Worker() as process:
        assert process.ask("memory") > 0
        os.kill(process._process.pid, signal.SIGSEGV)
        with pytest.raises(ModelFileError, match="ended: signal SIGSEGV"):
            process.ask("memory")


def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(worker, "MODULE", "sleeps")
    begun = time.monotonic()
    with Worker(limit_s=0.5) as process, pytest.raises(ModelFileError, match=r"it took longer than 0\.5 s"):
        process.ask("memory")
    assert time.monotonic() - begun < 30


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_it_ends_when_who_asked_is_gone() -> None:
    code = """
import os
from edgefake_runtime.worker import Worker
process = Worker()
process.ask("memory")
print(process._process.pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    number, deadline = int(done.stdout), time.monotonic() + 60
    while alive(number) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(number)
