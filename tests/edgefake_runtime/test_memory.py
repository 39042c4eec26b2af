"""Memory of this process and of the machine, against what is known of both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgefake_runtime.memory import machine_memory, peak_memory

MEGA = 1_000_000

PROBE = """
from edgefake_runtime.memory import peak_memory
before = peak_memory()
block = bytearray(b"x") * {size}
with_block = peak_memory()
del block
print(before, with_block, peak_memory())
"""


def test_a_block_raises_the_peak_which_stays() -> None:
    size = 200 * MEGA
    command = [sys.executable, "-c", PROBE.format(size=size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    before, with_block, after = map(int, done.stdout.split())
    assert before < 100 * MEGA
    assert 0.95 * size < with_block - before < 1.2 * size
    assert after > 0.99 * with_block  # Linux counts in batches


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="elsewhere a child may have its parent's peak")
def test_a_process_does_not_have_its_parent_s_peak() -> None:
    code = """
from edgefake_runtime.memory import peak_memory
from edgefake_runtime.worker import Worker
block = bytearray(b"x") * 400_000_000
with Worker() as process:
    print(peak_memory(), process.ask("memory"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    parent, child = map(int, done.stdout.split())
    assert parent > 400 * MEGA
    assert child < 200 * MEGA


def test_the_machine_has_more_than_this_process_took() -> None:
    total, free = machine_memory()
    assert total is not None
    assert total >= (peak_memory() or 0)
    assert total == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01)
    assert free is None or 0 < free <= total
