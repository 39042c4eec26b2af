"""Ternary vision transformers for deepfake detection: training core and command line.

Detection itself is in `edgefake_runtime`, export in `edgefake_export`; importing this package loads neither
torch nor ONNX Runtime.
"""

from importlib.metadata import version

__version__ = version("edgefake")

__all__ = ["__version__"]
