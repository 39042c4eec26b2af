"""scripts/raspberry_pi.py's checks, and the commands of docs/raspberry-pi.md."""

import importlib
import re
import shlex
import struct
from pathlib import Path

import pytest
from typer.main import get_command

from edgefake.cli.app import app
from edgefake_runtime.cpu import parse_cpuinfo

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "raspberry-pi.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```", "", GUIDE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("edgefake ")]
COMMANDS += re.findall(r"`(?:[^`|]*\| )?(edgefake [a-z]+ [^`]*)`", PROSE)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("raspberry_pi")


def library(*alignments):
    """A 64-bit ELF file with segments that are loaded, and one that is not."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, len(alignments) + 1, 0, 0, 0
    )
    loaded = [struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, size) for size in alignments]
    return header + b"".join(loaded) + struct.pack("<IIQQQQQQ", 2, 5, 0, 0, 0, 0, 0, 8)


def test_libraries_for_small_pages_are_named(script, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "good.so").write_bytes(library(0x10000, 0x4000))
    (tmp_path / "inner" / "bad.so.1.2").write_bytes(library(0x10000, 0x1000))
    (tmp_path / "notes.so.txt").write_bytes(b"no library")
    assert script.page_misses(tmp_path) == ["bad.so.1.2"]


@pytest.mark.parametrize(
    ("cpu", "name", "features"),
    [("cortex-a76", "Cortex-A76", ("NEON", "fp16", "dotprod")), ("cortex-a72", "Cortex-A72", ("NEON",))],
)
def test_the_board_is_seen_as_what_is_emulated(script, cpu, name, features):
    text = importlib.import_module("emulated_root").cpuinfo(cpu)
    assert cpu in script.CPUS
    assert parse_cpuinfo(text, "aarch64") == (name, features)
    assert text.count("processor\t:") == 4


def test_the_log_names_no_server(script, capsys):
    log = script.Log()
    log.add("Looking in indexes: x\nCollecting numpy\n  Downloading https://host/numpy.whl (1 MB)\n")
    assert log.lines == ["Collecting numpy"]
    assert capsys.readouterr().out == "Collecting numpy\n"


def test_the_guide_shows_the_way():
    assert {line.split()[1] for line in COMMANDS} == {"detect", "doctor", "profile"}
    assert any("--camera" in line for line in COMMANDS)


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_and_options_exist(line):
    _, name, *words = shlex.split(line, comments=True)
    command = get_command(app).commands[name]
    command.make_context(name, words)  # raises for an option, or a value, that does not exist


def test_files_that_it_names_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", GUIDE) if "://" not in link]
    named = re.findall(r"scripts/\w+\.py|docs/samples/[\w.]+", GUIDE)
    assert named
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]
    assert not [name for name in named if not (ROOT / name).exists()]
