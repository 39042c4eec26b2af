"""Post-training quantization against numpy written from the formulas, and what must hold of any quantizer."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgefake.models import build
from edgefake.ptq import PTQConfig, quantize, weight_bytes
from edgefake.quantized import Activations, QuantizedLayer, store
from edgefake.quantizers import absmax, dequantize, zeropoint
from edgefake_runtime.errors import UsageError

BITS = st.integers(2, 8)
SEEDS = st.integers(0, 2**31)
METHODS = ("absmax", "zeropoint")


def numpy_absmax(x, bits, axis, thesis_range):
    """Eq. 3.35 and 3.36: values after quantization, and gamma."""
    q = 2.0 ** (bits - 1)
    gamma = (q if thesis_range else q - 1) / np.maximum(np.abs(x).max(axis, keepdims=True), 1e-5)
    return np.clip(np.rint(x * gamma), -q, q if thesis_range else q - 1), gamma


def numpy_zeropoint(x, bits, axis, thesis_range):
    """Eq. 3.37 to 3.39: values after quantization, gamma and z."""
    q = 2.0 ** (bits - 1)
    least, largest = x.min(axis, keepdims=True), x.max(axis, keepdims=True)
    gamma = (2 * q if thesis_range else 2 * q - 1) / np.maximum(largest - least, 1e-5)
    z = np.rint(-least * gamma - q)
    return np.clip(np.rint(x * gamma + z), -q, q if thesis_range else q - 1), gamma, z


def values(seed, shape=(5, 40), offset=0.0):
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) + offset) * 10.0 ** random.uniform(-2, 3)


@settings(max_examples=60, deadline=None)
@given(SEEDS, BITS, st.booleans(), st.sampled_from([None, (1,)]), st.floats(-3, 3))
def test_both_methods_are_their_formulas(seed, bits, thesis_range, over, offset):
    x = values(seed, offset=offset)
    axis = over or (0, 1)
    given_x = torch.from_numpy(x)  # float64, so that ties fall alike
    for ours, theirs in ((absmax, numpy_absmax), (zeropoint, numpy_zeropoint)):
        results = ours(given_x, bits, over=over, thesis_range=thesis_range)
        for mine, expected in zip(results, theirs(x, bits, axis, thesis_range), strict=True):
            assert mine.shape == expected.shape
            assert mine.numpy() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(SEEDS, BITS, st.floats(-5, 5))
def test_levels_fit_the_bits_and_no_value_is_off_by_more_than_half_a_step(seed, bits, offset):
    x = torch.from_numpy(values(seed, offset=offset)).float()
    half = 2 ** (bits - 1)
    for levels, gamma, *zero in (absmax(x, bits), zeropoint(x, bits)):
        assert torch.equal(levels, levels.round())
        assert -half <= float(levels.min()) <= float(levels.max()) <= half - 1
        error = (dequantize(levels, gamma, *zero) - x).abs() * gamma
        assert float(error.max()) <= 0.5 + 1e-3  # steps; float32 is a little off at ties


@settings(max_examples=60, deadline=None)
@given(SEEDS, BITS, st.floats(-5, 5))
def test_zeropoint_uses_the_whole_range(seed, bits, offset):
    x = torch.from_numpy(values(seed, offset=offset))
    levels, gamma, zero = zeropoint(x, bits)
    back = dequantize(levels, gamma, zero)
    half_step = float(0.5 / gamma) * (1 + 1e-9)
    for end in (int(x.argmin()), int(x.argmax())):
        assert float((back - x).abs().flatten()[end]) <= half_step
    half = 2 ** (bits - 1)
    assert float(levels.max() - levels.min()) >= 2 * half - 2  # z is whole, so one end may lie a level inside
    assert float(levels.min()) <= -half + 1


@given(st.floats(-1e6, 1e6, allow_subnormal=False, width=32), BITS)
def test_constant_values_survive(value, bits):
    x = torch.full((3, 4), value)
    for levels, gamma, *zero in (absmax(x, bits, over=(-1,)), zeropoint(x, bits, over=(-1,))):
        back = dequantize(levels, gamma, *zero)
        assert bool(back.isfinite().all())
        assert float((back - x).abs().max()) <= max(1e-5, 1e-6 * abs(value))


def test_zeros_stay_zeros():
    for method in (absmax, zeropoint):
        levels, gamma, *zero = method(torch.zeros(2, 3), 4)
        assert torch.equal(dequantize(levels, gamma, *zero), torch.zeros(2, 3))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_more_bits_err_less(seed):
    x = torch.from_numpy(values(seed, shape=(64, 64)))
    for method in (absmax, zeropoint):
        errors = []
        for bits in (2, 4, 8):
            levels, gamma, *zero = method(x, bits)
            errors.append(float((dequantize(levels, gamma, *zero) - x).square().mean()))
        assert errors[2] < errors[1] / 10 < errors[0] / 20


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_the_thesis_range_has_a_level_more_than_the_bits_hold(bits):
    x = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    for method in (absmax, zeropoint):
        assert len(method(x, bits, thesis_range=True)[0].unique()) == 2**bits + 1
    assert len(zeropoint(x, bits)[0].unique()) == 2**bits
    assert len(absmax(x, bits)[0].unique()) == 2**bits - 1  # symmetric: -Q is left out


@settings(max_examples=30, deadline=None)
@given(SEEDS, BITS, st.sampled_from(METHODS))
def test_a_scale_for_each_channel_steps_no_wider_than_one_for_all(seed, bits, method):
    """Each row's range lies in the whole tensor's, so each step is at most as wide."""
    x = torch.from_numpy(values(seed, shape=(6, 50)) * np.linspace(0.05, 1, 6)[:, None])
    quantizer = absmax if method == "absmax" else zeropoint
    whole, rows = quantizer(x, bits)[1], quantizer(x, bits, over=(1,))[1]
    assert bool((rows >= whole).all())
    layer = nn.Linear(50, 6).double()
    layer.weight = nn.Parameter(x)
    errors = {}
    for per in ("tensor", "channel"):
        other = nn.Linear(50, 6).double()
        other.weight = nn.Parameter(x.clone())
        with torch.no_grad():
            quantized = QuantizedLayer(other, store(x, method=method, bits=bits, per=per), Activations(method))
        errors[per] = float((quantized.layer.weight - x).square().mean())
    assert errors["channel"] < errors["tensor"]


def test_a_layer_multiplies_what_both_quantizers_give():
    torch.manual_seed(0)
    layer = nn.Linear(12, 5)
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    x = torch.randn(2, 3, 12)
    for method in METHODS:
        expected_layer = nn.Linear(12, 5)
        expected_layer.load_state_dict(layer.state_dict())
        quantized = QuantizedLayer(
            expected_layer, store(layer.weight.detach(), method=method, bits=4), Activations(method)
        )
        formula = numpy_absmax if method == "absmax" else numpy_zeropoint
        w, gamma_w, *z_w = formula(weight, 4, (0, 1), False)
        a, gamma_a, *z_a = formula(x.double().numpy(), 8, (2,), False)
        w, a = (w - (z_w or [0])[0]) / gamma_w, (a - (z_a or [0])[0]) / gamma_a
        assert quantized(x).detach().numpy() == pytest.approx(a @ w.T + bias, abs=1e-5)


def test_a_convolution_scales_each_picture_alone():
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 3)
    stored = store(convolution.weight.detach(), method="absmax", bits=8, per="channel")
    layer = QuantizedLayer(convolution, stored, Activations("absmax"))
    x = torch.randn(2, 3, 8, 8) * torch.tensor([1.0, 1000.0])[:, None, None, None]
    with torch.no_grad():
        assert torch.allclose(layer(x)[:1], layer(x[:1]), atol=1e-6)
        levels, gamma = numpy_absmax(x.double().numpy(), 8, (1, 2, 3), False)
        expected = layer.layer(torch.from_numpy(levels / gamma).float())
        assert torch.allclose(layer(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["linvit-nano", "cnn-nano"])
@pytest.mark.parametrize("method", METHODS)
def test_eight_bits_are_near_the_float_network_and_two_are_not(name, method):
    torch.manual_seed(0)
    network = build(name).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    side = network.config.image_size
    image = torch.randn(16, 3, side, side)
    with torch.no_grad():
        exact = network(image)
        errors = {}
        for bits in (8, 2):
            quantized = quantize(network, PTQConfig(method, bits))
            errors[bits] = float((quantized(image) - exact).square().mean().sqrt() / exact.std(dim=0).mean())
    assert errors[8] < 0.2
    assert errors[2] > 2 * errors[8]
    assert errors[2] > 0.5
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "layers", "count"),
    [("linvit-nano", "all", 1 + 2 * 4 + 2), ("linvit-nano", "encoder", 2 * 4)],
)
def test_the_layers_that_are_named_are_replaced(name, layers, count):
    quantized = quantize(build(name), PTQConfig("absmax", 4, layers=layers))
    replaced = [key for key, module in quantized.named_modules() if isinstance(module, QuantizedLayer)]
    assert len(replaced) == count
    assert ("tokenize.linear" in replaced) == (layers == "all")
    assert all(key.startswith("blocks.") for key in replaced) == (layers == "encoder")


def test_the_encoder_of_a_cnn_is_all_but_stem_and_head():
    def weighted(network, kinds):
        return {name for name, module in network.named_modules() if isinstance(module, kinds)}

    network = build("cnn-nano")
    every = weighted(network, (nn.Conv2d, nn.Linear))
    for layers, left in (("all", set()), ("encoder", {n for n in every if n.startswith(("stem", "head"))})):
        replaced = weighted(quantize(network, PTQConfig("absmax", 4, layers=layers)), QuantizedLayer)
        assert replaced == every - left
    assert left


def test_levels_in_the_layers_are_as_few_as_the_bits_say():
    quantized = quantize(build("linvit-nano"), PTQConfig("zeropoint", 3))
    for module in quantized.modules():
        if isinstance(module, QuantizedLayer):
            assert len(module.layer.weight.unique()) <= 2**3


def nano_bytes(bits, *, scale_bytes, layers="all"):
    """By hand: linvit-nano has D 32, 2 blocks, FFN 64, patches of 8, a head 32 -> 16 -> 2."""
    patch = 5 * 3 * 8 * 8
    matrices = [32 * 96, 32 * 32, 32 * 64, 64 * 32] * 2
    outer = [patch * 32, 32 * 16, 16 * 2]
    norms = patch + 2 * (32 + 32 + 32 + 64) + 32
    biases = 32 + 16 + 2
    quantized, floats = (matrices + outer, 0) if layers == "all" else (matrices, sum(outer))
    return sum(math.ceil(n * bits / 8) + scale_bytes for n in quantized) + 4 * (norms + biases + floats)


def test_bytes_by_hand():
    linvit, bitvit = build("linvit-nano"), build("bitvit-nano")
    assert weight_bytes(linvit) == 4 * sum(p.numel() for p in linvit.parameters()) == nano_bytes(32, scale_bytes=0)
    assert weight_bytes(bitvit) == nano_bytes(2, scale_bytes=4, layers="encoder")
    for bits in (8, 6, 4, 3, 2):
        assert weight_bytes(linvit, PTQConfig("absmax", bits)) == nano_bytes(bits, scale_bytes=4)
        assert weight_bytes(linvit, PTQConfig("zeropoint", bits)) == nano_bytes(bits, scale_bytes=8)
    encoder = PTQConfig("absmax", 3, layers="encoder")
    assert weight_bytes(linvit, encoder) == nano_bytes(3, scale_bytes=4, layers="encoder")
    assert weight_bytes(linvit, PTQConfig("absmax", 2, layers="encoder")) == weight_bytes(bitvit)


def test_a_scale_a_channel_costs_four_bytes_a_channel():
    linvit = build("linvit-nano")
    outputs = 2 * (96 + 32 + 64 + 32) + 32 + 16 + 2
    layers = 2 * 4 + 3
    per_tensor = weight_bytes(linvit, PTQConfig("absmax", 4))
    assert weight_bytes(linvit, PTQConfig("absmax", 4, per="channel")) == per_tensor + 4 * (outputs - layers)
    zero_points = weight_bytes(linvit, PTQConfig("zeropoint", 4, per="channel"))
    assert zero_points == per_tensor + 4 * (2 * outputs - layers)


def test_a_cnns_running_statistics_are_counted_as_float():
    cnn = build("cnn-nano")
    floats = [v.numel() for v in cnn.state_dict().values() if v.is_floating_point()]
    assert weight_bytes(cnn) == 4 * sum(floats)
    weights = [m.weight.numel() for m in cnn.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    packed = sum(math.ceil(n * 3 / 8) + 4 for n in weights)
    assert weight_bytes(cnn, PTQConfig("absmax", 3)) == packed + 4 * (sum(floats) - sum(weights))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "gptq"}, "absmax or zeropoint, got gptq"),
        ({"weight_bits": 1}, "2 to 8 bits, got 1"),
        ({"weight_bits": 16}, "weight_bits"),
        ({"activation_bits": 32}, "activation_bits"),
        ({"weight_bits": 2.5}, "got 2.5"),
        ({"per": "row"}, "tensor or channel"),
        ({"layers": "head"}, "all or encoder"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        PTQConfig(**({"method": "absmax", "weight_bits": 4} | changes))


def test_a_bitvit_is_refused_with_the_reason():
    for act in (quantize, weight_bytes):
        with pytest.raises(UsageError, match="ternary already"):
            act(build("bitvit-nano"), PTQConfig("absmax", 4))
    with pytest.raises(UsageError, match="2 to 8"):
        absmax(torch.zeros(2), 1)


@pytest.mark.parametrize("name", ["linvit-nano", "bitvit-nano"])
def test_the_head_of_the_distillation_token_is_not_counted(name):
    """No answer uses it; the token itself, of 32 numbers, takes part in the attention."""
    plain, taught = build(name, classes=50), build(name, classes=50, distillation=True)
    assert weight_bytes(taught) - weight_bytes(plain) == 4 * 32
    if name == "linvit-nano":
        config = PTQConfig("absmax", 2)
        assert weight_bytes(taught, config) - weight_bytes(plain, config) == 4 * 32
