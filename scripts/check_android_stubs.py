"""Compares runtime/android/stubs with what android.jar really has, as @nativescript/types-android (npm) writes it down.

    npm pack @nativescript/types-android@9.1.1 && tar xzf nativescript-types-android-9.1.1.tgz
    python scripts/check_android_stubs.py package/lib/android/android-platform-37.d.ts

Of every class of android.* in the stubs: that it is there; that its constants have these values; that a method of this
name has this number of arguments, and is static or not. Needs a JDK. TypeScript has one type for all numbers, so
that int and long, and what is returned, are not compared. Exits 1 with a line for each difference.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

STUBS = Path(__file__).resolve().parents[1] / "runtime" / "android" / "stubs"
MODULE = re.compile(r"\s*(?:declare|export) module ([\w.]+) \{$")
CLASS = re.compile(r"\s*export (?:abstract )?(?:class|interface) (\w+)")
METHOD = re.compile(r"([\w.$]+)\((.*)\)")
FIELD = re.compile(r"(\w+)(?: = (.*))?;$")


def declared(text: str) -> dict[str, list[str]]:
    """Members of every class, a line each."""
    open_blocks: list[str] = []
    members: dict[str, list[str]] = {}
    for line in text.splitlines():
        module, found = MODULE.match(line), CLASS.match(line)
        if module:
            open_blocks.append(module[1])
        elif found and line.endswith("{"):
            open_blocks.append(found[1])
            members.setdefault(".".join(open_blocks), [])
        elif line.strip() in ("}", "};", "});"):
            if open_blocks:
                open_blocks.pop()
        else:
            members.setdefault(".".join(open_blocks), []).append(line.strip())
            if line.endswith("{"):
                open_blocks.append("")
    return members


def count(arguments: str) -> int:
    """How many there are; type arguments have commas of their own."""
    plain = arguments
    while "<" in plain and (shorter := re.sub(r"<[^<>]*>", "", plain)) != plain:
        plain = shorter
    return plain.count(",") + 1 if plain.strip() else 0


def has_method(real: list[str], name: str, arguments: int, *, static: bool) -> bool:
    """Whether a method or constructor is there."""
    for line in real:
        found = re.match(rf"(?:public |protected )?(static )?{name}\((.*)\)", line)
        if found and bool(found[1]) == static and count(found[2]) == arguments:
            return True
    return False


def has_field(real: list[str], name: str, value: str | None) -> bool:
    """Whether a field is there, with this value."""
    lines = [line for line in real if re.match(rf"(?:public )?(?:static )?{name}:", line)]
    return any(value is None or line.endswith(f": {value};") for line in lines)


def differences(stub: str, lines: list[str], real: list[str]) -> list[str]:
    """Members of one stub (as javap prints them) that the real class has not."""
    wrong = []
    for line in lines:
        method, field = METHOD.search(line), FIELD.search(line)
        if method:
            constructor = method[1] == stub
            name = "constructor" if constructor else method[1]
            if name in ("values", "valueOf"):
                continue
            held = has_method(real, name, count(method[2]), static=not constructor and " static " in f" {line}")
        else:
            held = field is None or has_field(real, field[1], field[2])
        if not held:
            wrong.append(f"{stub}: expected {line} in android.jar too, got none such")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("types", type=Path, help="android-platform-37.d.ts")
    real = declared(parser.parse_args().types.read_text())
    wrong: list[str] = []
    checked = 0
    with tempfile.TemporaryDirectory() as folder:
        sources = sorted(map(str, STUBS.rglob("*.java")))
        subprocess.run(["javac", "-nowarn", "-d", folder, *sources], check=True)
        for file in sorted(Path(folder).rglob("*.class")):
            name = ".".join(file.relative_to(folder).with_suffix("").parts)
            if not name.startswith("android."):
                continue
            if name.replace("$", ".") not in real:
                wrong.append(f"{name}: expected it in android.jar too, got none such")
                continue
            command = ["javap", "-protected", "-constants", "-cp", folder, name]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            lines = [line.strip() for line in printed.splitlines()[2:-1]]
            checked += len(lines)
            wrong += differences(name, lines, real[name.replace("$", ".")])
    print("\n".join([*wrong, f"{checked} members compared, {len(wrong)} differences"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
