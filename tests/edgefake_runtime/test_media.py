"""Media: pictures and videos that open give the right frames."""

import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgefake_runtime.errors import InputError, UsageError, printable
from edgefake_runtime.media import Picture, Video, open_media

from .clips import number, write_noise_video, write_picture, write_video


def cut(path: Path, source: Path, share: float) -> Path:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


# Pictures


def open_picture(path: Path) -> Picture:
    media = open_media(path)
    assert isinstance(media, Picture)
    return media


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_a_picture_is_rgb(suffix: str, tmp_path: Path) -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    with open_media(write_picture(tmp_path / f"p{suffix}", bgr)) as picture:
        assert (picture.kind, picture.width, picture.height) == ("image", 30, 20)
        assert isinstance(picture, Picture)
        np.testing.assert_array_equal(picture.frame(), bgr[..., ::-1])


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_lossy_picture_keeps_its_colours(suffix: str, tmp_path: Path) -> None:
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 2] = 200
    frame = open_picture(write_picture(tmp_path / f"p{suffix}", red)).frame()
    np.testing.assert_allclose(frame.mean((0, 1)), [200, 0, 0], atol=4)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.full((20, 30), 77, np.uint8), 77),
        (np.full((20, 30), 77 * 256 + 5, np.uint16), 77),
        (np.full((20, 30, 4), 77 * 256 + 5, np.uint16), 77),
        (np.full((20, 30, 4), 77, np.uint8), 77),
    ],
    ids=["gray", "gray-16-bit", "alpha-16-bit", "alpha"],
)
def test_depth_and_channels_become_8_bit_rgb(image: np.ndarray, expected: int, tmp_path: Path) -> None:
    frame = open_picture(write_picture(tmp_path / "p.png", image)).frame()
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, np.full((20, 30, 3), expected))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32] = 255  # white on the left: on top once turned clockwise by a right angle
    path = write_picture(tmp_path / "p.jpg", image)
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + data[2:])
    picture = open_picture(path)
    assert (picture.width, picture.height) == (32, 64)
    assert picture.frame()[:28].mean() > 250
    assert picture.frame()[36:].mean() < 5


# Videos


def open_video(path: Path) -> Video:
    media = open_media(path)
    assert isinstance(media, Video)
    return media


def test_a_video_tells_its_size_and_length(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", 50, fps=20.0)) as video:
        assert (video.kind, video.width, video.height) == ("video", 64, 48)
        assert (video.fps, video.frames_total, video.duration_s) == (20.0, 50, 2.5)


@pytest.mark.parametrize("every", [1, 7, 30, 100])
def test_sampled_frames_are_the_ones_asked_for(every: int, tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", 65)) as video:
        frames = list(video.frames(every))
        assert (video.frames_read, video.truncated, video.note) == (frames[-1].index + 1, False, None)
    assert [frame.index for frame in frames] == list(range(0, 65, every))
    np.testing.assert_allclose([f.time_s for f in frames], [f.index / 25 for f in frames], atol=1e-6)
    assert all(frame.image.shape == (48, 64, 3) for frame in frames)
    assert [number(frame.image) for frame in frames] == [frame.index for frame in frames]


def test_frames_are_rgb(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 220), np.uint8))  # red as BGR
    writer.release()
    with open_video(tmp_path / "v.mp4") as video:
        red, green, blue = next(video.frames(1)).image.mean((0, 1))
    assert red > 200
    assert max(green, blue) < 30


def test_max_frames_stops_early_and_frames_can_be_read_again(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", 60)) as video:
        assert [f.index for f in video.frames(10, 3)] == [0, 10, 20]
        assert (video.frames_read, video.truncated) == (21, False)
        assert [f.index for f in video.frames(20)] == [0, 20, 40]
        assert video.frames_read == 41


@pytest.mark.parametrize("change", ["removed", "overwritten"])
def test_a_second_pass_refuses_a_file_that_changed(change: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 5)
    with open_video(path) as video:
        list(video.frames(1))
        path.unlink()
        if change == "overwritten":
            path.write_text("text")
        with pytest.raises(InputError, match=r"v\.mp4: expected .*, got "):
            next(video.frames(1))


@pytest.mark.parametrize(("every", "most"), [(0, None), (-3, None), (1, 0)])
def test_impossible_sampling_is_wrong_usage(every: int, most: int | None, tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", 2)) as video, pytest.raises(UsageError, match="every"):
        video.frames(every, most)


def test_a_closed_video_yields_nothing_more(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "v.mp4", 30))
    frames = video.frames(1)
    next(frames)
    video.close()
    assert list(frames) == []
    assert not video.truncated
    with pytest.raises(ValueError, match="closed"):
        video.frames(1)


def test_a_video_may_be_closed_while_another_thread_reads_it(tmp_path: Path) -> None:
    """A decoder that is freed while it works takes the process along: the reader's frames end instead."""
    path = write_video(tmp_path / "v.mp4", 120, size=(640, 480))
    for turn in range(40):
        video = open_video(path)
        frames = video.frames(1 + turn % 3)
        seen: list[int] = []
        reader = threading.Thread(target=lambda frames=frames, seen=seen: seen.extend(f.index for f in frames))
        reader.start()
        time.sleep(0.002 * (turn % 10))
        video.close()
        reader.join(30)
        assert not reader.is_alive()
        assert seen == list(range(0, 120, 1 + turn % 3))[: len(seen)]
        assert video.exhausted == (video.frames_read == 120)
        assert list(frames) == []


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 5)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with open_video(path) as video:
            next(video.frames(1))
            list(video.frames(1))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_video_cut_in_the_middle_yields_its_frames_and_a_note(tmp_path: Path) -> None:
    whole = write_noise_video(tmp_path / "whole.avi", 40)
    with open_video(cut(tmp_path / "half.avi", whole, 0.5)) as video:
        frames = list(video.frames(1))
        assert 15 <= len(frames) <= 22
        assert video.frames_read == len(frames)
        assert video.frames_total == 40  # the claim is in the header, which the cut leaves
        assert video.truncated
        read = f"{len(frames)} of 40 frames could be read"
        assert video.note == f"{tmp_path}/half.avi: cut off or damaged: {read}"


def test_a_damaged_frame_does_not_end_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 48)
    data = bytearray(path.read_bytes())
    middle = (data.index(b"mdat") + data.index(b"moov")) // 2
    data[middle : middle + 40] = b"\xaa" * 40
    path.write_bytes(bytes(data))
    with open_video(path) as video:
        assert len(list(video.frames(1))) >= 40


def test_rotation_in_the_container_is_applied(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 32))
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32] = 255
    writer.write(image)
    writer.release()
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 44  # ISO 14496-12, 8.3.2, version 0
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 32 * one, 0, 1 << 30)
    (tmp_path / "v.mp4").write_bytes(bytes(data))
    with open_video(tmp_path / "v.mp4") as video:
        assert (video.width, video.height) == (32, 64)
        upright = next(video.frames(1)).image
    assert upright[:28].mean() > 240
    assert upright[36:].mean() < 15


def test_a_gif_is_a_video(tmp_path: Path) -> None:
    if not cv2.haveImageWriter("x.gif"):
        pytest.skip("this cv2 writes no GIF")
    path = write_picture(tmp_path / "p.gif", np.full((32, 48, 3), 128, np.uint8))
    with open_video(path) as video:
        (frame,) = video.frames(1)
        assert (video.width, video.height) == (48, 32)
    assert frame.image.mean() == pytest.approx(128, abs=8)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 3).rename(tmp_path / "v.jpg")
    write_picture(tmp_path / "p.png", np.zeros((32, 32, 3), np.uint8)).rename(tmp_path / "p.mp4")
    assert open_media(tmp_path / "v.jpg").kind == "video"
    assert open_media(tmp_path / "p.mp4").kind == "image"


@pytest.mark.parametrize("name", [b"caf\xe9", b"new\nline", b"%03d", b"concat:a|b", "日本".encode()])
def test_any_file_name_opens(name: bytes, tmp_path: Path) -> None:
    video = tmp_path / os.fsdecode(name + b".mp4")
    picture = tmp_path / os.fsdecode(name + b".png")
    write_video(tmp_path / "v.mp4", 3).rename(video)
    write_picture(tmp_path / "p.png", np.zeros((32, 32, 3), np.uint8)).rename(picture)
    with open_video(video) as opened:
        assert len(list(opened.frames(1))) == 3
    assert open_picture(picture).width == 32
    assert printable(video).isprintable()
    printable(video).encode("utf-8")


MEASURE_MEMORY = """
import resource, sys
from pathlib import Path
from edgefake_runtime.media import open_media
for name in sys.argv[1:]:
    with open_media(Path(name)) as video:
        assert sum(frame.image[0, 0, 0] > 0 for frame in video.frames(1)) > 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", 60, size=(320, 240))
    long = write_video(tmp_path / "long.mp4", 600, size=(320, 240))
    command = [sys.executable, "-c", MEASURE_MEMORY, str(short), str(long)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    after_short, after_long = (int(line) / 1024 for line in done.stdout.split())
    assert after_long - after_short < 20  # MB; the frames of the long one together are 138
