"""Saying which extra a command needs, before it fails on an import."""

from importlib.util import find_spec

from edgefake_runtime.errors import MissingExtraError

__all__ = ["require"]


def require(extra: str, *packages: str) -> None:
    """Check that packages are installed, without importing them.

    Raises:
        MissingExtraError: one is not; names the extra that brings it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)
