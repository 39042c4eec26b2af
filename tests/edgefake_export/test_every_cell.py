"""Every legal cell: the file runs in its runtime, computes what torch computes, and has the bits that it claims."""

from functools import cache
from pathlib import Path

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from edgefake.checkpoint import Checkpoint
from edgefake.models import ViT, ViTConfig
from edgefake_export import Recipe, export_file, legal_recipes, prepare_export, sample_crops
from edgefake_export.contents import read_contents, read_plan
from edgefake_runtime import Calibration, Classifier, Crop, ModelMetadata, Uncertain

SIDE = 16
CONTAINERS = {32: 32, 16: 16, 8: 8, 6: 8, 4: 4, 3: 4, 2: 2}
RECIPES = [*legal_recipes(ternary=True), *legal_recipes(ternary=False)]
WEIGHTS = 32 * 96 + 32 * 32 + 2 * 32 * 64


def called(recipe: Recipe) -> str:
    kind = "bitvit" if recipe.ternary else "linvit"
    older = "-older" if recipe.older_runtimes else ""
    return f"{kind}-{recipe.format}-{recipe.style}-{recipe.method}-{recipe.per}-{recipe.bits}{older}"


@cache
def checkpoint(*, ternary: bool) -> Checkpoint:
    """One block, four tokens: every kind of layer, in a second or two."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=SIDE, patch_size=8, dim=32, depth=1, heads=2, ffn_dim=64, ternary=ternary, head=(), classes=2
    )
    return Checkpoint(network=ViT(config).eval(), model="bitvit-nano" if ternary else "linvit-nano")


def metadata(bits: int, method: str) -> ModelMetadata:
    return ModelMetadata(
        name="mini",
        architecture="mini",
        bits=bits,
        recipe=method,
        input_size=SIDE,
        color="RGB",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop=Crop(margin=0.1, shift=0.0, square=True, origin="test"),
        labels=("real", "fake"),
        calibration=Calibration(scale=1.0, shift=0.0, origin="test"),
        threshold=0.5,
        uncertain=Uncertain(low=0.45, high=0.55, origin="test"),
        edgefake="0",
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=called)
def test_the_file_is_what_it_says(recipe: Recipe, tmp_path: Path) -> None:
    loaded, out = checkpoint(ternary=recipe.ternary), tmp_path / f"m.{recipe.format}"
    calibration = torch.randn(32, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    about = metadata(recipe.bits, recipe.method)
    prepared = prepare_export(loaded, recipe, metadata=about, calibration=calibration if recipe.calibrated else None)
    report = export_file(prepared, out, crops=sample_crops(SIDE))

    assert report.relative <= report.tolerance <= (0.03 if recipe.bits < 32 or recipe.ternary else 1e-3)
    assert report.disagreeing == 0
    bits = max(CONTAINERS[recipe.bits], recipe.least_container)
    weights, size = report.parts["encoder"][bits]
    assert size * 8 == weights * bits
    padding = 4 * (96 + 32 + 64 + 32) if recipe.format == "tflite" and bits <= 8 else 0
    assert WEIGHTS <= weights <= WEIGHTS + padding + 64
    assert Classifier(out).metadata == about
    assert read_plan(out).error is None
    if recipe.format == "tflite":
        assert read_plan(out).partitions == 1
    if recipe.older_runtimes:
        assert report.needs == {"onnx": "onnxruntime 1.6", "tflite": "ai-edge-litert 1.0"}[recipe.format]
    if recipe.style == "qdq":
        _check_qdq(out, prepared.rounded)


def _check_qdq(path: Path, rounded: torch.nn.Module) -> None:
    """QDQ files are for other tools: onnx's checker and its reference evaluator, a second implementation, take them."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    operators = read_contents(path).operators
    assert operators["QuantizeLinear"] >= 4
    assert operators["DequantizeLinear"] >= 8
    assert "MatMulInteger" not in operators
    image = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = rounded(image).numpy()
    (found,) = ReferenceEvaluator(model).run(None, {"image": image.numpy()})
    assert abs(found - expected).max() <= 3e-2 * (expected**2).mean() ** 0.5
