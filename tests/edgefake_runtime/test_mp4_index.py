"""Frames that an MP4's index lists: right where it is sure, and no answer where anything may hide others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgefake_runtime.media import Video, open_media
from edgefake_runtime.mp4_index import listed_frames

from .clips import number, write_noise_video, write_video

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def listed(path: Path) -> int | None:
    with path.open("rb") as file:
        return listed_frames(file)


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


def read(path: Path, every: int) -> tuple[list[int], int, bool]:
    """Numbers that the sampled frames show, how many frames were decoded, and whether to the end."""
    with open_media(path) as video:
        assert isinstance(video, Video)
        return [number(frame.image) for frame in video.frames(every)], video.frames_read, video.exhausted


def fewer_sizes(data: bytes) -> bytes:
    at = data.index(b"stsz") + 12
    return data[:at] + (int.from_bytes(data[at : at + 4]) - 1).to_bytes(4) + data[at + 4 :]


def fewer_times(data: bytes) -> bytes:
    """FFmpeg claims what this table counts, and plays what the other one lists."""
    at = data.index(b"stts") + 12
    assert int.from_bytes(data[at : at + 4]) == 65
    return data[:at] + (20).to_bytes(4) + data[at + 4 :]


def test_an_mp4_lists_its_frames(tmp_path: Path) -> None:
    assert [listed(write_video(tmp_path / f"{count}.mp4", count)) for count in (1, 5, 65)] == [1, 5, 65]
    assert listed(write_video(tmp_path / "v.mov", 7)) == 7
    assert listed(SAMPLES / "real.mp4") == 100


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"more",
        lambda data: data + (16).to_bytes(4) + b"moof" + bytes(8),
        lambda data: data + data[data.index(b"moov") - 4 :],
        lambda data: data.replace(b"vide", b"soun"),
        lambda data: data.replace(b"stsz", b"free"),
        lambda data: data.replace(b"udta", b"mvex"),
        lambda data: data[: data.index(b"moov") - 4] + bytes(4) + data[data.index(b"moov") :],
    ],
    ids=["cut", "more", "fragment", "two indexes", "sound", "no sizes", "fragments to come", "no length"],
)
def test_it_is_silent_where_it_cannot_be_sure(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 65)
    assert listed(path) == 65
    assert listed(changed(path, change)) is None


def test_other_containers_list_nothing(tmp_path: Path) -> None:
    assert listed(write_noise_video(tmp_path / "v.avi", 5)) is None
    (tmp_path / "empty.mp4").touch()
    assert listed(tmp_path / "empty.mp4") is None


@pytest.mark.parametrize(
    ("every", "sampled", "decoded"),
    [(1, 65, 65), (7, 10, 64), (30, 3, 61), (64, 2, 65), (65, 1, 1), (1000, 1, 1)],
)
def test_nothing_is_decoded_after_the_last_frame_to_sample(
    every: int, sampled: int, decoded: int, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "v.mp4", 65)
    shown = list(range(0, 65, every))
    assert len(shown) == sampled
    assert read(path, every) == (shown, decoded, decoded == 65)
    assert read(changed(path, lambda data: data + b"more"), every) == (shown, 65, True)


@pytest.mark.parametrize("every", [1, 10, 30])
@pytest.mark.parametrize("change", [fewer_sizes, fewer_times])
def test_an_index_that_contradicts_itself_hides_no_frame(
    change: Callable[[bytes], bytes], every: int, tmp_path: Path
) -> None:
    """What is sampled is what FFmpeg gives when it is asked to the end."""
    path = changed(write_video(tmp_path / "v.mp4", 65), change)
    shown, decoded, _ = read(path, every)
    there = 64 if change is fewer_sizes else 65
    assert decoded == there
    assert shown == list(range(0, there, every))
