"""Of boxes that overlap, the best: greedy non-maximum suppression without a loop over boxes."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["non_maximum_suppression", "overlap"]

Floats = NDArray[np.float32]


def overlap(a: Floats, b: Floats, *, minimum: bool = False) -> Floats:
    """Overlap of each box of `a` with each of `b`: intersection over union, or over the smaller box.

    Args:
        a: (N, 4) x0, y0, x1, y1.
        b: (M, 4).
        minimum: divide by the smaller box instead of the union, and count pixels (a box from 0 to 9 is 10
            wide), as facenet-pytorch does there.

    Returns:
        (N, M), 0 to 1.
    """
    pixel = np.float32(1 if minimum else 0)
    a, b = a.T[:, :, None], b.T[:, None, :]  # (4, N, 1), (4, 1, M)
    width = np.maximum(np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]) + pixel, 0)
    height = np.maximum(np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]) + pixel, 0)
    inter = width * height  # (N, M)
    areas = [(box[2] - box[0] + pixel) * (box[3] - box[1] + pixel) for box in (a, b)]
    whole = np.minimum(*areas) if minimum else areas[0] + areas[1] - inter
    shares: Floats = inter / np.maximum(whole, np.float32(1e-12))  # 0 for boxes without area
    return shares


def _keep_in_block(boxes: Floats, threshold: float, minimum: bool) -> NDArray[np.bool_]:
    """Greedy suppression of boxes in order of score, as the fixed point of "no kept box before overlaps".

    A pass settles at least one more box; in practice a few passes settle all (Cluster NMS, Zheng et al.,
    2020).
    """
    suppresses = np.triu(overlap(boxes, boxes, minimum=minimum) > threshold, 1)
    keep = np.logical_not(suppresses.any(0))
    while True:
        settled = np.logical_not(suppresses[keep].any(0))
        if np.array_equal(settled, keep):
            return keep
        keep = settled


def non_maximum_suppression(
    boxes: Floats, scores: Floats, threshold: float, *, minimum: bool = False, block: int = 256
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: best score first, drop what overlaps a kept box by above `threshold`.

    Works through blocks of boxes, so that memory grows with kept boxes times `block`, not with boxes squared.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,).
        threshold: of the overlap.
        minimum: measure the overlap against the smaller box, not the union.
        block: boxes that are compared with each other at once.

    Returns:
        (K,) indices of the kept boxes, best score first; of equal scores the earlier box wins.
    """
    order = np.argsort(-scores, kind="stable")
    kept = order[:0]
    for start in range(0, len(order), block):
        rest = order[start : start + block]
        if len(kept):
            rest = rest[~(overlap(boxes[kept], boxes[rest], minimum=minimum) > threshold).any(0)]
        kept = np.concatenate([kept, rest[_keep_in_block(boxes[rest], threshold, minimum)]])
    return kept
