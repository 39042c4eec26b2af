"""The networks against the equations of the thesis' chapter 3, each written again in numpy, in float64.

DESIGN.md replaces 3.28 and 3.35 to 3.39, and 3.2 to 3.4, 3.16 and 3.17 are not in our models. Layer normalization is
RMSNorm everywhere (3.18), and stands before every linear layer. Weights are (outputs, inputs) in torch and x W^T in
the code, where the thesis writes x W.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgefake.models import BitLinear, ViT, build, configuration
from edgefake.models.bitlinear import quantize_activations, ternarize
from edgefake.models.vit import Attention, Block, FeedForward, RMSNorm, ShiftedPatchTokenization, sincos_positions
from edgefake.quantizers import absmax, zeropoint

SEEDS = st.integers(0, 2**31)
NORM_EPSILON = 1e-6


def array(tensor):
    return tensor.detach().double().numpy()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def float_linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


def settled(module, seed=0):
    """In float64 and evaluation mode, with norms that have gains other than one."""
    random = np.random.default_rng(seed)
    for part in module.modules():
        if isinstance(part, RMSNorm):
            part.weight.data = torch.from_numpy(random.uniform(0.5, 1.5, part.weight.shape))
    return module.double().eval()


def rmsnorm(x, norm):
    """Eq. 3.18 and 3.19, with the code's epsilon under the root."""
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + NORM_EPSILON) * array(norm.weight)


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def gelu(x):
    """Eq. 3.12: x Phi(x)."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def positions(grid, dim):
    """Eq. 3.6, number by number; token (y, x) stands at y * grid + x."""
    table = np.zeros((grid * grid, dim))
    for y in range(grid):
        for x in range(grid):
            for i in range(dim // 4):
                omega = 1 / 10000 ** (4 * i / dim)
                table[y * grid + x, 4 * i : 4 * i + 4] = [
                    math.sin(x * omega),
                    math.cos(x * omega),
                    math.sin(y * omega),
                    math.cos(y * omega),
                ]
    return table


def shifted(image, dy, dx):
    """The picture moved down by dy and right by dx, zeros where nothing comes from."""
    result = np.zeros_like(image)
    side = image.shape[-1]
    for y in range(side):
        for x in range(side):
            if 0 <= y - dy < side and 0 <= x - dx < side:
                result[:, y, x] = image[:, y - dy, x - dx]
    return result


def tokenize(image, module):
    """Eq. 3.5 of one image (3, H, W): shifts, patches, norm, projection -> (N, D)."""
    size, side = module.patch_size, image.shape[-1]
    half = size // 2
    views = [image, *(shifted(image, dy, dx) for dy in (half, -half) for dx in (half, -half))]
    stacked = np.concatenate(views)  # (15, H, W)
    corners = [(row, column) for row in range(0, side, size) for column in range(0, side, size)]
    patches = np.stack([stacked[:, y : y + size, x : x + size].reshape(-1) for y, x in corners])
    return rmsnorm(patches, module.norm) @ array(module.linear.weight).T + array(module.linear.bias)


def attention(z, module):
    """Eq. 3.13 to 3.15 of one image's tokens (N, D), head by head."""
    dim = z.shape[1]
    width = dim // module.heads
    q, k, v = np.split(array(module.qkv.weight), 3)  # (D, D) each
    z, heads = rmsnorm(z, module.norm_qkv), []
    for head in range(module.heads):
        rows = slice(head * width, (head + 1) * width)
        queries, keys, values = z @ q[rows].T, z @ k[rows].T, z @ v[rows].T  # (N, D_h)
        heads.append(softmax(queries @ keys.T / math.sqrt(width)) @ values)
    return rmsnorm(np.concatenate(heads, axis=1), module.norm_out) @ array(module.out.weight).T


def feed_forward(z, module):
    """Eq. 3.11."""
    hidden = gelu(rmsnorm(z, module.norm_fc1) @ array(module.fc1.weight).T)
    return rmsnorm(hidden, module.norm_fc2) @ array(module.fc2.weight).T


def block(z, module):
    """Eq. 3.9 and 3.10; the norms stand inside of both components."""
    z = attention(z, module.attention) + z
    return feed_forward(z, module.feed_forward) + z


def head(x, module):
    """Eq. 3.21 to 3.24, where dropout passes all; biases are ours."""
    linears = [layer for layer in module if isinstance(layer, nn.Linear)]
    for layer in linears[:-1]:
        x = np.maximum(0, x @ array(layer.weight).T + array(layer.bias))
    return x @ array(linears[-1].weight).T + array(linears[-1].bias)


def test_3_5_shifted_patch_tokenization():
    image = normal(3, 12, 12)
    module = settled(ShiftedPatchTokenization(4, 6))
    tokens = module(torch.from_numpy(image)[None])[0]
    assert array(tokens) == pytest.approx(tokenize(image, module), abs=1e-12)


def test_3_6_positions():
    columns, rows = sincos_positions(5, 24)
    assert (columns + rows).flatten(0, 1).numpy() == pytest.approx(positions(5, 24), abs=1e-6)  # kept in float32
    assert not (columns * rows).any()  # so that adding one after the other rounds as adding their sum does


def test_3_7_global_average_pooling():
    """The head sees the mean over the tokens, each with the weight 1/N."""
    network = settled(build("linvit-nano"))
    tokens = normal(2, 16, 32)
    expected = head(sum(tokens[:, i] for i in range(16)) / 16, network.head)
    assert array(network.classify(torch.from_numpy(tokens))) == pytest.approx(expected, abs=1e-12)


def test_3_8_input_of_the_encoder():
    network = settled(build("linvit-nano"))
    image = normal(3, 32, 32)
    seen = []
    network.blocks[0].register_forward_pre_hook(lambda module, inputs: seen.append(array(inputs[0][0])))
    network(torch.from_numpy(image)[None])
    assert seen[0] == pytest.approx(tokenize(image, network.tokenize) + positions(4, 32), abs=1e-6)


def test_3_9_and_3_10_residual_connections():
    module = settled(Block(configuration("linvit-nano")))
    z = normal(7, 32)
    assert array(module(torch.from_numpy(z)[None])[0]) == pytest.approx(block(z, module), abs=1e-12)


@pytest.mark.parametrize("x", [-3.0, -1.0, -0.1, 0.0, 0.5, 2.0, 6.0])
def test_3_12_gelu(x):
    """Its product with Phi by the Gaussian's integral, not the tanh approximation, which is off by up to 5e-4."""
    module = settled(FeedForward(1, 1, float_linear))
    module.norm_fc1, module.norm_fc2 = nn.Identity(), nn.Identity()
    for layer in (module.fc1, module.fc2):
        layer.weight.data.fill_(1.0)
    grid = np.linspace(-12, x, 200_001)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    phi = float(((density[1:] + density[:-1]) / 2 * np.diff(grid)).sum())
    assert array(module(torch.tensor([[x]], dtype=torch.float64)))[0, 0] == pytest.approx(x * phi, abs=1e-8)


def test_3_11_feed_forward():
    module = settled(FeedForward(8, 24, float_linear))
    z = normal(5, 8)
    assert array(module(torch.from_numpy(z))) == pytest.approx(feed_forward(z, module), abs=1e-12)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_3_13_to_3_15_attention(heads):
    module = settled(Attention(16, heads, float_linear))
    z = normal(6, 16)
    assert array(module(torch.from_numpy(z)[None])[0]) == pytest.approx(attention(z, module), abs=1e-12)


def test_3_18_and_3_19_rmsnorm():
    x = normal(4, 9) * 7
    norm = RMSNorm(9)
    norm.weight.data = torch.arange(9.0)
    expected = x / np.sqrt((x**2).mean(axis=1, keepdims=True)) * np.arange(9)
    assert norm.double()(torch.from_numpy(x)).detach().numpy() == pytest.approx(expected, rel=1e-6)


def test_3_5_to_3_15_the_whole_encoder():
    """Tokens after two blocks and the last norm, of two images."""
    network = settled(build("linvit-nano"))
    table = torch.from_numpy(positions(4, 32)).view(4, 4, 32)  # in float64, where the network keeps them in float32
    network.columns, network.rows = torch.zeros(1), table
    images = normal(2, 3, 32, 32)
    for image, tokens in zip(images, network.features(torch.from_numpy(images)), strict=True):
        z = tokenize(image, network.tokenize) + positions(4, 32)
        for layer in network.blocks:
            z = block(z, layer)
        assert array(tokens) == pytest.approx(rmsnorm(z, network.norm), abs=1e-11)


def test_3_20_one_linear_layer():
    network = settled(build("linvit-nano", head=(), classes=10))
    tokens = normal(3, 16, 32)
    (layer,) = network.head
    expected = tokens.mean(axis=1) @ array(layer.weight).T + array(layer.bias)
    assert array(network.classify(torch.from_numpy(tokens))) == pytest.approx(expected, abs=1e-12)


def test_3_21_to_3_24_deepfake_head():
    network = settled(build("linvit-tiny"))
    tokens = normal(3, 49, 192)
    logits = network.classify(torch.from_numpy(tokens))
    assert logits.shape == (3, 2)
    assert array(logits) == pytest.approx(head(tokens.mean(axis=1), network.head), abs=1e-12)


def test_3_22_dropout_follows_relu_before_each_next_layer():
    """In training each hidden value is 0 or its ReLU over 1 - 0.2."""
    torch.manual_seed(0)
    module = build("linvit-tiny").head.double().train()
    x = torch.from_numpy(normal(400, 192))
    kinds = [type(layer) for layer in module]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout] * 4 + [nn.Linear]
    expected = np.maximum(0, x.numpy() @ array(module[0].weight).T + array(module[0].bias)) / 0.8
    hidden = array(module[:3](x))
    kept = hidden != 0
    assert hidden[kept] == pytest.approx(expected[kept])
    assert 1 - kept[expected > 0].mean() == pytest.approx(0.2, abs=0.01)


def test_3_25_linear_layer():
    layer = float_linear(6, 4).double()
    x, weight = normal(3, 6), array(layer.weight)
    expected = [[sum(row[j] * weight[i, j] for j in range(6)) for i in range(4)] for row in x]
    assert array(layer(torch.from_numpy(x))) == pytest.approx(np.array(expected), abs=1e-12)


def test_3_26_and_3_27_ternary_products_are_sums():
    """BitLinear by addition and subtraction alone, then one product with beta / gamma (3.33)."""
    torch.manual_seed(0)
    layer = BitLinear(24, 5).double()
    x = torch.from_numpy(normal(3, 24))
    ternary, beta = ternarize(layer.weight.detach().float())
    levels, gamma = quantize_activations(x)
    for row, level, scale in zip(array(layer(x)), array(levels), array(gamma), strict=True):
        for i, weights in enumerate(array(ternary)):
            total = sum(level[weights == 1]) - sum(level[weights == -1])
            assert row[i] == pytest.approx(total * float(beta) / scale[0], rel=1e-6, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.floats(1e-6, 1e3))
def test_3_28_to_3_30_ternary_weights(seed, size):
    """With beta = max(mean|W|, 1e-5) where the thesis adds epsilon (DESIGN.md), away from rounding ties."""
    weight = (normal(7, 12, seed=seed) * size).astype(np.float32)
    ternary, beta = ternarize(torch.from_numpy(weight))
    expected = max(sum(abs(float(w)) for w in weight.flat) / (7 * 12), 1e-5)
    assert float(beta) == pytest.approx(expected, rel=1e-5)
    exact = weight / expected
    away_from_ties = np.abs(np.abs(exact) - 0.5) > 1e-5
    rounded = np.maximum(-1, np.minimum(1, np.rint(exact)))
    assert np.array_equal(ternary.numpy()[away_from_ties], rounded[away_from_ties])


def test_3_28_zero_weights_are_zero():
    ternary, beta = ternarize(torch.zeros(3, 4))
    assert torch.equal(ternary, torch.zeros(3, 4))
    assert float(beta) == pytest.approx(1e-5)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.floats(1e-7, 1e4))
def test_3_31_and_3_32_activations(seed, size):
    x = normal(5, 33, seed=seed) * size
    levels, gamma = quantize_activations(torch.from_numpy(x))
    expected = 127 / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-5)
    assert array(gamma) == pytest.approx(expected, rel=1e-12)
    assert array(levels) == pytest.approx(np.clip(np.rint(x * expected), -128, 127))


def test_3_33_bitlinear_after_its_norm():
    """As the encoder has it: RMSNorm, then the layer; the scales come back as beta / gamma."""
    torch.manual_seed(1)
    layer, norm = BitLinear(32, 6).double(), settled(RMSNorm(32))
    x = normal(4, 32) * 3
    normed = rmsnorm(x, norm)
    gamma = 127 / np.maximum(np.abs(normed).max(axis=1, keepdims=True), 1e-5)
    levels = np.clip(np.rint(normed * gamma), -128, 127)
    weight = array(layer.weight)
    beta = np.abs(weight).mean()
    expected = levels @ np.clip(np.rint(weight / beta), -1, 1).T * beta / gamma
    assert array(layer(norm(torch.from_numpy(x)))) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("bits", [8, 6, 4, 3, 2])
@pytest.mark.parametrize("thesis_range", [True, False])
def test_3_35_to_3_39_post_training_quantization(bits, thesis_range):
    """As the thesis writes them, and in the range [-Q, Q - 1] of DESIGN.md; tests/edgefake/test_ptq.py has the rest."""
    x = normal(9, 40) + 0.7
    q = 2 ** (bits - 1)
    top = q if thesis_range else q - 1
    levels, gamma = absmax(torch.from_numpy(x), bits, thesis_range=thesis_range)
    scale = top / np.abs(x).max()
    assert float(gamma) == pytest.approx(scale)
    assert array(levels) == pytest.approx(np.clip(np.rint(x * scale), -q, top))
    levels, gamma, zero = zeropoint(torch.from_numpy(x), bits, thesis_range=thesis_range)
    scale = (q + top) / (x.max() - x.min())
    z = np.rint(-x.min() * scale - q)
    assert (float(gamma), float(zero)) == (pytest.approx(scale), z)
    assert array(levels) == pytest.approx(np.clip(np.rint(x * scale + z), -q, top))


def test_straight_through_gradients():
    """Section 3.3: dL/dW and dL/dx are those at the quantized values, as if quantizing were the identity."""
    torch.manual_seed(0)
    layer = BitLinear(16, 8).double()
    x = torch.from_numpy(normal(4, 16)).requires_grad_()
    outer = torch.from_numpy(normal(4, 8, seed=1))
    (layer(x) * outer).sum().backward()  # L = sum(Y * G), so dL/dY = G
    levels, gamma = quantize_activations(x.detach())
    ternary, beta = ternarize(layer.weight.detach().float())
    assert array(layer.weight.grad) == pytest.approx(outer.numpy().T @ array(levels / gamma), rel=1e-5, abs=1e-6)
    assert array(x.grad) == pytest.approx(outer.numpy() @ array(ternary * beta), rel=1e-5, abs=1e-6)


def parameters_by_hand(*, image_channels, patch, dim, depth, ffn, widths):
    """Numbers of a network from its sizes; norms have a gain each, encoder linears no bias."""
    pixels = 5 * image_channels * patch**2  # the image and four shifts
    tokenization = pixels + pixels * dim + dim
    encoder_block = (dim + 3 * dim**2) + (dim + dim**2) + (dim + dim * ffn) + (ffn + ffn * dim)
    classifier = sum(before * after + after for before, after in pairwise((dim, *widths)))
    return tokenization + depth * encoder_block + dim + classifier


@pytest.mark.parametrize("name", ["linvit-s16", "bitvit-s16"])
def test_table_4_1_base_model(name):
    """ViT-S/16 with 1000 classes and one linear layer as its head has 23.1 M parameters, where the thesis states 22 M.

    21.2 M of them are the encoder's matrices and 0.4 M the head's. The rest is Shifted Patch Tokenization, which reads
    five images and so takes 1.5 M where a plain patch embedding takes 0.3 M: without it, it is 22 M. The thesis'
    88.15 MB at 32 bits (table 4.2) are 22.04 M numbers.
    """
    config = configuration(name, head=(), classes=1000)
    assert (config.image_size, config.patch_size, config.dim) == (224, 16, 384)
    assert (config.depth, config.heads, config.ffn_dim) == (12, 6, 1536)
    sizes = {"image_channels": 3, "patch": 16, "dim": 384, "depth": 12, "ffn": 1536}
    network = ViT(config)
    assert sum(p.numel() for p in network.parameters()) == parameters_by_hand(**sizes, widths=(1000,)) == 23_130_088
    encoder = sum(p.numel() for p in network.blocks.parameters() if p.ndim == 2)
    assert encoder == 12 * 12 * 384**2 == 21_233_664
    detector = configuration(name)
    expected = parameters_by_hand(**sizes, widths=(192, 96, 48, 24, 2))
    assert sum(p.numel() for p in ViT(detector).parameters()) == expected
