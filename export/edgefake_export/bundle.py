"""Everything that an app needs in one folder: classifier, face detector, what they mean, and their licences.

docs/android-bundle.md has the fields of its description, edgefake.json.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from edgefake_runtime import __version__
from edgefake_runtime.errors import InputError, ModelFileError, printable
from edgefake_runtime.shipped import models_folder
from edgefake_runtime.tflite_file import read_tflite

from .bundle_description import describe
from .bundle_folder import DESCRIPTION, whole_folder, writing
from .contents import read_contents
from .mtcnn import NETWORKS
from .verify import ExportReport

__all__ = ["CLASSIFIER", "Bundle", "BundleFile", "write_bundle"]

CLASSIFIER, LABELS, NOTICE = "classifier.tflite", "labels.txt", "NOTICE"
CARD, WEIGHTS_LICENSE, MTCNN_LICENSE, APACHE = "MODEL-CARD.md", "LICENSE-WEIGHTS", "LICENSE-MTCNN", "LICENSE-APACHE-2.0"

FACES = "mtcnn"
"""Folder of the face detector among the shipped models."""

Export = Callable[[Path], ExportReport]
"""Writes and verifies the classifier's file at a path."""

Files = dict[str, tuple[bytes, str]]
"""Name -> bytes, and what it holds."""


@dataclass(frozen=True)
class BundleFile:
    """A file of the bundle: its name, size, SHA-256 and what it holds."""

    file: str
    bytes: int
    sha256: str
    holds: str


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written.

    Attributes:
        folder: its place.
        files: all of them, the description first.
        report: of the classifier's export.
    """

    folder: Path
    files: tuple[BundleFile, ...]
    report: ExportReport

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """The report of the export, with the bundle's folder, files and size."""
        files = [asdict(file) for file in self.files]
        return self.report.as_json() | {"bundle": {"folder": str(self.folder), "files": files, "bytes": self.bytes}}


def write_bundle(out: Path, export: Export, *, checkpoint: Path) -> Bundle:
    """Export a classifier into a folder with all that an app needs beside it; whole or not at all.

    Args:
        out: the folder; an earlier bundle there is replaced (see `require_folder`).
        export: writes the classifier's file where it is told, verified.
        checkpoint: folder that it is exported from, with its licence and card, if it has them.

    Raises:
        InputError: it cannot be written, or a licence of the checkpoint not read.
        ModelFileError: the shipped face detector is not there.
        EdgefakeError: whatever `export` raises; no new folder is left.
    """
    others = _faces() | _licences(checkpoint)
    with whole_folder(out) as part:
        report = export(part / CLASSIFIER)
        with writing(out):
            files = _complete(part / CLASSIFIER, others)
            for name, (content, _) in files.items():
                (part / name).write_bytes(content)
    listed = tuple(_file(name, *files[name]) for name in (DESCRIPTION, *sorted(files.keys() - {DESCRIPTION})))
    return Bundle(out, listed, replace(report, path=out / CLASSIFIER))


def _complete(classifier: Path, others: Files) -> Files:
    """All files of a bundle: what is made from the classifier's file is added to the others."""
    data = classifier.read_bytes()
    found = read_tflite(data)
    model = json.loads(found.metadata or "{}")
    holds = f"classifier {model['name']}, {model['bits']} bits"
    files = {CLASSIFIER: (data, holds), LABELS: (_lines(model["labels"]), "classes")} | others
    files[NOTICE] = (_notice(model, files), "which licence covers which file")
    listed = [asdict(_file(name, *files[name])) for name in sorted(files)]
    needs = read_contents(classifier).needs.version
    description = describe(found, file=CLASSIFIER, litert=needs, files=listed)
    return files | {DESCRIPTION: (description, "what the files are and how to use them")}


def _file(name: str, data: bytes, holds: str) -> BundleFile:
    return BundleFile(name, len(data), hashlib.sha256(data).hexdigest(), holds)


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{printable(path)}: expected a file that can be read, got: {error.strerror}") from error


def _read_shipped(path: Path) -> bytes:
    try:
        return _read(path)
    except InputError as error:
        raise ModelFileError(f"{error}; pip install --force-reinstall edgefake") from error


def _faces() -> Files:
    folder = models_folder() / FACES
    names = [f"{network.name}.tflite" for network in NETWORKS]
    files = {name: (_read_shipped(folder / name), "face detector (MTCNN)") for name in names}
    return files | {MTCNN_LICENSE: (_read_shipped(folder / "LICENSE"), "licence of MTCNN's weights (MIT)")}


def _licences(checkpoint: Path) -> Files:
    """Those of the classifier's weights, and the card, which a shipped model's licence asks for."""
    shipped, files = models_folder().resolve(), Files()
    here = checkpoint.resolve()
    if here.is_relative_to(shipped):
        files[WEIGHTS_LICENSE] = (_read_shipped(shipped / WEIGHTS_LICENSE), "licence of the classifier's weights")
        files[APACHE] = (_apache(shipped), "the Apache License, which it names")
    else:
        own = [path for path in sorted(here.glob("LICENSE*")) if path.is_file()]
        if own:
            text = b"\n".join(_read(path) for path in own)
            files[WEIGHTS_LICENSE] = (text, "licence of the classifier's weights")
    if (here / "README.md").is_file():
        files[CARD] = (_read(here / "README.md"), "the classifier's card")
    return files


def _apache(models: Path) -> bytes:
    """From the installed wheel, or the top of a checkout."""
    try:
        text = distribution("edgefake").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    return text.encode() if text else _read_shipped(models.parent / "LICENSE")


def _notice(model: Mapping[str, Any], files: Files) -> bytes:
    classifier = f"{CLASSIFIER}: weights of {model['name']}, exported by edgefake {__version__}. "
    if WEIGHTS_LICENSE in files:
        classifier += f"Their licence is in {WEIGHTS_LICENSE}"
    else:
        classifier += "Their licence is for whoever trained them to say, within the terms of the data they learned from"
    classifier += f"; {CARD} tells what they are good for, and goes with every copy." if CARD in files else "."
    if APACHE in files:
        classifier += f" {APACHE} is the text of the Apache License that it names."
    networks = ", ".join(f"{network.name}.tflite" for network in NETWORKS)
    return _lines(
        [
            "What is in this folder, and under which licence",
            "",
            classifier,
            "",
            f"{networks}: MTCNN, weights from facenet-pytorch 2.5.3, under the MIT licence in {MTCNN_LICENSE}.",
            "",
            f"{DESCRIPTION}, {LABELS}, {NOTICE}: written by edgefake {__version__}, under the Apache License 2.0.",
            "",
            "A score is no proof.",
        ]
    )
