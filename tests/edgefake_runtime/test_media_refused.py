"""Media: what cannot be read is refused in one clear line, and finding files."""

import base64
import os
import struct
import subprocess
import sys
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgefake_runtime.errors import InputError, UsageError, printable
from edgefake_runtime.media import Problem, discover, open_media

from .clips import write_noise_video, write_picture, write_video

# ffmpeg 5.1: -f lavfi -i sine=d=0.1:r=8000 -c:a aac -b:a 8k -fflags +bitexact sound.mp4, then zlib, base64.
SOUND_ONLY_MP4 = """
eNpjYGCQSSupLMgszs9lYGBiANFAbJRbYGLIwMDAkVaUmsrAwFibm5JYco+JwSexLNnUUs/YXM/QwICBqSBVqTuh6tzf2sLVO/VU
olRcOhgVkYCVirrL6/lTLltM8TmUtkVV//bVTx2Fs3uilW6K3El6LHaiX7BQa9FpEFv4o4jrMRUXJY1OQSVFkUCXjkUdi4CmdSl1
gQQXuXh0aSwCMgNFApUUBV2BpFLHok5Bji6NiUJKGiA5DRhzogBIBiEP5O4UVG5gtDHqfpYYGvn47e+vq6erTHLpFFJijty5YOb1
W0VylQtqr0vlz+JZ9yRDe87PNreZZ8+bPb9V7FxzIbX02GZnEKdI7Fmz9jqT+yaS5XaXJ3w+u1uvHKxj4XLF57OLf965AJSJLVwG
UStXl2G067HvZ0cwp3LBqde95mfZYs9veWLzOQ9mVbYJiLPcBCgTHpO5o/LZnd9+zufBnH0ZamCOCf+u58BI+ZSbn18GjIyc3LKM
FAYUwPwCSKQwMDKAEAIwoqpC5zsw4AVMQORYUpSYDWTHlGSD7WTGYhqyWxgZSbdXJTWlpBhIy6TmFJcg6QCaywLVy7gzNyUzEchQ
yE1B97s80Dh2hdAjYI5uRkpOEUymOL80D1llMJCf4pGYl5KTClLDmJKbmZcGZAgU56IYqpICEZdJKUpNQ3IQT2lRjgKEzahRXJKU
A2TXFZcUpyCpyQPmmEQMbzMxCMCcCgRmqcUpxeBoa2hoUAUqYwHS4g6iYEljeRBmBYqwinaEPWVgA7IYgVHBIJJUUgQNHogaUHAU
l4CDDhpdIBtZoDYzg1wqA3RdMpJrGBHqwHJVqNHNsAeId4LsKi5JzkfSpwPEUsXpBSkgTlF+Tg7MnP//wSYlpRcwIGSQbbEtTSkB
hYdpbmoJLFwUkSMJGLFFiQUFOcgRxZEJTAkA/x4FLQ==
"""


def png_header(width: int, height: int) -> bytes:
    """A PNG that ends after its header."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG that ends after its frame header."""
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)


def write_wav(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return path


def cut(path: Path, source: Path, share: float) -> Path:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


# What is refused


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("Meeting notes.\n" * 40)
    return path


def playlist(folder: Path) -> Path:
    path = folder / "list.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    return path


def sound_only(folder: Path) -> Path:
    path = folder / "sound.mp4"
    path.write_bytes(zlib.decompress(base64.b64decode(SOUND_ONLY_MP4)))
    return path


def no_index(folder: Path) -> Path:
    return cut(folder / "cut.mp4", write_video(folder / "whole.mp4", 20), 0.6)


def no_frames(folder: Path) -> Path:
    """The index is whole, the coded frames are zeros."""
    path = write_video(folder / "zeros.mp4", 3)
    data = path.read_bytes()
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    return path


def never_written(folder: Path) -> Path:
    return write_video(folder / "none.mp4", 0)


def small_picture(folder: Path) -> Path:
    return write_picture(folder / "small.png", np.zeros((15, 40, 3), np.uint8))


def huge_png(folder: Path) -> Path:
    path = folder / "huge.png"
    path.write_bytes(png_header(20_000, 20_000))
    return path


def huge_jpeg(folder: Path) -> Path:
    path = folder / "huge.jpg"
    path.write_bytes(jpeg_header(20_000, 20_000))
    return path


def cut_png(folder: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return cut(folder / "cut.png", write_picture(folder / "whole.png", image), 0.5)


def cut_jpeg(folder: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return cut(folder / "cut.jpg", write_picture(folder / "whole.jpg", image), 0.5)


def header_only(folder: Path) -> Path:
    path = folder / "header.png"
    path.write_bytes(png_header(64, 64)[:20])
    return path


def padded_png(folder: Path) -> Path:
    """A valid small picture in a file of 80 MB (sparse on disk)."""
    path = write_picture(folder / "padded.png", np.zeros((32, 32, 3), np.uint8))
    os.truncate(path, 80_000_000)
    return path


def heic(folder: Path) -> Path:
    path = folder / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    return path


def unknown(folder: Path) -> Path:
    path = folder / "data.mp4"
    path.write_bytes(bytes(range(256)))
    return path


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def link_loop(folder: Path) -> Path:
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder / "loop.mp4"


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "missing.mp4", "no such file"),
    "folder": (lambda folder: folder, "a folder"),
    "device": (lambda _: Path("/dev/null"), "a device or pipe"),
    "pipe": (pipe, "a device or pipe"),
    "link-loop": (link_loop, "symbolic links"),
    "nul-in-name": (lambda folder: folder / "a\0b.mp4", "null"),
    "empty": (empty, "an empty file"),
    "text": (text, "got text"),
    "playlist": (playlist, "got text"),
    "wav": (lambda folder: write_wav(folder / "wave.mp4"), "sound only"),
    "sound-only": (sound_only, "sound only"),
    "no-index": (no_index, "no whole moov box"),
    "no-frames": (no_frames, "without a frame that can be decoded"),
    "never-written": (never_written, "expected a video, got one without"),
    "small-picture": (small_picture, "at least 16 pixels on a side, got 40x15"),
    "small-video": (lambda folder: write_video(folder / "tiny.mp4", 2, size=(64, 8)), "got 64x8"),
    "huge-png": (huge_png, "at most 100 megapixels, got 20000x20000"),
    "huge-jpeg": (huge_jpeg, "at most 100 megapixels, got 20000x20000"),
    "cut-png": (cut_png, "damaged or cut off PNG"),
    "cut-jpeg": (cut_jpeg, "damaged or cut off JPEG"),
    "header-only": (header_only, "damaged PNG header"),
    "padded-png": (padded_png, "far longer than its 32x32 pixels"),
    "heic": (heic, "HEIC"),
    "unknown": (unknown, "an unknown format"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, reason = BAD[name]
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        open_media(path)
    message = str(caught.value)
    assert message.startswith(f"{printable(path)}: expected ")
    assert reason in message
    assert message.count(", got ") == 1
    assert "; " in message
    assert message.isprintable()


OPEN_ALL = """
import sys
from pathlib import Path
from edgefake_runtime.errors import InputError
from edgefake_runtime.media import open_media
for name in sys.argv[1:]:
    try:
        with open_media(Path(name)) as media:
            if media.kind == "video":
                print(sum(1 for _ in media.frames(1)), media.truncated)
            else:
                print(media.width, media.height)
    except InputError as error:
        print(error, file=sys.stderr)
"""


def test_stderr_stays_one_line_per_bad_file(tmp_path: Path) -> None:
    paths = []
    for name, (make, _) in BAD.items():
        if name != "nul-in-name":
            (tmp_path / name).mkdir()
            paths.append(make(tmp_path / name))
    half = cut(tmp_path / "half.avi", write_noise_video(tmp_path / "whole.avi", 40), 0.5)
    command = [sys.executable, "-c", OPEN_ALL, *map(str, paths), str(half)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = done.stderr.splitlines()
    assert len(lines) == len(paths)
    assert done.stdout.split()[1:] == ["True"]  # cv2's own handler for FFmpeg's log writes to stdout
    assert all(line.startswith(f"{path}: expected ") for line, path in zip(lines, paths, strict=True))


def test_stderr_and_the_environment_are_given_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    with pytest.raises(InputError):
        open_media(no_index(tmp_path))
    with pytest.raises(InputError):
        open_media(cut_png(tmp_path))
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"
    assert dict(os.environ) == before


AS_NOBODY = """
import os
from pathlib import Path
from edgefake_runtime.errors import InputError
from edgefake_runtime.media import discover, open_media
if os.geteuid() == 0:
    os.setuid(65534)
try:
    open_media(Path("secret.png"))
except InputError as error:
    print(error)
for item in discover([Path("closed"), Path("open")]):
    print(getattr(item, "message", item))
"""


def test_files_and_folders_without_permission_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "secret.png", np.zeros((32, 32, 3), np.uint8)).chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "open" / "inner").mkdir(parents=True)
    write_picture(tmp_path / "open" / "a.png", np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "open" / "inner").chmod(0)
    tmp_path.chmod(0o755)
    try:
        command = [sys.executable, "-c", AS_NOBODY]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    finally:
        (tmp_path / "closed").chmod(0o700)
        (tmp_path / "open" / "inner").chmod(0o700)
    if "setuid" in done.stderr:
        pytest.skip("root here may not become another user")
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["secret.png", "closed", "open/a.png", "open/inner"]
    assert "got one without read permission" in lines[0]
    assert "got one without read permission" in lines[1]
    assert "got one without read permission" in lines[3]


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_an_impossible_limit_is_wrong_usage(limit: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max_megapixels"):
        open_media(tmp_path / "any.png", max_megapixels=limit)


def test_a_video_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 2, size=(640, 480))
    with pytest.raises(InputError, match=r"at most 0.3 megapixels, got 640x480"):
        open_media(path, max_megapixels=0.3)


# Which files


def test_folders_are_searched_sorted_and_hidden_files_left_out(tmp_path: Path) -> None:
    for name in ["b.mp4", "a.PNG", "notes.txt", ".hidden.mp4", "sub/c.jpg", ".git/d.png", "sub/code.ts"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert discover([tmp_path]) == [tmp_path / "a.PNG", tmp_path / "b.mp4", tmp_path / "sub" / "c.jpg"]


def test_named_files_are_kept_whatever_their_suffix_and_once(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a.mp4").touch()
    named = [tmp_path / "notes.txt", tmp_path / "a.mp4", tmp_path / "a.mp4", tmp_path]
    assert discover(named) == [tmp_path / "notes.txt", tmp_path / "a.mp4"]


def test_what_gives_no_input_is_one_problem_each_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "a.mp4").touch()
    missing, bare, good = discover([tmp_path / "no", tmp_path / "bare", tmp_path / "a.mp4"])
    assert isinstance(missing, Problem)
    assert isinstance(bare, Problem)
    assert missing.message == f"{tmp_path}/no: expected a picture or video, got no such file; check the name"
    assert bare.message.startswith(f"{tmp_path}/bare: expected a picture or video, got a folder without any;")
    assert good == tmp_path / "a.mp4"


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    assert discover([tmp_path]) == [tmp_path / "a.mp4", tmp_path / "b.mp4"]
