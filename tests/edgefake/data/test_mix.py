"""MixUp and CutMix: the thesis' equation, areas, lambda's distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefake.data.mix import Mix, cutmix, draw_beta, mixup, one_hot
from edgefake_runtime.errors import UsageError

BOTH = [Mix(mixup=0.2), Mix(cutmix=1.0), Mix(mixup=0.8, cutmix=1.0)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(size=6, classes=4, side=8):
    images = torch.randn(size, 3, side, side, generator=seeded(1))
    return images, one_hot(torch.arange(size) % classes, classes)


def test_one_hot():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(torch.tensor([2, 0]), 3).dtype == torch.float32


def test_mixup_is_equation_3_1():
    images, targets = batch()
    order = torch.tensor([3, 4, 5, 0, 2, 1])
    got_images, got_targets = mixup(images, targets, 0.3, order)
    x, y, j = images.numpy(), targets.numpy(), order.numpy()
    assert np.allclose(got_images.numpy(), 0.3 * x + 0.7 * x[j], atol=1e-6)
    assert np.allclose(got_targets.numpy(), 0.3 * y + 0.7 * y[j], atol=1e-6)


@given(st.floats(0, 1), st.integers(0, 8), st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_cutmix_targets_are_the_pasted_area(share, row, column):
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 9, 13)  # a picture of zeros, one of ones
    mixed, targets = cutmix(images, torch.eye(2), share, torch.tensor([1, 0]), middle=(row, column))
    assert set(mixed.unique().tolist()) <= {0.0, 1.0}
    area = mixed[0, 0].mean(dtype=torch.float64)
    assert float(targets[0, 1]) == pytest.approx(float(area), abs=1e-7)
    assert float(targets[1, 0]) == float(targets[0, 1])
    assert torch.equal(mixed[0], 1 - mixed[1])
    # Where the window lies inside, it is 1 - lambda of the picture but for whole pixels.
    assert area <= 1 - share + 1e-9


def test_cutmix_pastes_the_window_of_the_paper():
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 8, 12).clone()
    mixed, _ = cutmix(images, torch.eye(2), 0.75, torch.tensor([1, 0]), middle=(2, 11))
    expected = torch.zeros(8, 12)
    expected[0:4, 8:12] = 1  # half of each side is 4 by 6; columns 8 to 14, cut at 12
    assert torch.equal(mixed[0, 1], expected)
    assert torch.equal(images[0], torch.zeros(3, 8, 12))


@pytest.mark.parametrize("mix", BOTH)
def test_targets_stay_distributions_and_arguments_stay_as_they_are(mix):
    images, targets = batch()
    before = images.clone(), targets.clone()
    for seed in range(30):
        mixed, soft = mix(images, targets, seeded(seed))
        assert (mixed.shape, soft.shape) == (images.shape, targets.shape)
        assert torch.allclose(soft.sum(dim=1), torch.ones(6), atol=1e-6)
        assert bool((soft >= 0).all())
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize("mix", BOTH)
def test_equal_generators_mix_alike(mix):
    first, second, other = (mix(*batch(), seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("mix", BOTH)
def test_a_batch_of_one_mixes_with_itself(mix):
    images, targets = batch(1)
    for seed in range(10):
        mixed, soft = mix(images, targets, seeded(seed))
        assert torch.equal(mixed, images)
        assert torch.equal(soft, targets)


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0])
def test_lambda_follows_the_beta_distribution(alpha):
    generator, count = seeded(), 4000
    drawn = np.array([draw_beta(alpha, generator) for _ in range(count)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert drawn.mean() == pytest.approx(0.5, abs=5 * (variance / count) ** 0.5)
    # The fourth moment is at most a quarter of the second's: 5 deviations of the variance's estimate.
    assert drawn.var() == pytest.approx(variance, abs=5 * (variance / 4 / count) ** 0.5)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_either_is_chosen_half_of_the_time():
    images = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    generator, count = seeded(), 600
    blended = 0
    for _ in range(count):
        mixed, _ = Mix(mixup=1.0, cutmix=1.0)(images, torch.eye(2), generator)
        blended += bool(((mixed > 0) & (mixed < 1)).any())
    # A permutation of two leaves them in place half of the time: no blend shows then.
    assert abs(blended - count / 4) < 5 * (count * 3 / 16) ** 0.5


def test_off_is_off():
    images, targets = batch()
    generator = seeded()
    before = generator.get_state()
    assert all(a is b for a, b in zip(Mix()(images, targets, generator), (images, targets), strict=True))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("settings", [{"mixup": -0.1}, {"cutmix": float("inf")}, {"mixup": float("nan")}])
def test_impossible_alphas_are_refused(settings):
    with pytest.raises(UsageError, match="expected an alpha of 0 or more"):
        Mix(**settings)


@pytest.mark.gpu
@pytest.mark.parametrize("mix", BOTH)
def test_on_a_gpu_it_is_what_it_is_on_the_cpu(mix):
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    images, targets = batch()
    here, there = mix(images, targets, seeded(2)), mix(images.cuda(), targets.cuda(), seeded(2))
    assert torch.allclose(here[0], there[0].cpu(), atol=1e-6)
    assert torch.allclose(here[1], there[1].cpu(), atol=1e-6)
