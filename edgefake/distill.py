"""Learning from a teacher: soft labels, and its last feature map token by cell."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgefake_runtime.errors import UsageError

from .models import Network

__all__ = ["Distiller"]

FEATURE_WEIGHT = 2.0


class Distiller(nn.Module):
    """Adds a teacher's knowledge to the label loss of a student.

    loss = CE(student, label) + KL(teacher || student) + 2 smoothL1(P tokens, standardize(map)).

    The map is the teacher's last one, standardized per channel over the batch; P is one linear layer
    that training throws away. A transformer from scratch learns little from labels on a few thousand
    faces; the dense signal gives every token its own target (as in FitNets, Romero et al. 2015).

    Args:
        student: network to train; its width gives P its input.
        teacher: trained network with the same grid of cells as the student's tokens.

    Raises:
        UsageError: the grids or the image sizes differ.
    """

    def __init__(self, student: Network, teacher: Network) -> None:
        super().__init__()
        ours, theirs = student.config, teacher.config
        if (ours.grid, ours.image_size) != (theirs.grid, theirs.image_size):
            raise UsageError(
                f"expected a teacher of {ours.grid}x{ours.grid} cells at {ours.image_size} pixels, "
                f"got {theirs.grid}x{theirs.grid} at {theirs.image_size}"
            )
        self.teacher = teacher.eval().requires_grad_(False)
        with torch.no_grad():
            blank = torch.zeros(1, 3, ours.image_size, ours.image_size)
            inputs, outputs = (network.features(blank).shape[-1] for network in (student, teacher))
        self.project = nn.Linear(inputs, outputs)

    def train(self, mode: bool = True) -> "Distiller":
        """Switch modes; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, images: Tensor, features: Tensor, logits: Tensor) -> Tensor:
        """The teacher's share of the loss.

        Args:
            images: (B, 3, H, W), what the student saw.
            features: (B, N, D), the student's tokens.
            logits: (B, classes), the student's.
        """
        with torch.no_grad():
            cells = self.teacher.features(images).float()  # (B, N, C)
            soft = self.teacher.classify(cells).softmax(dim=-1)
            mean, deviation = cells.mean(dim=(0, 1)), cells.std(dim=(0, 1))
            target = (cells - mean) / (deviation + 1e-5)
        divergence = F.kl_div(logits.float().log_softmax(dim=-1), soft, reduction="batchmean")
        dense = F.smooth_l1_loss(self.project(features).float(), target)
        return divergence + FEATURE_WEIGHT * dense
