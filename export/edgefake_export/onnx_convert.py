"""Networks -> ONNX."""

from typing import Unpack

import onnx
import torch
from torch import Tensor, nn

from edgefake_runtime.errors import UsageError
from edgefake_runtime.metadata import ModelMetadata

from .cells import Choices, Recipe, resolve
from .example import require_example
from .onnx_lower import lower
from .onnx_ops import translations
from .onnx_pack import finish
from .rounding import require_finite, round_network
from .silence import quiet_export

__all__ = ["to_onnx", "trace", "write_onnx"]

OPSET = 23
"""With RMSNormalization, Attention and Gelu: half the operators of opset 18. The newest that torch writes."""

PLAIN_OPSET = 18
"""Of ordinary operators alone, for older runtimes and for compilers."""

QDQ_OPSET = 19
"""First whose QuantizeLinear onnx's own evaluator runs; the same operators, written down as of this version."""


def trace(module: nn.Module, example: Tensor, opset: int) -> onnx.ModelProto:
    """Torch's own export of a lowered module, with a free batch axis."""
    batch = example.detach().float().cpu()
    if len(batch) == 1:  # the exporter takes an axis of length 1 for a fixed one
        batch = torch.cat([batch, batch])
    try:
        with quiet_export(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (batch,),
                dynamo=True,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=opset,
                custom_translation_table=translations(opset),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UsageError(f"expected a network that torch.onnx.export can translate, got: {reason}") from error
    assert program is not None  # dynamo=True returns a program
    return program.model_proto


def write_onnx(
    network: nn.Module, *, example: Tensor, recipe: Recipe, metadata: ModelMetadata | None = None
) -> onnx.ModelProto:
    """Write a rounded network (see `round_network`); the same network gives the same bytes.

    Args:
        network: left as it is.
        example: an input (B, ...), float; B becomes free, other sizes stay.
        recipe: of the file.
        metadata: what the runtime needs to know, kept in the file.

    Raises:
        UsageError: layers that the exporter cannot translate, an example that they do not take, several outputs.
    """
    require_example(network, example)
    qdq = recipe.style == "qdq"
    plain = qdq or recipe.older_runtimes
    lowered = lower(network, bits=recipe.bits if recipe.ternary else 32, fused=not plain)
    model = trace(lowered, example, PLAIN_OPSET if plain else OPSET)
    if qdq:
        next(entry for entry in model.opset_import if entry.domain == "").version = QDQ_OPSET
    return finish(model, metadata, types=qdq, older_runtimes=recipe.older_runtimes, slim=recipe.bits == 32)


def to_onnx(
    module: nn.Module,
    *,
    example: Tensor,
    calibration: Tensor | None = None,
    metadata: ModelMetadata | None = None,
    **choices: Unpack[Choices],
) -> onnx.ModelProto:
    """Write any network of BitLinear and ordinary layers as ONNX; the same network gives the same bytes.

    Args:
        module: any network with one input and one output, left as it is.
        example: an input (B, ...), float; B becomes free, other sizes stay.
        calibration: (n, ...) inputs, for GPTQ and static activations.
        metadata: what the runtime needs to know, kept in the file.
        choices: as in `resolve`: `bits`, `method`, `other`, ...

    Returns:
        A model with input `image` and output `logits`; it computes what
        `round_network(module, resolve(module, **choices))` computes.

    Raises:
        UsageError: choices that are no legal cell, or layers that the exporter cannot translate.
        ModelFileError: a weight is NaN or infinite.
    """
    recipe = resolve(module, format="onnx", **choices)
    require_finite(module)
    rounded = round_network(module, recipe, calibration=calibration)
    return write_onnx(rounded, example=example, recipe=recipe, metadata=metadata)
