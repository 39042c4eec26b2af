"""The networks against formulas in numpy, and BitLinear against the thesis author's package."""

import json
import math

import bitlinear_pytorch
import numpy as np
import pytest
import torch

from edgefake.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgefake.grow import take_trunk
from edgefake.models import CNN, CONFIGURATIONS, BitLinear, build, configuration
from edgefake.models.bitlinear import quantize_activations
from edgefake.models.cnn import FusedMBConv, MBConv, SqueezeExcitation
from edgefake_runtime.errors import ModelFileError, UsageError


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


def test_activations_keep_eight_bits_and_the_largest_value():
    x = torch.randn(5, 33) * 3
    levels, gamma = quantize_activations(x)
    assert torch.equal(levels, levels.round())
    assert float(levels.abs().max()) == 127
    assert float((levels / gamma - x).abs().max()) <= float((0.5 / gamma).max()) * (1 + 1e-5)
    zeros, _ = quantize_activations(torch.zeros(2, 4))
    assert torch.equal(zeros, torch.zeros(2, 4))


def test_linvit_and_bitvit_differ_in_the_linear_layer_alone():
    linvit, bitvit = build("linvit-nano"), build("bitvit-nano")
    assert {k: v.shape for k, v in linvit.state_dict().items()} == {k: v.shape for k, v in bitvit.state_dict().items()}
    assert sum(isinstance(m, BitLinear) for m in linvit.modules()) == 0
    assert sum(isinstance(m, BitLinear) for m in bitvit.modules()) == 4 * 2


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
        # A picture's features do not depend on its batch. In float64: with fresh statistics the maps of cnn-small
        # grow to hundreds, and float32 rounding with them to 1e-2.
        network, image = network.double(), image.double()
        assert relative(network.features(image[:1]), network.features(image)[:1]) < 1e-9
        assert network(image).dtype == torch.float64


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


EFFICIENTNETV2_S = (
    # operator, expansion, stride, channels, layers: table 4 of arXiv 2104.00298, its stages 1 to 6
    (FusedMBConv, 1, 1, 24, 2),
    (FusedMBConv, 4, 2, 48, 4),
    (FusedMBConv, 4, 2, 64, 4),
    (MBConv, 4, 2, 128, 6),
    (MBConv, 6, 1, 160, 9),
    (MBConv, 6, 2, 256, 15),
)


def block_parameters(operator, expansion, inputs, outputs):
    """Weights of the convolutions, and two a channel for the BatchNorm behind each."""
    hidden = expansion * inputs
    if operator is FusedMBConv and expansion == 1:
        return 9 * inputs * outputs + 2 * outputs
    project = hidden * outputs + 2 * outputs
    if operator is FusedMBConv:
        return 9 * inputs * hidden + 2 * hidden + project
    squeezed = inputs // 4
    excitation = hidden * squeezed + squeezed + squeezed * hidden + hidden
    return inputs * hidden + 2 * hidden + 9 * hidden + 2 * hidden + excitation + project


def test_cnn_small_is_efficientnetv2_s_of_the_paper():
    network = build("cnn-small", classes=1000)
    expected, kinds, inputs = 9 * 3 * 24 + 2 * 24, [], 24
    for operator, expansion, _, channels, layers in EFFICIENTNETV2_S:
        for _ in range(layers):
            expected += block_parameters(operator, expansion, inputs, channels)
            kinds.append(operator)
            inputs = channels
    expected += 256 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(p.numel() for p in network.parameters()) == expected == 21_458_488  # torchvision's efficientnet_v2_s too
    assert [type(block) for block in network.blocks[:-1]] == kinds


def test_cnn_small_has_the_maps_of_the_paper():
    network = build("cnn-small").eval()
    side, expected = 112, []  # behind the stem
    for _, _, stride, channels, layers in EFFICIENTNETV2_S:
        side //= stride
        expected += [(channels, side, side)] * layers
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        features = network.features(torch.zeros(1, 3, 224, 224))
    assert shapes == [*expected, (1280, 7, 7)]
    assert features.shape == (1, 49, 1280)


def test_cnn_lite0_is_efficientnet_lite0_with_the_cells_of_a_vit_s16():
    network = build("cnn-lite0", classes=1000)
    assert sum(p.numel() for p in network.parameters()) == 4_652_008  # tensorflow's and timm's efficientnet_lite0
    assert network.config.grid == configuration("bitvit-s16").grid == 14
    kinds = {type(module) for module in network.modules()}
    assert torch.nn.ReLU6 in kinds
    assert not kinds & {torch.nn.SiLU, SqueezeExcitation}
    kernels = [m.kernel_size[0] for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    assert kernels == [3] * 3 + [5] * 2 + [3] * 3 + [5] * 7 + [3]


def test_a_hybrid_has_the_first_stages_of_the_cnn_and_the_encoder_of_a_vit():
    network, cnn = build("bitvit-tiny-hybrid").eval(), build("cnn-lite0", image_size=112).eval()
    take_trunk(cnn, network)
    image = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        cells = cnn.blocks[:8](cnn.stem(image))  # stages of 1, 2, 2 and 3 blocks
        assert torch.equal(network.tokenize.trunk(image), cells)
        assert cells.shape == (2, 80, 7, 7)
        norm = cells.flatten(2).transpose(1, 2)
        norm = norm / norm.square().mean(-1, keepdim=True).add(1e-6).sqrt()
        expected = norm @ network.tokenize.linear.weight.T + network.tokenize.linear.bias
        assert relative(network.tokenize(image), expected) < 1e-5
    plain = build("bitvit-tiny")
    assert {name for name in network.state_dict() if not name.startswith("tokenize")} == {
        name for name in plain.state_dict() if not name.startswith("tokenize")
    }
    with pytest.raises(UsageError, match="stem lite0"):
        take_trunk(build("cnn-nano"), network)
    with pytest.raises(UsageError, match="a stem among lite0"):
        configuration("bitvit-tiny", stem="resnet")
    with pytest.raises(UsageError, match="got both"):
        configuration("bitvit-tiny-patches", stem="lite0")
    with pytest.raises(UsageError, match="patches of 16 pixels"):
        configuration("bitvit-tiny-hybrid", patch_size=8)


def test_cnn_tiny_has_the_tokens_of_the_tiny_vits():
    config = configuration("cnn-tiny")
    assert (config.grid, config.image_size) == (7, 112)
    assert configuration("bitvit-tiny").grid == config.grid
    assert sum(p.numel() for p in build("cnn-tiny").parameters()) < 1.0e6
    # Features come row by row: with one bright corner the farthest cells are those of the opposite corner.
    network = build("cnn-tiny", depths=(1,) * len(config.depths)).eval()
    for module in network.modules():
        if isinstance(module, SqueezeExcitation):  # looks at the whole map
            torch.nn.init.zeros_(module.expand.weight)
    image = torch.zeros(1, 3, 112, 112)
    image[..., :8, 104:] = 5.0
    with torch.no_grad():
        change = (network.features(image) - network.features(torch.zeros_like(image))).abs().sum(-1).view(7, 7)
    assert int(change.argmax()) == 6
    assert float(change[6, 0]) == 0


def test_squeeze_and_excitation_is_its_formula():
    torch.manual_seed(0)
    module = SqueezeExcitation(6, 2)
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype(np.float32)
    first, second = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (module.reduce, module.expand))
    inner = x.mean((2, 3)) @ first.T + module.reduce.bias.detach().numpy()
    outer = (inner / (1 + np.exp(-inner))) @ second.T + module.expand.bias.detach().numpy()
    expected = x / (1 + np.exp(-outer))[:, :, None, None]
    assert module(torch.from_numpy(x)).detach().numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("kind", "expansion"), [(FusedMBConv, 1), (FusedMBConv, 4), (MBConv, 4)])
def test_a_shortcut_stands_where_input_and_output_have_one_shape(kind, expansion):
    x = torch.randn(2, 8, 6, 6)
    for outputs, stride in ((8, 1), (8, 2), (12, 1)):
        block = kind(8, outputs, expansion=expansion, stride=stride).eval()
        last = [module for module in block.modules() if isinstance(module, torch.nn.BatchNorm2d)][-1]
        torch.nn.init.zeros_(last.weight)  # and so the layers give zero
        expected = x if (outputs, stride) == (8, 1) else torch.zeros(2, outputs, 6 // stride, 6 // stride)
        assert torch.equal(block(x), expected)


def test_convolutions_start_by_fan_out():
    network = build("cnn-tiny")
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.numel() > 2000]
    assert any(m.groups > 1 for m in convolutions)
    for module in convolutions:
        fan = module.kernel_size[0] ** 2 * (1 if module.groups > 1 else module.out_channels)
        assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan), rel=0.1)


def test_a_cnn_fits_a_batch_of_noise():
    torch.manual_seed(0)
    network = build("cnn-nano")
    images, labels = torch.randn(32, 3, 32, 32), torch.randint(0, 2, (32,))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        assert torch.equal(network(images).argmax(1), labels)


def test_a_cnn_keeps_its_layout_and_runs_in_bfloat16():
    torch.manual_seed(0)
    network, seen = build("cnn-nano").eval(), []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    image = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        exact = network.features(image)
        with torch.autocast("cpu", torch.bfloat16):
            low = network.features(image)
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in seen)
    assert low.dtype == torch.bfloat16
    assert relative(low.float(), exact) < 0.05


def test_strided_depthwise_convolutions_stay_in_float32_on_a_cpu():
    network = build("cnn-lite0", image_size=32)
    seen = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1:
            module.register_forward_hook(lambda m, _, y: seen.append((m.stride[0], y.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 3, 32, 32))
    assert set(seen) == {(2, torch.float32), (1, torch.bfloat16)}


def test_a_cnn_takes_the_deepfake_head():
    network = build("cnn-nano", head=(16, 8))
    assert [m.out_features for m in network.head if isinstance(m, torch.nn.Linear)] == [16, 8, 2]
    assert network.head[0].in_features == network.config.last


def test_a_cnn_checkpoint_comes_back_and_one_of_the_old_network_is_refused(tmp_path):
    network = build("cnn-nano", head=(16,)).eval()
    save_checkpoint(Checkpoint(network, "cnn-nano"), tmp_path / "c")
    after = load_checkpoint(tmp_path / "c").network
    assert isinstance(after, CNN)
    assert after.config == network.config
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(after(image), network(image))
    config = json.loads((tmp_path / "c" / "config.json").read_text())
    old = {"image_size": 112, "widths": [32, 64, 128, 192], "blocks": 1, "classes": 2, "dropout": 0.2}
    (tmp_path / "c" / "config.json").write_text(json.dumps(config | {"model": "cnn-tiny", "architecture": old}))
    with pytest.raises(ModelFileError, match=r"expected a known architecture, got: .*blocks"):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": (8, 16)}, "one length"),
        ({"strides": (1, 3, 2)}, "strides of 1 or 2"),
        ({"depths": (1, 0, 1)}, "1 or more"),
        ({"fused": 4}, "stage for each fused"),
        ({"image_size": 36}, "that 8 divides, got 36"),
    ],
)
def test_impossible_cnns_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        configuration("cnn-nano", **change)
