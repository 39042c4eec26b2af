"""litert-torch as a function: a float network -> a float TFLite file, with nothing printed and nothing left changed."""

import contextlib
import io
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgefake_runtime.errors import MissingExtraError, UsageError, first_line

__all__ = ["litert"]

PACKAGE = "litert_torch"

SETTINGS = {"LITERT_TORCH_SHOW_PROGRESS": "n", "LITERT_TORCH_SILENCE_TORCH_LOGS": "n"}
"""Environment that litert-torch reads: it shall not print its steps, nor take torch's log handlers away."""

WIDE = "jax_enable_x64"
"""The setting of jax that litert-torch changes, and needs."""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Output goes nowhere, also that of C libraries, which write to descriptors 1 and 2."""
    with contextlib.ExitStack() as stack:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
            with contextlib.suppress(OSError):  # the process has none
                kept = os.dup(descriptor)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, descriptor)
                os.dup2(nowhere, descriptor)
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """No messages, no warnings, and the root logger's handlers as before."""
    disabled, handlers = logging.root.manager.disable, logging.root.handlers[:]
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    environment = dict(os.environ)
    os.environ.update(SETTINGS)
    try:
        yield
    finally:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)


@contextlib.contextmanager
def _same_numbers() -> Iterator[None]:
    """Random numbers go on as if nothing had drawn any."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


@contextlib.contextmanager
def _wide_jax() -> Iterator[None]:
    """litert-torch turns 64-bit numbers on for all of jax when it is imported; others may not want them."""
    jax = sys.modules.get("jax")
    before = bool(jax.config.jax_enable_x64) if jax else False
    try:
        config: Any = import_module("jax").config
    except ImportError as error:
        raise MissingExtraError("jax", "tflite") from error
    config.update(WIDE, True)
    try:
        yield
    finally:
        config.update(WIDE, before)


def litert(module: nn.Module, example: Tensor) -> bytes:
    """Convert a float network by litert-torch.

    Args:
        module: on the CPU, in evaluation mode, float32.
        example: an input, (1, ...); its shape becomes the file's.

    Returns:
        A TFLite file.

    Raises:
        MissingExtraError: litert-torch is not installed.
        UsageError: an operator that it cannot translate.
    """
    with _silent(), _unlogged(), _same_environment(), _same_numbers(), _wide_jax():
        try:
            converter = import_module(PACKAGE)
        except ImportError as error:
            raise MissingExtraError(PACKAGE, "tflite") from error
        try:
            return bytes(converter.convert(module, (example,)).model_content())
        except Exception as error:  # whatever its hundred thousand lines raise
            reason = first_line(error)
            raise UsageError(f"expected a network that litert-torch can translate, got: {reason}") from error
