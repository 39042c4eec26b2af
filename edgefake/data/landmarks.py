"""Landmarks of a data set's faces: annotated beside it, or found by MTCNN and kept."""

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgefake_runtime import FaceDetector, InputError
from edgefake_runtime.media import Picture, open_media

from .manifest import Sample
from .selfblend import LANDMARK_COUNTS, face_hull

__all__ = ["Landmarks", "find_five_points", "load_landmarks", "read_landmarks"]

Points = NDArray[np.float32]

SIDE = 224
"""Pictures are searched with their longer side at this many pixels, so that one minimum face size fits all."""

SURE = 0.95
"""Least probability of a face; what is found with less in a picture of a face is mostly a part of it."""

KEEP_EVERY = 500
"""Searched pictures after which the cache is written; a search of thousands takes minutes."""


@dataclass(frozen=True)
class Landmarks:
    """Where the faces of some pictures are.

    Attributes:
        points: of each picture with a face, (K, 2) pixels.
        annotated: pictures whose points come from a CSV.
        found: those whose points come from MTCNN, now or in an earlier run.
        faceless: those that are left out because no face was found.
        unreadable: those that are left out because they could not be read.
    """

    points: dict[Path, Points]
    annotated: int
    found: int
    faceless: int
    unreadable: int


@dataclass(frozen=True)
class _Kept:
    """What a search found: the picture's size in bytes then, and five points or None for no face."""

    size: int
    points: Points | None


def _columns(count: int) -> list[str]:
    return [f"{axis}{index}" for index in range(count) for axis in "xy"]


def _rows(path: Path, columns: Sequence[str]) -> Iterable[tuple[int, list[str]]]:
    """The lines of a CSV with this header: number and cells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            if (header := next(reader, [])) != list(columns):
                shown = ",".join(header[:4]) or "nothing"
                raise InputError(
                    f"{path}:1: expected {len(columns)} columns {','.join(columns[:4])},..., "
                    f"got {len(header)} that begin with {shown}"
                )
            for cells in reader:
                if len(cells) != len(columns):
                    raise InputError(f"{path}:{reader.line_num}: expected {len(columns)} cells, got {len(cells)}")
                yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected a CSV file of landmarks, got: {reason}") from error


def _numbers(path: Path, line: int, cells: Sequence[str]) -> Points:
    try:
        points = np.array(cells, np.float32).reshape(-1, 2)
    except ValueError as error:
        raise InputError(f"{path}:{line}: expected pixels as numbers, got: {error}") from error
    if not np.isfinite(points).all():
        raise InputError(f"{path}:{line}: expected pixels as numbers, got some that are not finite")
    return points


def read_landmarks(path: Path, count: int) -> dict[str, Points]:
    """Read a CSV with the columns file,x0,y0,x1,y1,...: file -> (count, 2) pixels.

    Raises:
        InputError: another header, or a malformed line, which it names.
    """
    read: dict[str, Points] = {}
    for line, (name, *cells) in _rows(path, ["file", *_columns(count)]):
        if not name or name in read:
            raise InputError(f"{path}:{line}: expected a file name of its own, got {name!r}")
        read[name] = _numbers(path, line, cells)
    return read


def _is_face(points: Points) -> bool:
    try:
        face_hull(points)
    except InputError:
        return False
    return True


class _Annotated:
    """The CSVs of landmarks beside a manifest, beside a picture and one folder above it."""

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest
        self._tables: dict[Path, list[dict[str, Points]]] = {}

    def _in(self, folder: Path) -> list[dict[str, Points]]:
        """Tables of one folder, most points first; each is read once."""
        if folder not in self._tables:
            files = [(count, folder / f"landmarks{count}.csv") for count in sorted(LANDMARK_COUNTS, reverse=True)]
            self._tables[folder] = [read_landmarks(file, count) for count, file in files if file.is_file()]
        return self._tables[folder]

    def __call__(self, picture: Path) -> Points | None:
        """Points of a picture; None where there are none, or none of a face."""
        for folder in dict.fromkeys((self._manifest.parent, picture.parent, picture.parent.parent)):
            if not picture.is_relative_to(folder):
                continue
            name = picture.relative_to(folder).as_posix()
            for table in self._in(folder):
                points = table.get(name, table.get(name.removeprefix("images/")))
                if points is not None and _is_face(points):
                    return points
        return None


def find_five_points(image: NDArray[np.uint8], detector: FaceDetector) -> Points | None:
    """MTCNN's five points of the largest face of a picture.

    The picture is framed by its replicated border, without which the faces of tight crops are missed; where
    that shows no face of a third of the picture's side, one of an eighth is looked for.

    Args:
        image: (H, W, 3) RGB bytes.
        detector: of faces; its own minimum size is not used.

    Returns:
        (5, 2) pixels: eyes, nose, mouth corners; None where no face is sure.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    side = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, side, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    pad = SIDE // 2
    framed = np.asarray(cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_REPLICATE), np.uint8)
    for smallest in (SIDE // 3, SIDE // 8):
        for face in detector.detect(framed, min_face=smallest):
            zoom = np.array([width / side[0], height / side[1]])
            points = np.asarray((np.array(face.landmarks) - pad + 0.5) * zoom - 0.5, np.float32)
            if face.score >= SURE and _is_face(points):
                return points
    return None


class _Cache:
    """What MTCNN found, by picture; a picture whose file has another size since is searched again."""

    def __init__(self, path: Path | None, manifest: Path) -> None:
        self._path = path
        self._root = manifest.parent
        self._kept: dict[str, _Kept] = {}
        if path is not None and path.exists():
            self._kept = dict(self._read(path))
        self.write()  # an unwritable place is refused before the search

    def _read(self, path: Path) -> Iterable[tuple[str, _Kept]]:
        for line, (name, size, *cells) in _rows(path, ["file", "bytes", *_columns(5)]):
            if not size.isascii() or not size.isdigit():
                raise InputError(f"{path}:{line}: expected a number of bytes, got {size!r}; delete the file")
            yield name, _Kept(int(size), _numbers(path, line, cells) if any(cells) else None)

    def _name(self, picture: Path) -> str:
        inside = picture.is_relative_to(self._root)
        return (picture.relative_to(self._root) if inside else picture.absolute()).as_posix()

    def get(self, picture: Path) -> _Kept | None:
        kept = self._kept.get(self._name(picture))
        return kept if kept is not None and kept.size == picture.stat().st_size else None

    def put(self, picture: Path, points: Points | None) -> _Kept:
        if points is not None:
            # As the file will have them, so that the next run, or a resumed one, sees the same.
            points = np.array([float(f"{value:.2f}") for value in points.flat], np.float32).reshape(points.shape)
        kept = _Kept(picture.stat().st_size, points)
        self._kept[self._name(picture)] = kept
        return kept

    def write(self) -> None:
        """Write all under a temporary name, then rename."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".landmarks-")
        except OSError as error:
            raise InputError(
                f"{self._path}: expected a folder that can be written, got: {error.strerror or error}"
            ) from error
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["file", "bytes", *_columns(5)])
                for picture, kept in self._kept.items():
                    points = [""] * 10 if kept.points is None else [f"{value:.2f}" for value in kept.points.flat]
                    writer.writerow([picture, kept.size, *points])
            temporary.replace(self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _read_picture(path: Path) -> NDArray[np.uint8]:
    with open_media(path) as media:
        if not isinstance(media, Picture):
            raise InputError(f"{path}: expected a picture, got a video; leave it out")
        return media.frame()


class _Search:
    """Five points by MTCNN, unless an earlier run found them."""

    def __init__(self, cache: _Cache) -> None:
        self._cache = cache
        self._detector: FaceDetector | None = None
        self._new = 0

    def __call__(self, picture: Path) -> Points | None:
        try:
            kept = self._cache.get(picture)
        except OSError as error:
            raise InputError(f"{picture}: expected a picture, got: {error.strerror or error}") from error
        if kept is None:
            if self._detector is None:
                # Pictures of 448 pixels: more threads cost more than they bring, ninefold on a busy machine.
                self._detector = FaceDetector(threads=1)
            kept = self._cache.put(picture, find_five_points(_read_picture(picture), self._detector))
            self._new += 1
        return kept.points

    def keep(self, at_least: int = 1) -> None:
        """Write the cache if it has that many new entries."""
        if self._new >= at_least:
            self._cache.write()
            self._new = 0


def load_landmarks(
    samples: Sequence[Sample],
    manifest: Path,
    *,
    cache: Path | None = None,
    on_done: Callable[[int], None] = lambda count: None,
) -> Landmarks:
    """Landmarks of a manifest's pictures: annotated ones where there are any, MTCNN's five points otherwise.

    Annotations are files `landmarks<N>.csv` (N of `selfblend.LANDMARK_COUNTS`; the largest wins) with the columns
    file,x0,y0,..., beside the manifest, beside the picture, or in the folder above it; `file` is relative
    to the CSV or to a folder `images` beside it.

    Args:
        samples: whose pictures are asked for, such as the reals.
        manifest: that they are from; its folder is looked into, and file names in the cache are relative to it.
        cache: CSV in which what MTCNN finds is kept for the next run, also that it found nothing; None to keep nothing.
        on_done: told how many samples are done.

    Raises:
        InputError: a malformed CSV (with its line), or a cache that cannot be written.
    """
    annotated, search = _Annotated(manifest), _Search(_Cache(cache, manifest))
    points: dict[Path, Points] = {}
    counts = dict.fromkeys(("annotated", "found", "faceless", "unreadable"), 0)
    try:
        for number, sample in enumerate(samples, 1):
            kind, face = _look(sample.path, annotated, search)
            counts[kind] += 1
            if face is not None:
                points[sample.path] = face
            search.keep(at_least=KEEP_EVERY)
            on_done(number)
    finally:
        search.keep()
    return Landmarks(points, **counts)


def _look(picture: Path, annotated: _Annotated, search: _Search) -> tuple[str, Points | None]:
    if (face := annotated(picture)) is not None:
        return "annotated", face
    try:
        face = search(picture)
    except InputError:
        return "unreadable", None
    return ("faceless" if face is None else "found"), face
