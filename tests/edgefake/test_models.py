"""The networks against formulas in numpy, and BitLinear against the thesis author's package."""

import math

import bitlinear_pytorch
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake.models import CONFIGURATIONS, BitLinear, ViT, build, configuration
from edgefake.models.bitlinear import quantize_activations, ternarize
from edgefake.models.vit import RMSNorm, ShiftedPatchTokenization, sincos_positions
from edgefake_runtime.errors import UsageError


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(384, 1152, False), (64, 10, True), (1536, 384, False)])
def test_bitlinear_agrees_with_the_authors_package(inputs, outputs, bias):
    torch.manual_seed(inputs)
    ours, theirs = (
        BitLinear(inputs, outputs, bias=bias),
        bitlinear_pytorch.BitLinear(inputs, outputs, bias=bias),
    )
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 17, inputs)
    results = []
    for layer in (ours, theirs):
        given_x = x.clone().requires_grad_()
        y = layer(given_x)
        y.square().sum().backward()
        results.append((y.detach(), given_x.grad, layer.weight.grad))
    for mine, other in zip(*results, strict=True):
        assert relative(mine, other) < 1e-5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-6, 1e3))
def test_ternarize_is_the_formula(seed, size):
    weight = np.random.default_rng(seed).normal(size=(7, 12)).astype(np.float32) * np.float32(size)
    ternary, beta = ternarize(torch.from_numpy(weight))
    expected = max(np.abs(weight.astype(np.float64)).mean(), 1e-5)
    assert float(beta) == pytest.approx(expected, rel=1e-5)
    exact = weight / expected
    away_from_ties = np.abs(np.abs(exact) - 0.5) > 1e-5
    rounded = np.clip(np.rint(exact), -1, 1)
    assert np.array_equal(ternary.numpy()[away_from_ties], rounded[away_from_ties])


def test_activations_keep_eight_bits_and_the_largest_value():
    x = torch.randn(5, 33) * 3
    levels, gamma = quantize_activations(x)
    assert torch.equal(levels, levels.round())
    assert float(levels.abs().max()) == 127
    assert float((levels / gamma - x).abs().max()) <= float((0.5 / gamma).max()) * (1 + 1e-5)
    zeros, _ = quantize_activations(torch.zeros(2, 4))
    assert torch.equal(zeros, torch.zeros(2, 4))


def test_straight_through_gradient_reaches_the_latent_weights():
    layer = BitLinear(16, 8)
    x = torch.randn(4, 16)
    layer(x).sum().backward()
    levels, gamma = quantize_activations(x)
    expected = (levels / gamma).sum(0).expand(8, 16)  # d sum(x W^T) / dW, whatever W is
    assert torch.allclose(layer.weight.grad, expected, rtol=1e-5, atol=1e-5)


def test_positions_are_equation_3_6():
    grid, dim = 5, 24
    table = sincos_positions(grid, dim).numpy()
    for y in range(grid):
        for x in range(grid):
            for i in range(dim // 4):
                omega = 1 / 10000 ** (4 * i / dim)
                expected = [
                    math.sin(x * omega),
                    math.cos(x * omega),
                    math.sin(y * omega),
                    math.cos(y * omega),
                ]
                assert table[y * grid + x, 4 * i : 4 * i + 4] == pytest.approx(expected, abs=1e-6)


def test_rmsnorm_is_equations_3_18_and_3_19():
    x = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32) * 7
    norm = RMSNorm(9)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(9.0))
    expected = x / np.sqrt((x**2).mean(1, keepdims=True)) * np.arange(9)
    assert norm(torch.from_numpy(x)).detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_shifted_patch_tokenization_is_equation_3_5():
    size, side, dim = 4, 12, 6
    random = np.random.default_rng(1)
    image = random.normal(size=(3, side, side)).astype(np.float32)
    module = ShiftedPatchTokenization(size, dim)
    half = size // 2
    views = [image]
    for dy in (half, -half):
        for dx in (half, -half):
            shifted = np.zeros_like(image)
            for y in range(side):
                for x in range(side):
                    if 0 <= y - dy < side and 0 <= x - dx < side:
                        shifted[:, y, x] = image[:, y - dy, x - dx]
            views.append(shifted)
    stacked = np.concatenate(views)  # (15, H, W)
    expected = []
    for row in range(side // size):
        for column in range(side // size):
            patch = stacked[:, row * size : (row + 1) * size, column * size : (column + 1) * size].reshape(-1)
            normed = patch / np.sqrt((patch**2).mean() + 1e-6)
            expected.append(module.linear.weight.detach().numpy() @ normed + module.linear.bias.detach().numpy())
    tokens = module(torch.from_numpy(image)[None])[0].detach().numpy()
    assert tokens == pytest.approx(np.array(expected), abs=1e-4)


def test_linvit_and_bitvit_differ_in_the_linear_layer_alone():
    linvit, bitvit = build("linvit-nano"), build("bitvit-nano")
    assert {k: v.shape for k, v in linvit.state_dict().items()} == {k: v.shape for k, v in bitvit.state_dict().items()}
    assert sum(isinstance(m, BitLinear) for m in linvit.modules()) == 0
    assert sum(isinstance(m, BitLinear) for m in bitvit.modules()) == 4 * 2


def test_s16_is_the_thesis_base_model():
    config = configuration("bitvit-s16")
    assert (config.image_size, config.patch_size, config.dim) == (224, 16, 384)
    assert (config.depth, config.heads, config.ffn_dim) == (12, 6, 1536)
    network = ViT(configuration("bitvit-s16", head=(), classes=1000))
    parameters = sum(p.numel() for p in network.parameters())
    assert parameters == 23_130_088  # the thesis states 22M: 21.2M in the encoder, 1.5M in the tokenization
    assert sum(m.weight.numel() for m in network.modules() if isinstance(m, BitLinear)) == 12 * 12 * 384**2


@pytest.mark.parametrize("name", [n for n in CONFIGURATIONS if not n.endswith("16")])
def test_forward_is_the_head_on_the_features(name):
    network = build(name).eval()
    side, grid = network.config.image_size, network.config.grid
    image = torch.randn(2, 3, side, side)
    with torch.no_grad():
        features = network.features(image)
        assert features.shape[:2] == (2, grid * grid)
        logits = network(image)
        assert logits.shape == (2, 2)
        assert torch.equal(logits, network.classify(features))
        alone = network(image[:1])
    assert torch.allclose(alone, logits[:1], atol=1e-5)  # a picture's logits do not depend on its batch


def test_deepfake_head_has_the_thesis_widths():
    linears = [m for m in build("bitvit-tiny").head if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in linears] == [192, 96, 48, 24, 2]
    dropouts = [m.p for m in build("bitvit-tiny").head if isinstance(m, torch.nn.Dropout)]
    assert dropouts == [0.2] * 4


def test_impossible_sizes_and_unknown_names_are_refused():
    with pytest.raises(UsageError, match="bitvit-s16"):
        build("bitvit-xxl")
    with pytest.raises(UsageError, match="patch size"):
        configuration("bitvit-nano", image_size=33)
    with pytest.raises(UsageError, match="heads"):
        configuration("bitvit-nano", heads=5)
