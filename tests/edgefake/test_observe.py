"""Inputs of layers as a network runs: which come, in which order, and that nothing stays behind."""

import pytest
import torch
from torch import nn

from edgefake.observe import BATCH, in_order_of_execution, observe, require_pictures
from edgefake_runtime.errors import UsageError


class Backwards(nn.Module):
    """Registers its layers in one order and runs them in another; `early` runs twice."""

    def __init__(self):
        super().__init__()
        self.late = nn.Linear(4, 3)
        self.idle = nn.Linear(4, 4)
        self.early = nn.Linear(4, 4)
        self.middle = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.9))

    def forward(self, x):
        return self.late(self.early(self.middle(self.early(x))))


def test_layers_come_as_the_network_runs_them():
    names = ["late", "middle.0", "early"]
    assert in_order_of_execution(Backwards(), names, torch.randn(1, 4)) == ["early", "middle.0", "late"]


def test_every_input_of_every_call_is_shown_once():
    torch.manual_seed(0)
    network, images = Backwards(), torch.randn(40, 4)
    shown = {"early": [], "late": []}
    observe(network, {name: rows.append for name, rows in shown.items()}, images)
    network.eval()
    with torch.no_grad():
        again = network.middle(network.early(images))
        last = network.early(again)
    assert torch.allclose(torch.cat(shown["early"][0::2]), images)
    assert torch.allclose(torch.cat(shown["early"][1::2]), again, atol=1e-6)
    assert torch.allclose(torch.cat(shown["late"]), last, atol=1e-6)
    assert [len(rows) for rows in shown["late"]] == [BATCH, BATCH, 40 - 2 * BATCH]


def test_a_pass_ends_with_the_last_layer_that_is_watched():
    network, runs = Backwards(), []
    network.late.register_forward_hook(lambda layer, inputs, output: runs.append(len(output)))
    observe(network, {"early": lambda x: None}, torch.randn(3 * BATCH, 4))
    assert runs == [BATCH]


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was_also_after_an_error(training):
    network = Backwards().train(training)

    def fail(x):
        assert not network.training
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        observe(network, {"early": fail}, torch.randn(16, 4))
    assert network.training is training
    assert network.middle[2].training is training
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_layer_that_never_runs_is_named():
    with pytest.raises(UsageError, match="got idle, which it never does"):
        observe(Backwards(), {"early": lambda x: None, "idle": lambda x: None}, torch.randn(16, 4))


def test_sixteen_pictures_are_enough_and_fifteen_are_not():
    require_pictures(torch.zeros(16, 3, 8, 8))
    for count in (0, 1, 15):
        with pytest.raises(UsageError, match=f"16 or more pictures to calibrate on, got {count}; name a manifest"):
            require_pictures(torch.zeros(count, 3, 8, 8))
