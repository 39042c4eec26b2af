"""Exporters that talk, kept quiet."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

__all__ = ["quiet_export"]


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
    """Keep an exporter that runs in Python from printing, logging and warning about itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(disabled)
