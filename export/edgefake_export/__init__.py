"""From a checkpoint to files that run without torch.

`to_onnx` and `to_tflite` translate any network of BitLinear and ordinary layers; `export_file` writes and verifies a
file of a detector. torch, onnx and litert-torch are loaded when something that needs them is first asked for.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from edgefake_runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from .cells import Recipe, legal_recipes, resolve
    from .file import Export, export_checkpoint, export_file, prepare_export
    from .onnx_convert import to_onnx
    from .rounding import round_network
    from .samples import sample_crops
    from .tflite import to_tflite
    from .verify import ExportReport

__all__ = [
    "Export",
    "ExportReport",
    "Recipe",
    "export_checkpoint",
    "export_file",
    "legal_recipes",
    "prepare_export",
    "resolve",
    "round_network",
    "sample_crops",
    "to_onnx",
    "to_tflite",
]

_Needs = dict[str, tuple[str, ...]]

_TORCH: _Needs = {"export": ("torch", "safetensors")}
_ONNX: _Needs = {"export": ("torch", "safetensors", "onnx", "onnxscript", "onnx_ir", "onnxslim")}
_TFLITE: _Needs = {"tflite": ("torch", "safetensors", "litert_torch", "ai_edge_litert")}
_HOMES: dict[str, tuple[str, _Needs]] = {
    "Export": ("file", _TORCH),
    "ExportReport": ("verify", _TORCH),
    "Recipe": ("cells", _TORCH),
    "export_checkpoint": ("file", _TORCH),
    "export_file": ("file", _TORCH),
    "legal_recipes": ("cells", _TORCH),
    "prepare_export": ("file", _TORCH),
    "resolve": ("cells", _TORCH),
    "round_network": ("rounding", _TORCH),
    "sample_crops": ("samples", {}),
    "to_onnx": ("onnx_convert", _ONNX),
    "to_tflite": ("tflite", _TFLITE),
}
"""Public name -> its module, and the packages that it needs by the extra that brings them."""


def __getattr__(name: str) -> Any:
    """Load the module that holds a public name.

    Raises:
        MissingExtraError: a package that it needs is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, needed = _HOMES[name]
    for extra, packages in needed.items():
        for package in packages:
            if find_spec(package) is None:
                raise MissingExtraError(package, extra)
    return getattr(import_module(f".{module}", __name__), name)
