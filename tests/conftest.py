"""Fixtures of every test."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The data folder named by EDGEFAKE_DATA; skips the test without it. Use it with `pytest.mark.data`."""
    name = os.environ.get("EDGEFAKE_DATA")
    if not name:
        pytest.skip("needs the data folder: set EDGEFAKE_DATA")
    folder = Path(name)
    if not folder.is_dir():
        pytest.skip(f"EDGEFAKE_DATA names no folder: {name}")
    return folder
