"""What MTCNN's networks compute, written in torch as facenet-pytorch has them, and random weights in its names."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from edgefake_export import mtcnn

NAMES = ("pnet", "rnet", "onet")
SHIPPED = Path(__file__).parents[2] / "models" / "mtcnn"

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("facenet_pytorch") is None, reason="needs facenet-pytorch's weights"
)


def conv(w, x, index, pool=0):
    x = F.conv2d(x, w[f"conv{index}.weight"], w[f"conv{index}.bias"])
    x = F.prelu(x, w[f"prelu{index}.weight"])
    return F.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x


def dense(w, x, index):
    x = F.linear(x.permute(0, 3, 2, 1).flatten(1), w[f"dense{index}.weight"], w[f"dense{index}.bias"])
    return F.prelu(x, w[f"prelu{index}.weight"])


def head(w, x, name):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def pnet(w, x):
    x = conv(w, conv(w, conv(w, x, 1, 2), 2), 3)
    logits, boxes = (F.conv2d(x, w[f"conv4_{i}.weight"], w[f"conv4_{i}.bias"]) for i in (1, 2))
    return {"boxes": boxes, "probability": logits.softmax(1)[:, 1:]}


def rnet(w, x):
    x = dense(w, conv(w, conv(w, conv(w, x, 1, 3), 2, 3), 3), 4)
    return {"boxes": head(w, x, "dense5_2"), "probability": head(w, x, "dense5_1").softmax(1)[:, 1:]}


def onet(w, x):
    x = dense(w, conv(w, conv(w, conv(w, conv(w, x, 1, 3), 2, 3), 3, 2), 4), 5)
    probability = head(w, x, "dense6_1").softmax(1)[:, 1:]
    return {"boxes": head(w, x, "dense6_2"), "landmarks": head(w, x, "dense6_3"), "probability": probability}


TORCH = {"pnet": pnet, "rnet": rnet, "onet": onet}


def network(name):
    return next(network for network in mtcnn.NETWORKS if network.name == name)


def random_tensors(name, slopes=(-1.3, 1.3)):
    """Random weights in facenet-pytorch's names; slopes of both signs and above 1 unless told."""
    rng = np.random.default_rng(0)
    tensors, channels = {}, 0
    for layer in network(name).layers:
        channels, fan_in = layer.shape[0], np.prod(layer.shape[1:])
        tensors[f"{layer.name}.weight"] = rng.standard_normal(layer.shape) / fan_in**0.5
        tensors[f"{layer.name}.bias"] = rng.standard_normal(channels) * 0.3
        tensors[f"prelu{layer.name[-1]}.weight"] = rng.uniform(*slopes, channels)
    sizes, tail = (2, 4, 10), (1, 1) if name == "pnet" else ()
    for key, size in zip(network(name).heads, sizes, strict=False):
        tensors[f"{key}.weight"] = rng.standard_normal((size, channels, *tail)) / channels**0.5
        tensors[f"{key}.bias"] = rng.standard_normal(size) * 0.3
    return {key: torch.tensor(value, dtype=torch.float32) for key, value in tensors.items()}
