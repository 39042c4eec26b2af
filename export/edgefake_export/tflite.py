"""Networks -> TFLite."""

from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor, nn

from edgefake_runtime.errors import UsageError
from edgefake_runtime.metadata import ModelMetadata

from .cells import Choices, Recipe, resolve
from .example import require_example
from .rounding import require_finite, round_network
from .tflite_convert import litert
from .tflite_flatbuffer import load_schema, parse, serialize
from .tflite_lower import lower
from .tflite_pack import pack_halves, pack_levels_of
from .tflite_tidy import constant_names, merge_scales, split_joins, tidy

__all__ = ["BITS", "Converter", "to_tflite", "write_recipe", "write_tflite"]

BITS = (2, 4, 8, 16, 32)
"""Widths of BitLinear's weights in a file."""

Converter = Callable[[nn.Module, Tensor], bytes]
"""A float network and an input (1, ...) -> a float TFLite file."""


def write_tflite(
    network: nn.Module,
    *,
    example: Tensor,
    bits: int,
    least: int = 2,
    half: bool = False,
    metadata: ModelMetadata | None = None,
    converter: Converter | None = None,
) -> bytes:
    """Write a network of BitLinear, quantized and ordinary layers as TFLite; the same network gives the same bytes.

    The file computes what the network computes in torch, with the input `image` and the output `logits`.

    Args:
        network: with one input and one output; left as it is.
        example: an input (B, ...), float; the file takes one at a time.
        bits: of BitLinear's weights: 2, 4 or 8 store levels and multiply them exactly, 16 and 32 store floats.
        least: no level is stored in fewer bits: 2, or 4 for runtimes that do not know 2.
        half: store float weights that are exactly float16 values as such.
        metadata: what the runtime needs to know, kept in the file.
        converter: of the float network; litert-torch when None.

    Raises:
        UsageError: other bits, static activations, layers that the converter cannot translate or loses, an example
            that the network does not take, or several outputs.
        MissingExtraError: litert-torch or ai-edge-litert is not installed.
    """
    if bits not in BITS or least not in BITS[:3]:
        raise UsageError(f"expected 2, 4, 8, 16 or 32 bits, at least 2, 4 or 8; got {bits}, at least {least}")
    load_schema()
    require_example(network, example)
    image = example[:1].detach().float().cpu()
    lowered = lower(network, example=image, bits=bits, least=least, half=half)
    with torch.no_grad():
        model = parse((converter or litert)(lowered.module, image))
    names = constant_names(model, lowered.module)
    names |= pack_levels_of(model, lowered.marked)
    names |= pack_halves(model, lowered.halves)
    merge_scales(model, names)
    split_joins(model)
    tidy(model, names, metadata)
    return serialize(model)


def to_tflite(
    module: nn.Module,
    *,
    example: Tensor,
    calibration: Tensor | None = None,
    metadata: ModelMetadata | None = None,
    converter: Converter | None = None,
    **choices: Unpack[Choices],
) -> bytes:
    """Write any network of BitLinear and ordinary layers as TFLite; the same network gives the same bytes.

    Args:
        module: any network with one input and one output, left as it is.
        example: an input (B, ...), float; the file takes one at a time.
        calibration: (n, ...) inputs, for GPTQ.
        metadata: what the runtime needs to know, kept in the file.
        converter: of the float network; litert-torch when None.
        choices: as in `resolve`: `bits`, `method`, `other`, ...

    Returns:
        A file with input `image` and output `logits`; it computes what
        `round_network(module, resolve(module, format="tflite", **choices))` computes.

    Raises:
        UsageError: choices that are no legal cell, or layers that the converter cannot translate or loses.
        ModelFileError: a weight is NaN or infinite.
        MissingExtraError: litert-torch or ai-edge-litert is not installed.
    """
    recipe = resolve(module, format="tflite", **choices)
    require_finite(module)
    rounded = round_network(module, recipe, calibration=calibration)
    return write_recipe(rounded, recipe, example=example, metadata=metadata, converter=converter)


def write_recipe(
    network: nn.Module,
    recipe: Recipe,
    *,
    example: Tensor,
    metadata: ModelMetadata | None = None,
    converter: Converter | None = None,
) -> bytes:
    """Write a rounded network (see `round_network`) as its recipe says; see `write_tflite`."""
    return write_tflite(
        network,
        example=example,
        bits=recipe.bits if recipe.ternary else 32,
        least=recipe.least_container,
        half=recipe.bits == 16 or recipe.other == 16,
        metadata=metadata,
        converter=converter,
    )
