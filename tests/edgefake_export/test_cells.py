"""What can be exported, and the reason why the rest is refused."""

from itertools import product

import pytest
from torch import nn

from edgefake.models import BitLinear, build
from edgefake_export import legal_recipes, resolve
from edgefake_export.cells import BITS, FORMATS, METHODS, PER, STYLES
from edgefake_runtime.errors import UsageError


@pytest.mark.parametrize(
    ("name", "choices", "reason"),
    [
        ("bitvit", {"method": "absmax"}, "BitLinear weights are ternary already"),
        ("bitvit", {"bits": 6}, "ternary values need 2 bits"),
        ("bitvit", {"bits": 3, "format": "tflite"}, "ternary values need 2 bits"),
        ("bitvit", {"per": "channel"}, "a BitLinear has one scale"),
        ("bitvit", {"format": "tflite", "style": "qdq"}, "53 XNNPACK partitions"),
        ("bitvit", {"format": "tflite", "activations": "static"}, "53 XNNPACK partitions"),
        ("bitvit", {"style": "qdq", "activations": "dynamic"}, "no scale a token"),
        ("bitvit", {"style": "integer", "activations": "static"}, "scales are taken while running"),
        ("bitvit", {"style": "qdq", "bits": 32}, "expected 8, 4 or 2 with --style qdq"),
        ("bitvit", {"bits": 32, "other": 8}, "would be the coarser part"),
        (
            "bitvit",
            {"bits": 4, "format": "tflite", "older_runtimes": True},
            "every LiteRT reads it as it is, so leave it out",
        ),
        ("bitvit", {"style": "qdq", "older_runtimes": True}, "expected the integer style, got qdq"),
        ("linvit", {"method": "qat"}, "has no BitLinear"),
        ("linvit", {"bits": 16, "method": "gptq"}, "nothing is quantized there"),
        ("linvit", {"bits": 8, "method": "gptq"}, "rounding to nearest is as good"),
        ("linvit", {"bits": 8, "style": "qdq", "method": "zeropoint"}, "symmetric weights"),
        ("linvit", {"bits": 32, "per": "channel"}, "nothing has a scale there"),
        (
            "linvit",
            {"format": "tflite", "bits": 2, "method": "zeropoint", "older_runtimes": True},
            "expected weights without zero-points at 2 bits for tflite, got zeropoint: take --method absmax or gptq",
        ),
        ("linvit", {"bits": 5}, "--bits: expected 32, 16, 8, 6, 4, 3 or 2, got 5"),
        ("linvit", {"format": "coreml"}, "--format: expected onnx or tflite, got coreml"),
        ("linvit", {"other": 2}, "--other: expected 32, 16, 8 or 4, got 2"),
        ("cnn", {"method": "awq"}, "--method: expected qat, absmax, zeropoint or gptq, got awq"),
        ("cnn", {"bits": 8, "per": "group"}, "--per: expected tensor or channel, got group"),
    ],
)
def test_what_is_refused_says_why(name, choices, reason):
    with pytest.raises(UsageError, match=reason):
        resolve(build(f"{name}-nano"), **choices)


@pytest.mark.parametrize("name", ["bitvit-nano", "linvit-nano"])
def test_every_combination_is_legal_or_refused_with_a_reason(name):
    network = build(name)
    legal = {
        (r.format, r.bits, r.method, r.per, r.style)
        for r in legal_recipes(ternary=name.startswith("bit"))
        if not r.older_runtimes
    }
    found, reasons = set(), []
    for format, bits, method, per, style in product(FORMATS, BITS, (None, *METHODS), PER, STYLES):
        try:
            recipe = resolve(network, format=format, bits=bits, method=method, per=per, style=style)
        except UsageError as error:
            reasons.append(str(error))
        else:
            found.add((recipe.format, recipe.bits, recipe.method, recipe.per, recipe.style))
    assert all(reason.startswith("--") for reason in reasons)
    assert found == legal


def test_nothing_said_is_two_bits_for_a_bitvit_and_floats_for_others():
    recipe = resolve(build("bitvit-nano"))
    assert (recipe.format, recipe.bits, recipe.method, recipe.style, recipe.other) == ("onnx", 2, "qat", "integer", 4)
    recipe = resolve(build("linvit-nano"))
    assert (recipe.bits, recipe.method, recipe.other) == (32, "float", 32)
    recipe = resolve(build("cnn-nano"), bits=4)
    assert (recipe.method, recipe.per, recipe.activations, recipe.other) == ("absmax", "tensor", "dynamic", 8)
    assert resolve(build("cnn-nano"), bits=4, method="gptq").per == "channel"
    assert resolve(build("cnn-nano"), bits=8, activations="static").style == "qdq"


def test_heads_keep_eight_bits():
    recipe = resolve(build("bitvit-nano"), bits=2)
    assert (recipe.other, recipe.least_other) == (4, 8)
    assert resolve(build("bitvit-nano"), bits=2, other=32).least_other == 32


def test_any_network_with_bitlinear_counts_as_ternary():
    assert resolve(nn.Sequential(nn.Linear(4, 4), BitLinear(4, 2))).method == "qat"
    assert resolve(nn.Sequential(nn.Linear(4, 4))).bits == 32
