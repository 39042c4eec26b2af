"""scripts/golden_android.py: the committed values are what this runtime still answers."""

import base64
import importlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "runtime" / "android" / "core" / "src" / "test" / "resources" / "golden.json"
CURE = "run scripts/golden_android.py, and say in the change why the runtime's answers moved"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield importlib.import_module("golden_android")


@pytest.fixture(scope="module")
def committed():
    return json.loads(COMMITTED.read_text())


@pytest.fixture(scope="module")
def fresh(script):
    return json.loads(script.text_of(script.golden()))


def unpacked(text, kind):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def test_the_same_parts(committed, fresh):
    assert list(fresh) == list(committed)


@pytest.mark.parametrize("part", ["metadata", "pyramids", "suppressions", "rectangles", "links", "refusals"])
def test_exact_parts(committed, fresh, part):
    assert fresh[part] == committed[part], CURE


@pytest.mark.parametrize("part", ["turns", "aggregates"])
def test_numbers(committed, fresh, part):
    for ours, golden in zip(fresh[part], committed[part], strict=True):
        for name, value in golden.items():
            assert ours[name] == pytest.approx(value, abs=1e-9), CURE


def test_operating_points_and_verdicts(committed, fresh):
    for ours, golden in zip(fresh["points"], committed["points"], strict=True):
        assert [ours[name] for name in ("threshold", "low", "high")] == pytest.approx(
            [golden[name] for name in ("threshold", "low", "high")]
        )
        assert [verdict for *_, verdict in ours["verdicts"]] == [verdict for *_, verdict in golden["verdicts"]], CURE


def test_pictures(committed, fresh):
    """OpenCV's builds may round a tie differently."""
    for ours, golden in zip(fresh["resizes"], committed["resizes"], strict=True):
        pixels = [unpacked(record["data"], np.uint8).astype(int) for record in (ours, golden)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1, CURE
        assert ours["sharpness"] == pytest.approx(golden["sharpness"], rel=1e-3)
    rgb = [unpacked(record["colors"]["rgb"], np.uint8).astype(int) for record in (fresh, committed)]
    assert np.abs(rgb[0] - rgb[1]).max() <= 1, CURE


def test_what_the_networks_are_asked_and_answer(committed, fresh):
    """P-Net is asked the very same; the rest follows from answers, whose last bits differ from CPU to CPU."""
    ours, golden = fresh["cascade"], committed["cascade"]
    assert [(call["network"], call["shape"]) for call in ours["calls"]] == [
        (call["network"], call["shape"]) for call in golden["calls"]
    ], CURE
    for call, old in zip(ours["calls"], golden["calls"], strict=True):
        if call["network"] == "pnet":
            assert call["crc32"] == old["crc32"], CURE
        for name, output in call["outputs"].items():
            values = [unpacked(record["data"], "<f4") for record in (output, old["outputs"][name])]
            np.testing.assert_allclose(values[0], values[1], atol=1e-3, err_msg=CURE)
    for face, old in zip(ours["faces"], golden["faces"], strict=True):
        np.testing.assert_allclose(face["box"], old["box"], atol=0.01, err_msg=CURE)
        np.testing.assert_allclose(face["landmarks"], old["landmarks"], atol=0.01, err_msg=CURE)
        assert face["score"] == pytest.approx(old["score"], abs=1e-4)


def test_the_file_stays_small():
    assert COMMITTED.stat().st_size < 300_000
