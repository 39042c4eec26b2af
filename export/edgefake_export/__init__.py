"""From a checkpoint to files that run without torch.

`export_onnx` writes and verifies a file; `to_onnx` translates any network of BitLinear and ordinary layers.
torch and onnx are loaded when one of them is first asked for.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from edgefake_runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from .convert import export_onnx, to_onnx
    from .samples import sample_crops
    from .verify import ExportReport

__all__ = ["ExportReport", "export_onnx", "sample_crops", "to_onnx"]

_HOMES = {"ExportReport": "verify", "export_onnx": "convert", "sample_crops": "samples", "to_onnx": "convert"}
_PACKAGES = ("torch", "safetensors", "onnx", "onnxscript", "onnx_ir")


def __getattr__(name: str) -> Any:
    """Load the module that holds a public name.

    Raises:
        MissingExtraError: a package of the extra "export" is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError(package, "export")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
