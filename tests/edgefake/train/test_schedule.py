"""The learning-rate curve of the recipes."""

import math
from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from edgefake.train.config import TrainConfig
from edgefake.train.schedule import learning_rate


def test_it_is_what_torchs_schedulers_make_of_section_4_1():
    """Five epochs of LinearLR from zero, then CosineAnnealingLR of T_max 90, at the beginning of each of 50 epochs."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-3)
    rising = LinearLR(optimizer, start_factor=1e-9, total_iters=5)
    schedule = SequentialLR(optimizer, [rising, CosineAnnealingLR(optimizer, T_max=90)], milestones=[5])
    for epoch in range(50):
        ours = 1e-3 * learning_rate(float(epoch), warmup=5, t_max=90)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-11), epoch
        optimizer.step()
        schedule.step()


def test_the_thesis_recipe_ends_at_half_of_its_peak():
    config = TrainConfig.of("pretrain")
    assert (config.lr, config.warmup_epochs, config.cosine_epochs, config.epochs) == (1e-3, 5, 90, 50)
    assert learning_rate(50, warmup=5, t_max=90) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))


def test_without_t_max_it_ends_at_zero():
    config = TrainConfig.of("train", {"epochs": 10, "warmup_epochs": 2.0})
    assert config.cosine_epochs == 8
    curve = [learning_rate(e / 10, warmup=2, t_max=8) for e in range(101)]
    assert curve[0] == 0
    assert curve[20] == max(curve) == 1
    assert curve[100] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in pairwise(curve[20:]))
