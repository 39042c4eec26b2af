"""GPTQ against exhaustive search, against the algorithm written another way, and on whole networks."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgefake import gptq as module
from edgefake.gptq import CLIPS, DAMPING, InputGram, gptq, quantize_gptq
from edgefake.models import build
from edgefake.ptq import PTQConfig, quantize
from edgefake.quantized import Activations, QuantizedLayer, store
from edgefake_runtime.errors import ModelFileError, UsageError

SEEDS = st.integers(0, 2**31)
PER = ("tensor", "channel")


def correlated(seed, *, rows=200, columns=12, rank=4, noise=0.1):
    """Inputs that lie near a few directions, as activations do: (rows, columns), float64."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, rank)) @ random.normal(size=(rank, columns)) + noise * random.normal(
        size=(rows, columns)
    )


def weights(seed, out, columns):
    random = np.random.default_rng((seed, 1))
    return torch.from_numpy(random.normal(size=(out, columns)) * random.uniform(0.2, 3, size=(out, 1))).float()


def damped(gram):
    mean = gram.diagonal().mean()
    return gram + (DAMPING * mean if mean else 1.0) * np.eye(len(gram))


def error(weight, values, gram):
    """Squared error of the output over the inputs, of each row."""
    difference = (weight - values).double().numpy()
    return np.einsum("rk,kj,rj->r", difference, gram, difference)


def scales(row, bits):
    return [np.float32(row.abs().max() / (2 ** (bits - 1) - 1)) * np.float32(clip) for clip in CLIPS]


def by_least_squares(row, gram, scale, bits):
    """The same algorithm without a factor: before each column, the float weights that are left are solved for."""
    half = 2 ** (bits - 1)
    order = np.argsort(-gram.diagonal(), kind="stable")
    hessian, weight = damped(gram)[np.ix_(order, order)], row.double().numpy()[order]
    levels = np.zeros(len(weight))
    for column in range(len(weight)):
        lost = weight[:column] - scale * levels[:column]
        left = np.linalg.solve(hessian[column:, column:], hessian[column:, :column] @ lost)
        levels[column] = np.clip(np.rint((weight[column] + left[0]) / scale), -half, half - 1)
    back = np.empty_like(levels)
    back[order] = levels
    return back


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bits", [2, 3])
@pytest.mark.parametrize("columns", [2, 3, 4])
def test_small_weights_lie_between_the_best_levels_there_are_and_rounding(seed, bits, columns):
    x = correlated(seed, columns=columns, rank=2)
    gram, weight = x.T @ x, weights(seed, 3, columns)
    found = error(weight, gptq(weight, torch.from_numpy(gram), bits=bits).values, damped(gram))
    half = 2 ** (bits - 1)
    grid = np.array(list(itertools.product(range(-half, half), repeat=columns)), np.float32)
    for row, got in zip(weight, found, strict=True):
        candidates = scales(row, bits)
        best = min(error(row[None], torch.from_numpy(grid * scale), damped(gram)).min() for scale in candidates)
        nearest = [(row / scale).round().clamp(-half, half - 1)[None] * scale for scale in candidates]
        rounded = min(error(row[None], values, damped(gram))[0] for values in nearest)
        assert best * (1 - 1e-3) <= got <= rounded * (1 + 1e-3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bits", [2, 4])
def test_levels_are_those_of_the_algorithm_solved_by_least_squares(seed, bits):
    """Over more columns than a block has, so that errors cross from one to the next."""
    x = correlated(seed, rows=400, columns=20)
    gram, weight = x.T @ x, weights(seed, 3, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 8)
        stored = gptq(weight, torch.from_numpy(gram), bits=bits)
    for row, levels, scale in zip(weight, stored.levels.numpy(), stored.scale.numpy(), strict=True):
        assert min(abs(scale / other - 1) for other in scales(row, bits)) < 1e-6
        assert levels.tolist() == by_least_squares(row, gram, float(scale), bits).tolist()


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 8), st.sampled_from(PER), st.integers(1, 12))
def test_it_is_never_worse_than_absmax(seed, bits, per, rank):
    x = correlated(seed, rank=rank, noise=0.01)
    gram, weight = x.T @ x, weights(seed, 5, 12)
    ours = gptq(weight, torch.from_numpy(gram), bits=bits, per=per)
    theirs = store(weight, method="absmax", bits=bits, per=per)
    ours, theirs = (error(weight, stored.values, damped(gram)).sum() for stored in (ours, theirs))
    assert ours <= theirs * (1 + 1e-3)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([2, 3, 4]), st.sampled_from(PER))
def test_with_correlated_inputs_outputs_are_several_times_nearer_than_absmax(seed, bits, per):
    x = correlated(seed, columns=32, rank=3, noise=0.05)
    weight = weights(seed, 16, 32)
    ours = gptq(weight, torch.from_numpy(x.T @ x), bits=bits, per=per).values
    theirs = store(weight, method="absmax", bits=bits, per=per).values
    ours, theirs = (np.square(x @ (weight - values).double().numpy().T).sum() for values in (ours, theirs))
    assert ours < theirs / 4


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 8), st.sampled_from(PER))
def test_independent_inputs_leave_plain_rounding(seed, bits, per):
    weight = weights(seed, 4, 9)
    gram = torch.from_numpy(np.diag(np.random.default_rng(seed).uniform(0.5, 2, 9)))
    stored = gptq(weight, gram, bits=bits, per=per)
    half = 2 ** (bits - 1)
    scale = stored.scale.reshape(-1, 1)
    assert torch.equal(stored.levels.float(), (weight / scale).round().clamp(-half, half - 1))


@pytest.mark.parametrize("per", PER)
def test_what_is_stored_is_symmetric_and_of_few_levels(per):
    x = correlated(0)
    for bits in range(2, 9):
        stored = gptq(weights(0, 5, 12), torch.from_numpy(x.T @ x), bits=bits, per=per)
        assert stored.levels.dtype == torch.int8
        assert -(2 ** (bits - 1)) <= int(stored.levels.min())
        assert int(stored.levels.max()) < 2 ** (bits - 1)
        assert stored.zero is None
        assert stored.bits == bits
        assert stored.scale.shape == (() if per == "tensor" else (5,))
        assert stored.scale.dtype == torch.float32


def test_dead_inputs_are_rounded_and_the_others_do_not_mind():
    x = correlated(3)
    dead = [2, 7]
    x[:, dead] = 0
    alive = [column for column in range(12) if column not in dead]
    weight = weights(3, 5, 12)
    weight[:, dead] *= 0.1  # they must not decide on the scale either
    stored = gptq(weight, torch.from_numpy(x.T @ x), bits=4)
    assert torch.equal(stored.levels[:, dead].float(), (weight[:, dead] / stored.scale[:, None]).round().clamp(-8, 7))
    assert error(weight, stored.values, x.T @ x).sum() < 0.25 * np.square(x @ weight.double().numpy().T).sum()
    assert stored.levels[:, alive].unique().numel() > 4


def test_no_input_at_all_and_no_weight_at_all_have_an_answer():
    weight = weights(0, 4, 6)
    stored = gptq(weight, torch.zeros(6, 6), bits=8)
    absmax = store(weight, method="absmax", bits=8, per="channel")
    ours, theirs = ((each.values - weight).square().sum() for each in (stored, absmax))
    assert ours <= theirs * (1 + 1e-4)
    empty = gptq(torch.zeros(4, 6), torch.eye(6), bits=2)
    assert not empty.levels.any()
    assert (empty.scale > 0).all()
    assert empty.scale.isfinite().all()


def test_fewer_inputs_than_columns_will_do():
    x = correlated(1, rows=3, columns=40)
    weight = weights(1, 6, 40)
    values = gptq(weight, torch.from_numpy(x.T @ x), bits=3).values
    assert values.isfinite().all()
    theirs = store(weight, method="absmax", bits=3, per="channel").values
    assert error(weight, values, x.T @ x).sum() < error(weight, theirs, x.T @ x).sum() / 4


def test_groups_are_problems_of_their_own():
    grams = torch.stack([torch.from_numpy(x.T @ x) for x in (correlated(0), correlated(1))])
    weight = weights(0, 6, 12)
    both = gptq(weight, grams, bits=3)
    for group in (0, 1):
        rows = slice(3 * group, 3 * group + 3)
        alone = gptq(weight[rows], grams[group], bits=3)
        assert torch.equal(both.levels[rows], alone.levels)
        assert torch.allclose(both.scale[rows], alone.scale)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"bits": 1}, UsageError, "2 to 8 bits, got 1"),
        ({"per": "row"}, UsageError, "tensor or channel, got row"),
        ({"gram": torch.eye(5)}, UsageError, r"6 x 6 for a weight of \(4, 6\), got \(5, 5\)"),
        ({"gram": torch.eye(6).expand(3, 6, 6)}, UsageError, "6 x 6"),
        ({"gram": torch.full((6, 6), torch.inf)}, ModelFileError, "finite calibration inputs"),
        ({"weight": torch.full((4, 6), torch.nan)}, ModelFileError, "finite weights"),
    ],
)
def test_what_cannot_be_is_refused(changes, kind, message):
    with pytest.raises(kind, match=message):
        gptq(**({"weight": torch.ones(4, 6), "gram": torch.eye(6), "bits": 4} | changes))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"padding": (2, 0), "dilation": (2, 1)},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "reflect"},
        {"groups": 2, "padding": 1},
        {"groups": 4},
    ],
)
def test_the_gram_of_a_convolution_gives_the_size_of_its_output(options):
    """For any weight W: |conv(x, W)|^2 = sum of w G w^T over its rows."""
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, (3, 3), bias=False, **options).double()
    x = torch.randn(5, 4, 9, 7, dtype=torch.float64)
    gram = InputGram(layer, Activations("none"))
    gram(x[:2])
    gram(x[2:])
    rows = layer.weight.detach().reshape(len(gram.total), -1, layer.weight[0].numel())  # (G, R, K)
    assert torch.allclose(((rows @ gram.total) * rows).sum(), layer(x).square().sum())


def test_the_gram_of_a_linear_layer_is_of_rounded_inputs():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6) * torch.tensor([1.0, 100.0])[:, None, None]
    activations = Activations("absmax", 4)
    gram = InputGram(nn.Linear(6, 2), activations)
    gram(x)
    rows = activations.round(x, over=(-1,)).reshape(6, 6).double()
    assert torch.allclose(gram.total, (rows.T @ rows)[None], rtol=1e-5)


def deep(layers=6):
    torch.manual_seed(0)
    return nn.Sequential(*(each for _ in range(layers) for each in (nn.Linear(10, 10), nn.GELU())))


def test_layers_see_what_the_quantized_layers_before_them_give():
    network, images, done = deep(), torch.randn(64, 10), []
    names = [str(2 * number) for number in range(6)]
    result = quantize_gptq(network, names[::-1], images, bits=2, on_done=done.append)
    assert done == [1] * 6
    with torch.no_grad():
        inputs = result[:8](images)  # four layers are done when the fifth's inputs are gathered
        gram = InputGram(network[8], Activations("absmax"))
        gram(inputs)
        expected = gptq(network[8].weight, gram.total, bits=2)
        assert torch.equal(result[8].stored.levels, expected.levels)
        gram = InputGram(network[8], Activations("absmax"))
        gram(network[:8](images))
        assert not torch.equal(gptq(network[8].weight, gram.total, bits=2).levels, expected.levels)


@pytest.mark.parametrize("name", ["linvit-nano", "cnn-nano"])
@pytest.mark.parametrize("bits", [2, 3])
@pytest.mark.parametrize("per", PER)
def test_networks_stay_nearer_to_the_float_one_than_with_absmax(name, bits, per):
    torch.manual_seed(0)
    network = build(name).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    names = [key for key, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    names = [key for key in names if key.startswith("blocks.")]
    pictures, others = torch.randn(64, 3, 32, 32), torch.randn(32, 3, 32, 32)
    ours = quantize_gptq(network, names, pictures, bits=bits, per=per)
    assert network.training
    assert not any(module.training for module in ours.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [key for key, layer in ours.named_modules() if isinstance(layer, QuantizedLayer)] == names
    theirs = quantize(network, PTQConfig("absmax", bits, per=per, layers="encoder"))
    network.eval()
    with torch.no_grad():
        errors = [float((each(others) - network(others)).square().mean()) for each in (ours, theirs)]
    assert errors[0] < 0.7 * errors[1]


def test_a_layer_in_two_places_is_quantized_in_both():
    torch.manual_seed(0)
    shared = nn.Linear(6, 6)
    network = nn.Sequential(shared, nn.ReLU(), shared)
    result = quantize_gptq(network, ["0"], torch.randn(20, 6), bits=4)
    assert result[0] is result[2]
    assert isinstance(result[2], QuantizedLayer)
    assert network[0] is network[2] is shared


@pytest.mark.parametrize(
    ("names", "count", "message"),
    [
        (["0"], 1, "expected 16 or more pictures to calibrate on, got 1; name a manifest with --calibration"),
        (["12"], 16, "'12': expected the name of a float linear or convolution layer, got no layer"),
        (["1"], 16, "got a GELU"),
        ([""], 16, "got a Sequential"),
    ],
)
def test_what_cannot_be_quantized_is_refused(names, count, message):
    with pytest.raises(UsageError, match=message):
        quantize_gptq(deep(2), names, torch.randn(count, 10), bits=4)


def test_ternary_layers_and_damaged_ones_are_refused():
    with pytest.raises(UsageError, match="got a BitLinear"):
        quantize_gptq(build("bitvit-nano"), ["blocks.0.attention.qkv"], torch.randn(16, 3, 32, 32), bits=4)
    network = deep(2)
    network[0].weight.data[0, 0] = torch.inf
    with pytest.raises(ModelFileError, match="finite"):
        quantize_gptq(network, ["0", "2"], torch.randn(16, 10), bits=4)


def test_no_layers_give_a_plain_copy():
    network, images = deep(2), torch.randn(16, 10)
    result = quantize_gptq(network, [], images, bits=4)
    assert result is not network
    assert torch.equal(result(images), network(images))
