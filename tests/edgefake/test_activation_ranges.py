"""Static ranges against all values at once in numpy, and in networks that run with them."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from edgefake.activation_ranges import BINS, CLIPPED, RANGES, static_activations
from edgefake.models import BitLinear, build
from edgefake.models.bitlinear import ternarize
from edgefake.quantized import QuantizedLayer, StoredWeight
from edgefake_runtime.errors import ModelFileError, UsageError


class Through(nn.Module):
    """Hands its input to one layer."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def forward(self, x):
        return self.layer(x)


def calibrated(values, method):
    """Range of a layer that sees these rows."""
    return static_activations(Through(values.shape[1]), ["layer"], values, method=method)["layer"]


def ends(activations):
    """Least and largest value that the levels reach."""
    return (-128 - activations.zero) * activations.scale, (127 - activations.zero) * activations.scale


def rows(seed, *, shift=0.0, outliers=0, shape=(80, 50)):
    """A bell and a few far values, as after a norm."""
    random = np.random.default_rng(seed)
    values = random.normal(shift, 1, size=shape)
    values.reshape(-1)[random.choice(values.size, outliers, replace=False)] *= 20
    return torch.from_numpy(values * 10.0 ** random.uniform(-2, 2)).float()


def squared_error(values, activations):
    return float((activations.round(values, over=(-1,)) - values).double().square().sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(-4, 4), st.sampled_from(RANGES), st.integers(0, 3))
def test_zero_is_a_level_and_scales_are_float32(seed, shift, method, outliers):
    values = rows(seed, shift=shift, outliers=outliers)
    found = calibrated(values, method)
    assert found.method == "static"
    assert float(found.round(torch.zeros(1), over=(-1,))) == 0.0
    assert np.float32(found.scale) == found.scale
    low, high = ends(found)
    step = found.scale
    assert min(float(values.min()), 0) - 1.5 * step <= low <= 0
    assert 0 <= high <= max(float(values.max()), 0) + 1.5 * step


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(-4, 4))
@example(
    seed=1_169_758_386, shift=0.0
)  # a least value that lies half a step below the last level, to a float's last digits
def test_minmax_clips_nothing_by_more_than_half_a_step(seed, shift):
    values = rows(seed, shift=shift)
    found = calibrated(values, "minmax")
    low, high = ends(found)
    assert (low - found.scale / 2) * (1 + 1e-6) <= float(values.min())
    assert float(values.max()) <= (high + found.scale / 2) * (1 + 1e-6)
    width = max(float(values.max()), 0) - min(float(values.min()), 0)
    assert found.scale == pytest.approx(width / 255, rel=1e-6)


@pytest.mark.parametrize(("sign", "zero"), [(1, -128), (-1, 127)])
@pytest.mark.parametrize("method", RANGES)
def test_values_of_one_sign_have_all_levels(sign, zero, method):
    """What follows a ReLU needs no negative levels."""
    found = calibrated(sign * rows(0).abs(), method)
    assert found.zero == zero


def test_a_percentile_is_that_of_all_values_at_once():
    values = rows(5, shift=0.3, outliers=4, shape=(400, 500))
    low, high = ends(calibrated(values, "percentile"))
    near = (high - low) / 255 + 2 * float(values.max() - values.min()) / BINS
    for inner, outer in ((values, low), (-values, -high)):
        shares = [float((inner <= outer + way * near).double().mean()) for way in (-1, 1)]
        assert shares[0] <= CLIPPED / 2 <= shares[1]
    assert high < float(values.max()) / 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(-3, 3), st.integers(0, 8))
def test_mse_has_about_the_least_squared_error(seed, shift, outliers):
    values = rows(seed, shift=shift, outliers=outliers)
    errors = {method: squared_error(values, calibrated(values, method)) for method in RANGES}
    assert errors["mse"] <= 1.1 * min(errors.values())


def test_mse_clips_one_outlier_among_many_and_keeps_a_tenth_of_them():
    few = torch.randn(2000, 100, generator=torch.Generator().manual_seed(0))
    few[0, 0] = 60.0
    many = few.clone()
    many[:, :10] *= 15
    assert ends(calibrated(few, "mse"))[1] < 50
    assert ends(calibrated(many, "mse"))[1] > 55


def test_the_number_of_pictures_in_a_batch_does_not_matter(monkeypatch):
    values = rows(2, shift=1, outliers=2)
    found = [calibrated(values, method) for method in RANGES]
    monkeypatch.setattr("edgefake.observe.BATCH", 7)
    assert [calibrated(values, method) for method in RANGES] == found


@pytest.mark.parametrize("method", RANGES)
def test_a_layer_that_sees_nothing_but_zeros_has_a_range(method):
    found = calibrated(torch.zeros(16, 4), method)
    assert 0 < found.scale < 1e-6
    assert not found.round(torch.zeros(3), over=(-1,)).any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("method", RANGES)
def test_what_is_no_number_is_refused(value, method):
    values = rows(0)
    values[20, 3] = value
    with pytest.raises(ModelFileError, match="finite activations"):
        calibrated(values, method)


def test_impossible_requests_are_refused():
    with pytest.raises(UsageError, match="range: expected minmax, percentile, mse; got entropy"):
        calibrated(rows(0), "entropy")
    with pytest.raises(UsageError, match="16 or more pictures to calibrate on, got 15"):
        calibrated(rows(0, shape=(15, 4)), "mse")
    network = build("linvit-nano", distillation=True)
    with pytest.raises(UsageError, match="distillation_head, which it never does"):
        static_activations(network, ["distillation_head"], torch.randn(16, 3, 32, 32))


def with_static(network, ranges):
    """BitLinear layers replaced by what a file with static activations computes."""
    network = deepcopy(network)
    for name, activations in ranges.items():
        layer = network.get_submodule(name)
        levels, beta = ternarize(layer.weight.detach())
        plain = nn.Linear(layer.in_features, layer.out_features, bias=False)
        parent, _, attribute = name.rpartition(".")
        stored = StoredWeight(levels.to(torch.int8), beta, None, 2)
        setattr(network.get_submodule(parent), attribute, QuantizedLayer(plain, stored, activations))
    return network.eval()


@pytest.mark.parametrize("method", RANGES)
def test_a_network_with_static_ranges_is_near_the_one_with_dynamic_ones(method):
    torch.manual_seed(0)
    network = build("bitvit-nano").eval()
    names = [name for name, layer in network.named_modules() if isinstance(layer, BitLinear)]
    pictures, others = torch.randn(64, 3, 32, 32), torch.randn(32, 3, 32, 32)
    ranges = static_activations(network, names[::-1], pictures, method=method)
    assert list(ranges) == names[::-1]
    assert all(isinstance(network.get_submodule(name), BitLinear) for name in names)
    with torch.no_grad():
        expected, got = network(others), with_static(network, ranges)(others)
    assert float((got - expected).square().mean().sqrt() / expected.std(dim=0).mean()) < 0.1
