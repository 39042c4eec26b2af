"""What is said of figures that are given, and what is recommended."""

from dataclasses import replace

import pytest

from edgefake_runtime.advice import MOST_ROUNDING, advise
from edgefake_runtime.cpu import Cpu
from edgefake_runtime.profile import ModelProfile

CPU = Cpu("Cortex-A72", "aarch64", 4, ("NEON",))


def row(name: str, bits: int, size: float, ms: float, *, format: str = "ONNX", model: str = "vit") -> ModelProfile:
    return ModelProfile(
        name=name,
        format=format,
        bits=bits,
        size_mb=size,
        parameters=1000,
        load_ms=1.0,
        p50_ms=ms,
        p95_ms=ms,
        images_per_s=1000 / ms,
        peak_rss_mb=None,
        ratio=1.0,
        base_rss_mb=None,
        file=name,
        model=model,
        widened=False,
    )


FLOAT, INT8, INT2 = row("f.onnx", 32, 80.0, 100.0), row("8.onnx", 8, 20.0, 50.0), row("2.onnx", 2, 5.0, 54.0)


def test_the_smallest_within_a_tenth_of_the_fastest_is_recommended() -> None:
    advice = advise([FLOAT, INT8, INT2], CPU)
    assert advice.recommended is INT2
    text = "\n".join(advice.lines)
    assert "The fastest: 8.onnx, 50.00 ms and 20.00 MB." in text
    assert (
        "The smallest file: 2.onnx, 54.00 ms and 5.00 MB: 25% of the fastest one's size, 1.08 times its time." in text
    )
    assert "For this CPU (Cortex-A72), take 2.onnx" in text
    assert "slower than fp32" not in text


def test_a_small_file_that_is_slow_is_a_trade_off() -> None:
    slow = replace(INT2, p50_ms=90.0)
    advice = advise([FLOAT, INT8, slow], CPU)
    assert advice.recommended is INT8
    assert "Where bytes count more than time: 2.onnx, 25% of the size for 1.80 times the time" in advice.lines[-1]
    hardly_smaller = advise([FLOAT, INT8, replace(slow, size_mb=19.0)], CPU)
    assert "bytes count" not in hardly_smaller.lines[-1]


def test_narrow_weights_that_do_not_pay_are_said() -> None:
    slow = [FLOAT, replace(INT8, p50_ms=130.0), replace(INT2, p50_ms=102.0)]
    advice = advise(slow, CPU)
    expected = "int8 is slower than fp32 here: 8.onnx takes 1.30 times as long as f.onnx (130.00 against 100.00 ms)."
    assert expected in advice.lines
    assert not any(line.startswith("int2 is slower") for line in advice.lines)  # by 2 %, as two runs may differ
    half = row("16.tflite", 16, 40.0, 20.0, format="TFLite")
    single = row("32.tflite", 32, 80.0, 10.0, format="TFLite")
    assert any(
        line.startswith("fp16 is slower than fp32 here: 16.tflite") for line in advise([half, single], CPU).lines
    )


def test_only_files_of_one_network_and_runtime_are_compared() -> None:
    others = [row("other.onnx", 8, 20.0, 200.0, model="cnn"), row("8.tflite", 8, 20.0, 300.0, format="TFLite")]
    assert not any("slower" in line for line in advise([FLOAT, *others], CPU).lines)


def test_what_rounding_changed_is_not_recommended_unseen() -> None:
    advice = advise([FLOAT, INT8, INT2], CPU, rounding={"2.onnx": 0.4, "8.onnx": MOST_ROUNDING})
    assert advice.recommended is INT8
    (line,) = [line for line in advice.lines if line.startswith("Not recommended unseen")]
    assert "2.onnx by 40%" in line
    assert "8.onnx" not in line
    none = advise([INT8, INT2], CPU, rounding={"2.onnx": 0.4, "8.onnx": 0.4})
    assert none.recommended is None
    assert none.lines[-1] == "No file is recommended: none kept its answers."


def test_one_file_needs_no_advice() -> None:
    assert advise([FLOAT], CPU) == advise([], CPU)
    assert advise([FLOAT], CPU).lines == ()


@pytest.mark.parametrize("first", [FLOAT, INT2])
def test_the_fastest_that_is_also_the_smallest_is_said_once(first: ModelProfile) -> None:
    best = replace(INT2, p50_ms=10.0)
    advice = advise([best if first is INT2 else FLOAT, best] if first is FLOAT else [best, FLOAT], CPU)
    assert advice.lines[0] == "The fastest file is also the smallest: 2.onnx, 10.00 ms and 5.00 MB."
    assert advice.recommended == best
