"""Teachers: our checkpoints, and the arithmetic of the adapters.

timm and torchvision cannot be installed beside this torch. The networks here stand in for theirs in form alone
(attributes, shapes, settings): what is tested is resizing, normalization, cells and errors of the adapters.
"""

import sys
from enum import Enum
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgefake.checkpoint import Checkpoint, save_checkpoint
from edgefake.data.pictures import IMAGENET_MEAN, IMAGENET_STD
from edgefake.models import build
from edgefake.train.teachers import load_teacher
from edgefake_runtime.errors import InputError, ModelFileError, UsageError

INCEPTION = (0.5, 0.5, 0.5)
NAMES = "abcdefg"


def images(size=32, batch=2):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def saved(folder, name="linvit-nano", metadata=None, **changes):
    torch.manual_seed(0)
    network = build(name, **changes).eval()
    save_checkpoint(Checkpoint(network, name, metadata=metadata or {}), folder)
    return network


@pytest.mark.parametrize("name", ["linvit-nano", "bitvit-nano", "cnn-nano"])
def test_our_networks_teach_by_logits_and_cells(tmp_path, name):
    network = saved(tmp_path / "c", name, classes=5)
    teacher = load_teacher(str(tmp_path / "c"), classes=NAMES[:5])
    assert (teacher.classes, teacher.image_size) == (5, 32)
    logits, cells = teacher(images())
    with torch.no_grad():
        assert torch.allclose(logits, network(images()), atol=1e-6)
        features = network.features(images())
    grid = network.config.grid
    assert cells.shape == (2, features.shape[-1], grid, grid)
    assert torch.allclose(cells[1, :, -1, 0], features[1, grid * (grid - 1)], atol=1e-6)


def test_classes_in_another_order_are_brought_into_ours(tmp_path):
    network = saved(tmp_path / "c", classes=3, metadata={"labels": ["a", "b", "c"]})
    logits = load_teacher(str(tmp_path / "c"), classes=("c", "a", "b"))(images())[0]
    assert torch.allclose(logits, network(images())[:, [2, 0, 1]], atol=1e-6)
    with pytest.raises(UsageError, match="expected a teacher that knows the data's classes, got one without d"):
        load_teacher(str(tmp_path / "c"), classes=("a", "b", "d"))


def test_a_distillation_token_is_no_cell(tmp_path):
    saved(tmp_path / "c", distillation=True)
    logits, cells = load_teacher(str(tmp_path / "c"), classes=NAMES[:2])(images())
    assert (logits.shape, cells.shape) == ((2, 2), (2, 32, 4, 4))


def test_teachers_stay_in_evaluation_without_gradients(tmp_path):
    saved(tmp_path / "c", "cnn-nano")
    student = nn.ModuleList([load_teacher(str(tmp_path / "c"), classes=NAMES[:2])]).train()
    teacher = student[0]
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    logits, cells = teacher(images().requires_grad_())
    assert not logits.requires_grad
    assert not cells.requires_grad
    # What a loss with gradients takes in: tensors of inference mode would not do.
    (F.mse_loss(torch.zeros_like(cells, requires_grad=True), cells)).backward()
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("size", [16, 48])
def test_other_sizes_are_resized(tmp_path, size):
    saved(tmp_path / "c")
    teacher = load_teacher(str(tmp_path / "c"), classes=NAMES[:2])
    resized = F.interpolate(images(size), size=(32, 32), mode="bilinear", antialias=True)
    assert torch.allclose(teacher(images(size))[0], teacher(resized)[0], atol=1e-6)


def test_a_checkpoints_own_normalization_counts(tmp_path):
    network = saved(tmp_path / "c", metadata={"mean": INCEPTION, "std": INCEPTION})
    logits, _ = load_teacher(str(tmp_path / "c"), classes=NAMES[:2])(images())
    with torch.no_grad():
        assert torch.allclose(logits, network(renormalized(images())), atol=1e-5)


def renormalized(normalized, mean=INCEPTION, std=INCEPTION):
    """Back to pixels in 0 to 1 and forth, in float64."""
    rows = [np.reshape(values, (3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD, mean, std)]
    pixels = normalized.numpy().astype(np.float64) * rows[1] + rows[0]
    return torch.from_numpy((pixels - rows[2]) / rows[3]).float()


@pytest.mark.parametrize("metadata", [{"mean": [1, 2]}, {"std": "abc"}, {"mean": 3}, {"std": [0.5, None, 1]}])
def test_damaged_normalization_is_refused(tmp_path, metadata):
    saved(tmp_path / "c", metadata=metadata)
    with pytest.raises(ModelFileError, match="mean and std of three numbers"):
        load_teacher(str(tmp_path / "c"), classes=NAMES[:2])


def test_other_classes_are_refused_with_both_numbers(tmp_path):
    saved(tmp_path / "c", classes=1000)
    with pytest.raises(UsageError, match="the data's 2 classes, got one of 1000"):
        load_teacher(str(tmp_path / "c"), classes=NAMES[:2])


def test_what_is_no_teacher_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected a checkpoint folder, timm:NAME or torchvision:NAME"):
        load_teacher("efficientnet_v2_s", classes=NAMES[:2])
    with pytest.raises(ModelFileError, match="expected a checkpoint folder"):
        load_teacher(str(tmp_path), classes=NAMES[:2])


class Timm(nn.Module):
    """Of timm's form: forward_features, forward_head, num_classes."""

    num_classes = 7

    def __init__(self, layout="NCHW", prefix=0):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 8, 8)
        self.head = nn.Linear(6, self.num_classes)
        self.layout = layout
        if layout == "NHWC":
            self.output_fmt = "NHWC"
        if layout == "tokens":
            self.num_prefix_tokens = prefix

    def forward_features(self, x):
        x = self.stem(x)
        if self.layout == "NHWC":
            return x.permute(0, 2, 3, 1)
        if self.layout == "tokens":
            tokens = x.flatten(2).transpose(1, 2)
            return torch.cat([tokens.new_full((len(x), self.num_prefix_tokens, 6), 9.0), tokens], dim=1)
        return x

    def forward_head(self, x):
        if x.ndim == 4:
            return self.head(x.mean(dim=(1, 2)) if self.layout == "NHWC" else x.mean(dim=(2, 3)))
        return self.head(x[:, self.num_prefix_tokens :].mean(dim=1))


def give_timm(monkeypatch, network, **settings):
    """Make `import timm` find this."""
    timm, data = ModuleType("timm"), ModuleType("timm.data")
    asked = []

    def create_model(name, pretrained=False):
        asked.append((name, pretrained))
        if isinstance(network, Exception):
            raise network
        return network

    config = {"input_size": (3, 40, 40), "mean": INCEPTION, "std": INCEPTION, **settings}
    timm.create_model, timm.data = create_model, data
    data.resolve_model_data_config = lambda model: config
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return asked


@pytest.mark.parametrize(("layout", "prefix"), [("NCHW", 0), ("NHWC", 0), ("tokens", 0), ("tokens", 5)])
def test_timm_networks_get_their_size_and_normalization(monkeypatch, layout, prefix):
    torch.manual_seed(0)
    network = Timm(layout, prefix)
    asked = give_timm(monkeypatch, network)
    teacher = load_teacher("timm:some.net", classes=NAMES[:7])
    assert asked == [("some.net", True)]
    assert (teacher.classes, teacher.image_size) == (7, 40)
    logits, cells = teacher(images(32))
    wanted = renormalized(F.interpolate(images(32), size=(40, 40), mode="bilinear", antialias=True))
    with torch.no_grad():
        expected = network.stem(wanted)  # (2, 6, 5, 5)
        assert torch.allclose(cells, expected, atol=1e-5)
        assert torch.allclose(logits, network.head(expected.mean(dim=(2, 3))), atol=1e-5)


def test_tokens_of_no_square_are_no_cells(monkeypatch):
    network = Timm("tokens", 0)
    give_timm(monkeypatch, network)
    teacher = load_teacher("timm:x", classes=NAMES[:7])
    network.num_prefix_tokens = 1  # now 24 of 25 are left
    network.forward_features = lambda x: network.stem(x).flatten(2).transpose(1, 2)
    assert teacher(images(40))[1] is None


class Torchvision(nn.Module):
    """Of torchvision's EfficientNet's form: features, avgpool, classifier."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.BatchNorm2d(6))
        self.classifier = nn.Linear(6, 4)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


class TorchvisionSwin(Torchvision):
    """Of torchvision's Swin's form: features with the channels last, then permute."""

    def __init__(self):
        super().__init__()
        self.features.append(ChannelsLast())
        self.permute = nn.Identity()

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(1, 2)))


class ChannelsLast(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def give_torchvision(monkeypatch, network):
    """Make `import torchvision.models` find this."""
    package, models = ModuleType("torchvision"), ModuleType("torchvision.models")
    view = SimpleNamespace(crop_size=[40], resize_size=[40], mean=list(IMAGENET_MEAN), std=list(IMAGENET_STD))

    class Weights(Enum):
        DEFAULT = "weights"

        @property
        def meta(self):
            return {"categories": ["tench", "shark", "hen", "jay"]}

        def transforms(self):
            return view

    def get_model_weights(name):
        if name != "net":
            raise ValueError(f"Unknown model {name}")
        return Weights

    def get_model(name, weights):
        if isinstance(network, Exception):
            raise network
        assert weights is Weights.DEFAULT
        return network

    models.get_model_weights, models.get_model, package.models = get_model_weights, get_model, models
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


@pytest.mark.parametrize("kind", [Torchvision, TorchvisionSwin])
def test_torchvision_networks_get_their_size_and_show_their_map(monkeypatch, kind):
    torch.manual_seed(0)
    network = kind()
    give_torchvision(monkeypatch, network)
    teacher = load_teacher("torchvision:net", classes=NAMES[:4])
    assert (teacher.classes, teacher.image_size) == (4, 40)
    logits, cells = teacher(images(32))
    wanted = F.interpolate(images(32), size=(40, 40), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = network.features[:2](wanted)
        assert torch.allclose(cells, expected, atol=1e-5)
        assert torch.allclose(logits, network.classifier(expected.mean(dim=(2, 3))), atol=1e-5)


def test_torchvision_networks_without_a_map_have_no_cells(monkeypatch):
    give_torchvision(monkeypatch, nn.Sequential(nn.Flatten(), nn.Linear(3 * 40 * 40, 4)))
    logits, cells = load_teacher("torchvision:net", classes=NAMES[:4])(images(40))
    assert logits.shape == (2, 4)
    assert cells is None


@pytest.mark.parametrize("package", ["timm", "torchvision"])
@pytest.mark.parametrize("error", [ImportError("none"), RuntimeError("operator torchvision::nms does not exist\nmore")])
def test_packages_that_do_not_import_say_what_to_install(monkeypatch, package, error):
    class Broken:
        """Found before the installed packages; fails as a torchvision of another torch does."""

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == package:
                raise error

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(UsageError, match="a torchvision that matches this torch") as caught:
        load_teacher(f"{package}:net", classes=NAMES[:4])
    assert str(error).splitlines()[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_failed_downloads_are_told_apart(monkeypatch):
    give_torchvision(monkeypatch, OSError("no route to host"))
    with pytest.raises(UsageError, match="a trained classifier of torchvision, got: Unknown model nothing"):
        load_teacher("torchvision:nothing", classes=NAMES[:4])
    with pytest.raises(InputError, match="expected to download its weights, got: no route to host"):
        load_teacher("torchvision:net", classes=NAMES[:4])
    give_timm(monkeypatch, RuntimeError("Unknown model (nothing)"))
    with pytest.raises(UsageError, match="a trained classifier of timm, got: Unknown model"):
        load_teacher("timm:nothing", classes=NAMES[:4])
    give_timm(monkeypatch, Timm())
    with pytest.raises(UsageError, match="the data's 2 classes, got one of 7"):
        load_teacher("timm:net", classes=NAMES[:2])
