"""Profiles of the shipped files, against the files themselves and the detector; and what is refused."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from edgefake_runtime import profile as module
from edgefake_runtime.cpu import cores
from edgefake_runtime.errors import InputError, ModelFileError, UsageError
from edgefake_runtime.parameters import count_parameters
from edgefake_runtime.profile import Profile, ProfileOptions, profile_files
from edgefake_runtime.shipped import DEFAULT_MODEL, default_model, models_folder
from edgefake_runtime.worker import Worker

from .clips import write_video

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"
ONNX, TFLITE = default_model(), default_model().with_suffix(".tflite")
RUNS = 4


@pytest.fixture(scope="module")
def both() -> Profile:
    """Both formats with a video and their operators."""
    options = ProfileOptions(RUNS, threads=1, video=SAMPLES / "real.mp4", operators=True)
    return profile_files([ONNX, TFLITE], options)


def test_a_row_says_what_the_file_is(both: Profile) -> None:
    assert [(row.name, row.format, row.bits) for row in both.models] == [
        (ONNX.name, "ONNX", 2),
        (TFLITE.name, "TFLite", 2),
    ]
    for row, path in zip(both.models, (ONNX, TFLITE), strict=True):
        assert row.size_mb == path.stat().st_size / 1e6
        assert row.parameters == count_parameters(path.read_bytes())
        assert row.model == DEFAULT_MODEL
    assert both.threads == 1


def test_times_and_memory_fit_together(both: Profile) -> None:
    for row in both.models:
        assert 0 < row.p50_ms <= row.p95_ms
        assert 1000 / row.images_per_s > row.p50_ms / RUNS
        assert row.load_ms > row.p50_ms  # both runtimes prepare weights, and LiteRT runs it twice or more
        assert row.base_rss_mb is not None
        assert row.peak_rss_mb is not None
        assert 20 < row.base_rss_mb < row.peak_rss_mb < 1000
    assert both.models[0].ratio == 1
    assert both.models[1].ratio == both.models[1].p50_ms / both.models[0].p50_ms


def test_the_json_has_the_keys_that_others_rely_on(both: Profile) -> None:
    values = both.as_json()
    assert list(values) == ["cpu", "threads", "models"]
    first = ["name", "format", "bits", "size_mb", "parameters", "load_ms", "p50_ms", "p95_ms", "images_per_s"]
    assert list(values["models"][0])[:11] == [*first, "peak_rss_mb", "ratio"]
    assert f"{cores()} core" in values["cpu"]


def test_the_video_s_time_is_split(both: Profile) -> None:
    for row in both.models:
        video = row.video
        assert video is not None
        assert (video.duration_s, video.frames_scored, video.faces) == (4.0, 4, 4)
        assert min(video.decode_s, video.faces_s, video.classify_s) > 0
        assert video.real_time_factor == pytest.approx(4.0 / video.total_s)
        assert (video.peak_rss_mb or 0) > (row.peak_rss_mb or 0)


def test_operators_are_those_of_the_runtime(both: Profile) -> None:
    for row, kind in zip(both.models, ("MatMulInteger", "Fully Connected"), strict=True):
        assert row.operators_error is None
        assert row.operators is not None
        assert any(each.startswith(kind) for each in row.operators.kinds)
        assert len(row.operators.slowest) == 10


def test_one_run_is_all_three_figures() -> None:
    (row,) = profile_files([ONNX], ProfileOptions(1, threads=1)).models
    assert row.p50_ms == row.p95_ms == pytest.approx(1000 / row.images_per_s)
    assert (row.video, row.operators) == (None, None)


def test_files_run_in_turns_after_their_warm_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every request goes through to the process; what was asked of which is written down."""
    asked: list[tuple[int, str, int]] = []
    numbers: dict[int, int] = {}
    ask = Worker.ask

    def listening(self: Worker, do: str, **values: object) -> object:
        asked.append((numbers.setdefault(id(self), len(numbers)), do, values.get("times", 0)))  # type: ignore[arg-type]
        return ask(self, do, **values)

    monkeypatch.setattr(Worker, "ask", listening)
    (tmp_path / "again.onnx").write_bytes(ONNX.read_bytes())
    profile_files([ONNX, tmp_path / "again.onnx"], ProfileOptions(2, threads=1))
    opened = [(0, "open", 0), (1, "open", 0)]
    warm = [(0, "run", module.WARM_UP), (1, "run", module.WARM_UP)]
    rounds = [(0, "run", 1), (1, "run", 1)] * 2
    assert asked == [*opened, *warm, *rounds, (0, "memory", 0), (1, "memory", 0)]


def test_files_of_one_name_go_by_their_path(tmp_path: Path) -> None:
    (tmp_path / ONNX.name).write_bytes(ONNX.read_bytes())
    rows = profile_files([ONNX, tmp_path / ONNX.name], ProfileOptions(1, threads=1)).models
    assert [row.name for row in rows] == [str(ONNX), str(tmp_path / ONNX.name)]


def test_widths_in_memory_may_be_chosen() -> None:
    for widen in (True, False):
        rows = profile_files([ONNX, TFLITE], ProfileOptions(1, threads=1, widen=widen)).models
        assert [row.widened for row in rows] == [False, widen]
    with pytest.raises(UsageError, match="expected a TFLite file with 2-bit weights, got none"):
        profile_files([ONNX], ProfileOptions(1, widen=True))


def test_more_threads_than_cores_are_warned_of_and_done(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "edgefake_runtime"):
        found = profile_files([ONNX], ProfileOptions(1, threads=cores() + 1))
    assert found.threads == cores() + 1
    assert f"{cores() + 1} threads on {cores()} core" in caplog.text


def test_a_video_without_a_face_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_video(tmp_path / "stripes.mp4", 10, size=(160, 120))
    with caplog.at_level(logging.WARNING, "edgefake_runtime"):
        (row,) = profile_files([ONNX], ProfileOptions(1, threads=1, video=clip, every=5)).models
    assert "stripes.mp4: no face in the frames that were scored" in caplog.text
    assert row.video is not None
    assert (row.video.faces, row.video.frames_scored) == (0, 2)
    assert row.video.real_time_factor is not None


def test_a_process_that_is_gone_is_told_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Worker.ask

    def dying(self: Worker, do: str, **values: object) -> object:
        if do == "run":
            os.kill(self._process.pid, 9)
        return ask(self, do, **values)

    monkeypatch.setattr(Worker, "ask", dying)
    with pytest.raises(ModelFileError, match=rf"{ONNX.name}: the process that ran it ended: signal SIGKILL"):
        profile_files([ONNX], ProfileOptions(1))


def test_options_out_of_range_are_refused() -> None:
    for options in ({"runs": 0}, {"every": 0}, {"threads": 0}, {"threads": 5000}):
        with pytest.raises(UsageError):
            ProfileOptions(**options)


def refused(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        profile_files([path], ProfileOptions(1, **options))  # type: ignore[arg-type]
    return str(error.value)


def test_what_is_no_model_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "cut.onnx").write_bytes(ONNX.read_bytes()[:5000])
    (tmp_path / "cut.tflite").write_bytes(TFLITE.read_bytes()[:5000])
    for name, words in (
        ("none.onnx", "got no such file"),
        ("text.onnx", "expected an ONNX or TFLite file, got neither"),
        ("empty.onnx", "got an empty one"),
        ("cut.onnx", "expected an ONNX or TFLite file, got neither, or a damaged one"),
        ("cut.tflite", "expected a whole TFLite file, got a damaged one"),
    ):
        message = refused(tmp_path / name)
        assert message.startswith(f"{tmp_path / name}: ")
        assert words in message
    assert "got a folder; name the files in it" in refused(tmp_path)
    assert "without its metadata" in refused(models_folder() / "mtcnn" / "rnet.onnx")


def test_a_model_that_the_runtime_cannot_run_is_refused(tmp_path: Path) -> None:
    """An operator set of the future; its number is the last but one byte of its entry."""
    import onnx

    model = onnx.load(str(ONNX))
    model.opset_import[0].version = 99
    onnx.save(model, str(tmp_path / "future.onnx"))
    message = refused(tmp_path / "future.onnx")
    assert message.startswith(f"{tmp_path / 'future.onnx'}: expected a model that can run here, but onnxruntime")


def test_a_video_that_is_none_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "__init__", lambda self: pytest.fail("a process was started"))
    assert "expected a video, got a picture" in refused(ONNX, video=SAMPLES / "astronaut.png")
    assert "got no such file" in refused(ONNX, video=tmp_path / "none.mp4")


def test_files_are_named_once_and_at_least_one() -> None:
    with pytest.raises(UsageError, match="expected model files, got none"):
        profile_files([])
    with pytest.raises(UsageError, match="expected each file once, got it twice"):
        profile_files([ONNX, ONNX])


def test_percentiles_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of given seconds: the rest of the process is real."""
    seconds = [0.004, 0.001, 0.003, 0.002, 0.010]
    given, ask = iter(seconds), Worker.ask
    monkeypatch.setattr(
        Worker, "ask", lambda self, do, **values: next(given) if values.get("times") == 1 else ask(self, do, **values)
    )
    (row,) = profile_files([ONNX], ProfileOptions(5, threads=1)).models
    assert row.p50_ms == pytest.approx(3.0)
    assert row.p95_ms == pytest.approx(1000 * np.percentile(seconds, 95))
    assert row.images_per_s == pytest.approx(250)
