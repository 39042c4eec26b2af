"""Blame: the damaged layer is found, and its figures are those of doing it by hand."""

import copy
import csv
import math
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgefake.metrics import auc
from edgefake.models import build
from edgefake.models.bitlinear import ternarize
from edgefake.ptq import PTQConfig, quantize
from edgefake.quantized import Activations, QuantizedLayer, StoredWeight, store
from edgefake_export.blame import Blame, blame, blame_csv, blame_table, plot_blame
from edgefake_runtime.errors import InputError, MissingExtraError, UsageError

DAMAGED = "blocks.1.feed_forward.fc1"
ROWS = [Blame("blocks.0.qkv", 3.25, 0.51, 0.0312), Blame("head", math.inf, 0.0, -0.5), Blame("stem", -math.inf, 0, 0)]


def pictures(count=40):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def put(network, name, layer):
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, layer)


def rounded_pair(name="linvit-nano"):
    """A network, and the same at 8 bits but for one layer at 2."""
    torch.manual_seed(0)
    network = build(name).eval()
    rounded = quantize(network, PTQConfig("absmax", 8, per="channel"))
    layer = copy.deepcopy(network.get_submodule(DAMAGED))
    stored = store(layer.weight.detach(), method="absmax", bits=2)
    put(rounded, DAMAGED, QuantizedLayer(layer, stored, Activations("absmax")))
    return network, rounded


@torch.no_grad()
def test_the_layer_that_was_damaged_comes_first_with_the_figures_of_doing_it_by_hand():
    network, rounded = rounded_pair()
    images, fakes = pictures(), np.arange(40) % 2 == 0
    done = []
    rows = blame(network, rounded, images, fakes=fakes, on_done=done.append)
    assert len(rows) == len(done) == 1 + 2 * 4 + 2
    assert rows[0].layer == DAMAGED
    assert rows[0].logit_change > 5 * rows[1].logit_change
    assert rows[0].snr_db < min(row.snr_db for row in rows[1:]) - 15

    alone = copy.deepcopy(network)
    put(alone, DAMAGED, rounded.get_submodule(DAMAGED))
    before, after = network(images), alone(images)
    assert rows[0].logit_change == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-4)
    margins = [(logits[:, 1] - logits[:, 0]).double().numpy() for logits in (before, after)]
    assert rows[0].auc_drop == pytest.approx(auc(fakes, margins[0]) - auc(fakes, margins[1]), abs=1e-9)

    inputs = []
    hook = network.get_submodule(DAMAGED).register_forward_pre_hook(lambda layer, args: inputs.append(args[0]))
    network(images)
    hook.remove()
    exact, got = (each.get_submodule(DAMAGED)(inputs[0]) for each in (network, rounded))
    expected = 10 * math.log10(float(exact.square().sum() / (got - exact).square().sum()))
    assert rows[0].snr_db == pytest.approx(expected, abs=1e-3)


def test_layers_that_are_the_same_are_not_blamed_and_nothing_is_changed():
    network, rounded = rounded_pair()
    put(rounded, "head.0", copy.deepcopy(network.head[0]))
    network.train()
    images, state = pictures(), copy.deepcopy(network.state_dict())
    names = [row.layer for row in blame(network, rounded, images)]
    assert "head.0" not in names
    assert len(names) == 1 + 2 * 4 + 1
    assert network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert blame(network, copy.deepcopy(network), images) == []


def test_without_labels_there_is_no_drop_and_a_half_precision_weight_counts():
    network, _ = rounded_pair()
    rounded = copy.deepcopy(network)
    rounded.head[0].weight.data = rounded.head[0].weight.data.half().float()
    (row,) = blame(network, rounded, pictures())
    assert row.layer == "head.0"
    assert row.auc_drop is None
    assert 50 < row.snr_db < 90


def test_ternary_layers_are_blamed_for_static_activations():
    torch.manual_seed(0)
    network = build("bitvit-nano").eval()
    rounded, name = copy.deepcopy(network), "blocks.0.attention.qkv"
    levels, beta = ternarize(network.get_submodule(name).weight.detach())
    stored = StoredWeight(levels.to(torch.int8), beta, None, 2)
    for scale, low, high in ((0.05, 20, 45), (1.0, -5, 20)):
        layer = QuantizedLayer(nn.Linear(32, 96, bias=False), stored, Activations("static", scale=scale))
        put(rounded, name, layer)
        (row,) = blame(network, rounded, pictures())
        assert row.layer == name
        assert low < row.snr_db < high


def test_norms_that_an_export_merged_are_no_error():
    torch.manual_seed(0)
    network = build("cnn-nano").eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.2)
            layer.running_var.uniform_(0.5, 2)
    rounded = copy.deepcopy(network)
    rounded.stem[0] = fuse_conv_bn_eval(rounded.stem[0], rounded.stem[1])
    rounded.stem[1] = nn.Identity()
    assert blame(network, rounded, pictures()) == []
    rounded.stem[0].weight.data = rounded.stem[0].weight.data.half().float()
    (row,) = blame(network, rounded, pictures())
    assert row.layer == "stem.0"
    assert row.snr_db > 50


def test_a_layer_in_two_places_is_rounded_in_both():
    torch.manual_seed(0)
    shared = nn.Linear(6, 6)
    network = nn.Sequential(shared, nn.ReLU(), shared).eval()
    rounded = copy.deepcopy(network)
    stored = store(shared.weight.detach(), method="absmax", bits=2)
    rounded[0] = rounded[2] = QuantizedLayer(copy.deepcopy(shared), stored, Activations("none"))
    images = torch.randn(20, 6)
    (row,) = blame(network, rounded, images)
    with torch.no_grad():
        before, after = network(images), rounded(images)
    assert row.logit_change == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-4)


def test_a_layer_without_effect_is_exact():
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 2)).eval()
    network[0].weight.data = 4 * torch.eye(4)
    rounded = copy.deepcopy(network)
    stored = store(network[0].weight.detach(), method="absmax", bits=8)
    rounded[0] = QuantizedLayer(copy.deepcopy(network[0]), stored, Activations("none"))
    (row,) = blame(network, rounded, torch.randn(16, 4))
    assert row == Blame("0", math.inf, 0.0)


def test_pictures_and_labels_must_fit():
    network, rounded = rounded_pair()
    with pytest.raises(UsageError, match=r"got 0$"):
        blame(network, rounded, pictures()[:0])
    with pytest.raises(UsageError, match="got 40 and 39 labels"):
        blame(network, rounded, pictures(), fakes=np.zeros(39, np.bool_))
    with pytest.raises(InputError, match="both classes"):
        blame(network, rounded, pictures(), fakes=np.zeros(40, np.bool_))


def test_the_table_is_aligned_and_the_csv_can_be_read():
    assert blame_table(ROWS).splitlines() == [
        "layer         SNR of its output  logits moved  AUC drop",
        "blocks.0.qkv             3.2 dB        51.00%   +0.0312",
        "head                      exact         0.00%   -0.5000",
        "stem                  no signal         0.00%   +0.0000",
    ]
    assert "AUC" not in blame_table([Blame("head", 1.0, 0.5)])
    first, second, _ = csv.DictReader(blame_csv(ROWS).splitlines())
    assert first == {"layer": "blocks.0.qkv", "snr_db": "3.25", "logit_change": "0.51", "auc_drop": "0.0312"}
    assert math.isinf(float(second["snr_db"]))
    assert next(csv.DictReader(blame_csv([Blame("head", 1.0, 0.5)]).splitlines()))["auc_drop"] == ""


@pytest.mark.parametrize("count", [1, 60])
def test_the_plot_has_a_readable_bar_for_every_layer(count, tmp_path):
    rows = [Blame(f"blocks.{index}.feed_forward.fc1", 40.0 - index / 2, 1 / (1 + index)) for index in range(count)]
    figure = plot_blame(rows, title="a file")
    moved, noise = figure.axes
    assert [bar.get_width() for bar in moved.patches] == pytest.approx([100 * row.logit_change for row in rows])
    assert [bar.get_width() for bar in noise.patches] == pytest.approx([row.snr_db for row in rows])
    figure.savefig(tmp_path / "blame.png", dpi=100)
    boxes = [label.get_window_extent() for label in moved.get_yticklabels()]
    assert [label.get_text() for label in moved.get_yticklabels()] == [row.layer for row in rows]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes))  # the worst is on top
    assert all(box.x0 >= 0 for box in boxes)


def test_an_exact_layer_is_named_so_in_the_plot():
    texts = [text.get_text() for text in plot_blame(ROWS, title="a file").axes[1].texts]
    assert texts == ["3", "exact", "no signal"]


def test_a_missing_matplotlib_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        plot_blame(ROWS, title="a file")
