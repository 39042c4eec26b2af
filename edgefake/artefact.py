"""What a checkpoint says to an exported file: the runtime's metadata, made from the checkpoint's own."""

from edgefake_runtime import Calibration, Crop, ModelFileError, ModelMetadata, QualityFloor, Roc, Uncertain, __version__

from .checkpoint import Checkpoint
from .data.manifest import LABELS

__all__ = ["model_metadata"]

UNCALIBRATED = Calibration(scale=1.0, shift=0.0, origin="none: softmax of the raw logits")
EVEN = Uncertain(low=0.4, high=0.6, origin="default: less than 60 % for either class")


def model_metadata(checkpoint: Checkpoint, *, bits: int, method: str | None = None) -> ModelMetadata:
    """Metadata of a file exported from this checkpoint.

    Args:
        checkpoint: of a detector.
        bits: width of the encoder's weights in the file.
        method: how they came to it; None for how they were trained.

    Raises:
        ModelFileError: the checkpoint lacks preprocessing, or has impossible values.
    """
    known = checkpoint.metadata
    labels = known.get("labels", LABELS)
    if not isinstance(labels, (list, tuple)) or tuple(labels) != LABELS:
        count = f"{len(labels)} classes" if isinstance(labels, (list, tuple)) else repr(labels)
        raise ModelFileError(f"expected a detector of real and fake in this order, got {count}; fine-tune it first")
    missing = [key for key in ("mean", "std", "crop") if key not in known]
    if missing:
        raise ModelFileError(f"expected a checkpoint with its preprocessing, got one without {', '.join(missing)}")
    ternary = getattr(checkpoint.network.config, "ternary", False)
    try:
        return ModelMetadata(
            name=known.get("name", checkpoint.model),
            architecture=checkpoint.model,
            bits=bits,
            recipe=method if method not in (None, "float") else "qat" if ternary else "float32",
            input_size=checkpoint.network.config.image_size,
            color="RGB",
            mean=tuple(known["mean"]),
            std=tuple(known["std"]),
            crop=Crop(**known["crop"]),
            labels=LABELS,
            calibration=Calibration(**known["calibration"]) if "calibration" in known else UNCALIBRATED,
            threshold=known.get("threshold", 0.5),
            uncertain=Uncertain(**known["uncertain"]) if "uncertain" in known else EVEN,
            roc=Roc.of(known["roc"]) if "roc" in known else None,
            quality=QualityFloor(**known["quality"]) if "quality" in known else None,
            edgefake=__version__,
            training={key: known[key] for key in ("recipe", "data") if key in known},
        )
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelFileError(f"expected a checkpoint with sound metadata, got: {error}") from error
