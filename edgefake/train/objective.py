"""The loss of a training step: labels, and what a teacher adds in three forms."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake.models import Network, ViT
from edgefake_runtime.errors import UsageError

__all__ = ["Lesson", "Objective"]


@dataclass(frozen=True)
class Lesson:
    """What a teacher says of a batch.

    Attributes:
        logits: (B, K).
        cells: its last feature map, (B, C, h, w).
    """

    logits: Tensor
    cells: Tensor


class Objective(nn.Module):
    """A network with its loss, in one forward pass (what a data-parallel wrapper needs).

    Without a teacher: CE(psi(z_s), y). With one, alpha its share:

        hard   (1 - alpha) CE(psi(z_s), y) + alpha CE(psi(z_d), y_t)           thesis eq. 3.34; y_t = argmax z_t
        soft   (1 - alpha) CE(psi(z_s), y) + alpha T^2 KL(psi(z_t / T), psi(z_s / T))       Hinton et al. 2015
        dense  + smoothL1(P z_i, cell of token i), the cells standardized per channel over the batch

    z_s are the network's logits, z_d those of its distillation token, z_t the teacher's, y one class or, under MixUp
    and CutMix, shares of several; the teacher sees the mixed picture. P is one linear layer that training throws away;
    a map of another grid is averaged or repeated to the tokens' own. A transformer from scratch learns little from
    labels on a few thousand faces; the dense signal gives every token its own target (as in FitNets, Romero et al.
    2015).

    Args:
        network: what learns.
        forms: of distillation, among "hard", "soft", "dense"; empty without a teacher.
        cell_channels: C of the teacher's map, for "dense".
        alpha: the teacher's share.
        temperature: T.

    Raises:
        UsageError: "hard" without a distillation token, "dense" without a map.
    """

    def __init__(
        self,
        network: Network,
        *,
        forms: frozenset[str] = frozenset(),
        cell_channels: int | None = None,
        alpha: float = 0.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if "hard" in forms and not (isinstance(network, ViT) and network.config.distillation):
            raise UsageError("hard distillation: expected a ViT with a distillation token; take soft or dense labels")
        if "dense" in forms and cell_channels is None:
            raise UsageError("dense distillation: expected a teacher with a feature map; take hard or soft labels")
        self.network = network
        self.forms = forms
        self.alpha = alpha if forms & {"hard", "soft"} else 0.0
        self.temperature = temperature
        self.project: nn.Linear | None = None
        if "dense" in forms and cell_channels is not None:
            self.project = nn.Linear(_width(network), cell_channels)
        self.encode: Callable[[Tensor], tuple[Tensor, Tensor | None]] = self._features
        if isinstance(network, ViT):
            self.encode = network.encode

    def compile_encoder(self) -> None:
        """Run the encoder through torch.compile from now on."""
        self.encode = torch.compile(self.encode)

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.network.features(images), None

    def forward(self, images: Tensor, targets: Tensor, lesson: Lesson | None = None) -> Tensor:
        """The mean loss over a batch, a scalar in nats.

        Args:
            images: (B, 3, H, W), normalized.
            targets: (B, K), shares of the classes.
            lesson: the teacher's answer to the same images.
        """
        features, distilled = self.encode(images)
        logits = self.network.classify(features).float()
        loss = (1 - self.alpha) * F.cross_entropy(logits, targets)
        if lesson is None:
            return loss
        if "hard" in self.forms and distilled is not None:
            said = self.network.distillation_head(distilled).float()  # type: ignore[operator,misc]
            loss = loss + self.alpha * F.cross_entropy(said, lesson.logits.argmax(dim=-1))
        if "soft" in self.forms:
            loss = loss + self.alpha * _divergence(logits, lesson.logits.float(), self.temperature)
        if self.project is not None:
            loss = loss + _regression(self.project(features), lesson.cells, self.network.config.grid)
        return loss


def _width(network: Network) -> int:
    size = network.config.image_size
    with torch.no_grad():
        return network.eval().features(torch.zeros(1, 3, size, size)).shape[-1]


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    ours = (student / temperature).log_softmax(dim=-1)
    theirs = (teacher / temperature).log_softmax(dim=-1)
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def _regression(projected: Tensor, cells: Tensor, grid: int) -> Tensor:
    pooled = F.adaptive_avg_pool2d(cells.float(), grid).flatten(2).transpose(1, 2)  # (B, N, C)
    mean, deviation = pooled.mean(dim=(0, 1)), pooled.std(dim=(0, 1))
    return F.smooth_l1_loss(projected.float(), (pooled - mean) / (deviation + 1e-5))
