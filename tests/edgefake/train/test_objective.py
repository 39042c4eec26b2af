"""The loss of a step, against numpy and by hand."""

import numpy as np
import pytest
import torch

from edgefake.data.mix import Mix, one_hot
from edgefake.models import build
from edgefake.train.objective import Lesson, Objective
from edgefake_runtime.errors import UsageError


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def student(**changes):
    torch.manual_seed(0)
    return build("linvit-nano", dropout=0.0, **changes).eval()


@pytest.fixture
def batch():
    torch.manual_seed(1)
    images = torch.randn(4, 3, 32, 32)
    targets = one_hot(torch.tensor([0, 1, 1, 0]), 2)
    return images, targets, Lesson(torch.randn(4, 2), torch.randn(4, 5, 4, 4))


def test_equation_3_34_by_hand():
    """Logits 0 everywhere cost ln 2 each; the token says class 1 with probability 0.9, the teacher says 1, then 0."""
    network = student(distillation=True, head=())
    with torch.no_grad():
        network.head[-1].weight.zero_()
        network.head[-1].bias.zero_()
        network.distillation_head.weight.zero_()
        network.distillation_head.bias.copy_(torch.tensor([0.0, np.log(9.0)]))
    images, targets = torch.randn(1, 3, 32, 32), torch.tensor([[1.0, 0.0]])
    objective = Objective(network, forms=frozenset({"hard"}), alpha=0.5)
    for said, expected in (([0.1, 5.0], -np.log(0.9)), ([5.0, 0.1], -np.log(0.1))):
        loss = objective(images, targets, Lesson(torch.tensor([said]), torch.zeros(1, 1, 1, 1)))
        assert loss.item() == pytest.approx(0.5 * np.log(2) + 0.5 * expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_equation_3_34_against_numpy(batch, alpha):
    images, targets, lesson = batch
    network = student(distillation=True)
    tokens, distilled = network.encode(images)
    z_s = network.classify(tokens).detach().numpy().astype(np.float64)
    z_d = network.distillation_head(distilled).detach().numpy().astype(np.float64)
    y, y_t = targets.numpy(), np.eye(2)[lesson.logits.numpy().argmax(axis=1)]
    expected = -(1 - alpha) * (y * log_softmax(z_s)).sum(1).mean() - alpha * (y_t * log_softmax(z_d)).sum(1).mean()
    loss = Objective(network, forms=frozenset({"hard"}), alpha=alpha)(images, targets, lesson)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_soft_labels_against_numpy(batch):
    """Hinton et al. (2015), eq. 4 with T^2; the divergence is zero where student and teacher agree."""
    images, targets, lesson = batch
    network, alpha, temperature = student(), 0.4, 3.0
    z_s, z_t = network(images).detach().numpy().astype(np.float64), lesson.logits.numpy().astype(np.float64)
    p = np.exp(log_softmax(z_t / temperature))
    divergence = (p * (log_softmax(z_t / temperature) - log_softmax(z_s / temperature))).sum(1).mean()
    labels = -(targets.numpy() * log_softmax(z_s)).sum(1).mean()
    objective = Objective(network, forms=frozenset({"soft"}), alpha=alpha, temperature=temperature)
    expected = (1 - alpha) * labels + alpha * temperature**2 * divergence
    assert float(objective(images, targets, lesson)) == pytest.approx(expected, rel=1e-5)
    agreeing = Lesson(network(images).detach(), lesson.cells)
    assert float(objective(images, targets, agreeing)) == pytest.approx((1 - alpha) * labels, rel=1e-5)


@pytest.mark.parametrize("grid", [2, 4, 8])
def test_dense_features_against_numpy(batch, grid):
    """Each of 4x4 tokens regresses the cell it lies in: repeated from a coarser map, averaged from a finer one."""
    images, targets, _ = batch
    cells = torch.randn(4, 5, grid, grid, generator=torch.Generator().manual_seed(2)) * 7 + 3
    network = student()
    objective = Objective(network, forms=frozenset({"dense"}), cell_channels=5)
    labels = float(Objective(network)(images, targets))
    own = cells.numpy().astype(np.float64)
    if grid == 2:
        own = own.repeat(2, axis=2).repeat(2, axis=3)
    if grid == 8:
        own = own.reshape(4, 5, 4, 2, 4, 2).mean(axis=(3, 5))
    flat = own.reshape(4, 5, 16).transpose(0, 2, 1)
    standard = (flat - flat.mean(axis=(0, 1))) / (flat.reshape(-1, 5).std(axis=0, ddof=1) + 1e-5)
    said = objective.project(network.features(images)).detach().numpy()
    gap = np.abs(said - standard)
    expected = labels + np.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean()
    assert float(objective(images, targets, Lesson(torch.zeros(4, 2), cells))) == pytest.approx(expected, rel=1e-4)


def test_mixed_labels_cost_their_shares(batch):
    """Under MixUp the loss is lambda CE(y_i) + (1 - lambda) CE(y_j): cross-entropy is linear in the target."""
    images, targets, _ = batch
    mixed, soft = Mix(mixup=0.2)(images, targets, torch.Generator().manual_seed(3))
    network = student()
    logs = log_softmax(network(mixed).detach().numpy().astype(np.float64))
    assert 0 < float(soft[0].max()) <= 1
    assert float(Objective(network)(mixed, soft)) == pytest.approx(-(soft.numpy() * logs).sum(1).mean(), rel=1e-5)


def test_the_distillation_token_is_no_part_of_the_mean():
    """The head sees the mean over the patches' tokens alone; the token changes it through attention only."""
    network = student(distillation=True)
    images = torch.randn(2, 3, 32, 32)
    tokens, distilled = network.encode(images)
    assert (tokens.shape, distilled.shape) == ((2, 16, 32), (2, 32))
    assert torch.allclose(network(images), network.head(tokens.mean(dim=1)))
    with torch.no_grad():
        network.distillation_token.add_(1.0)
    assert not torch.allclose(network.encode(images)[0], tokens)


def test_what_a_form_needs_is_asked_for():
    with pytest.raises(UsageError, match="expected a ViT with a distillation token"):
        Objective(student(), forms=frozenset({"hard"}))
    with pytest.raises(UsageError, match="expected a teacher with a feature map"):
        Objective(student(), forms=frozenset({"dense"}))
