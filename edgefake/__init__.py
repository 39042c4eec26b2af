"""Ternary vision transformers for deepfake detection: training core and command line.

Detection itself is in `edgefake_runtime`, export in `edgefake_export`; importing this package loads neither
torch nor ONNX Runtime.
"""

from edgefake_runtime import __version__

__all__ = ["__version__"]
