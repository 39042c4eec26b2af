"""The examples of docs/python.md and docs/camera.md run."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
CAMERA = (ROOT / "docs" / "camera.md").read_text(encoding="utf-8")
*EXAMPLES, SERVICE = re.findall(r"^```python\n(.*?)^```", PYTHON, flags=re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^```sh\n(.*?)^```", CAMERA, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("guides")
    (place / "clip.mp4").symlink_to(ROOT / "docs" / "samples" / "real.mp4")
    (place / "photo.png").symlink_to(ROOT / "docs" / "samples" / "astronaut.png")
    (place / "videos").mkdir()
    (place / "videos" / "other.mp4").symlink_to(ROOT / "docs" / "samples" / "fake.mp4")
    return place


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_guide_shows_every_way_in():
    shown = "".join(EXAMPLES)
    for name in (
        "detect(",
        "detect_many(",
        "detect_frames(",
        "look(",
        "stream(",
        "Camera(",
        "SampledFrame(",
        "logging",
    ):
        assert name in shown


def test_the_camera_command_gives_the_documented_lines(folder):
    command = [sys.executable, "-m", *shlex.split(COMMAND, comments=True)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    (form,) = re.findall(r"^```\n(\{.*?\})\n```", CAMERA, flags=re.MULTILINE | re.DOTALL)
    documented = re.findall(r'"(\w+)"', form)
    line = json.loads(done.stdout.splitlines()[0])
    (track,) = line["tracks"]
    assert [*line, *track, *track["face"]] == documented


def post(address, data):
    with urllib.request.urlopen(address, data, timeout=120) as answer:
        return json.load(answer)


def wait_for(port, running):
    for _ in range(2000):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.1)
    pytest.fail("the service does not listen")


def test_the_service_answers(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = SERVICE.replace("8000), Service", f"{port}), Service")
    assert code != SERVICE
    running = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(port, running)
        address = f"http://127.0.0.1:{port}"
        answer = post(address, (folder / "photo.png").read_bytes())
        assert (answer["kind"], answer["error"], len(answer["faces"])) == ("image", None, 1)
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(address, b"neither a picture nor a video")
        assert refused.value.code == 422
        assert "expected a picture or video" in json.load(refused.value)["error"]
    finally:
        running.kill()
        running.communicate()


def test_links_lead_somewhere():
    links = [link for text in (PYTHON, CAMERA) for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert len(links) > 3
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]
