"""Logits of a network in torch over a data set."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from .data.pictures import Batch, PictureDataset, loader, stream, to_input
from .models import Network
from .train.order import in_order

__all__ = ["logits_of", "predict"]


def logits_of(network: Network, batches: Iterable[Batch]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (n, K) of every readable picture of some batches, and which entries of the data set they are (n,)."""
    device = next(network.parameters()).device
    network.eval()
    logits, indices = [np.empty((0, network.config.classes), np.float32)], [np.empty(0, np.int64)]
    with torch.inference_mode():
        for batch in batches:
            images = batch.images[batch.readable]
            if len(images):
                logits.append(network(to_input(images.to(device))).float().cpu().numpy())
                indices.append(batch.indices[batch.readable].numpy())
    return np.concatenate(logits), np.concatenate(indices)


def predict(network: Network, dataset: PictureDataset, *, batch: int = 128, workers: int = 0) -> NDArray[np.float32]:
    """Logits of every picture as it is, in the data set's order: (n, K), float32.

    Raises:
        InputError: a picture that cannot be read, where the data set is strict.
    """
    keys = in_order(len(dataset), batch)
    return logits_of(network, stream(loader(dataset, keys, workers=workers)))[0]
