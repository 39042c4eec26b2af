"""`edgefake selfblend`: a contact sheet of self-blended images."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgefake_runtime.errors import InputError, UsageError

from .output import show_warnings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefake.data.manifest import Sample
    from edgefake.data.selfblend import Blend

    Image = NDArray[np.uint8]

__all__ = ["selfblend"]

COLUMNS = ("real", "source", "target", "mask", "blended", "difference")
"""What a tile may show; all but the first come once for each blend of a picture."""

TRIES = 20
"""Pictures that are looked through for each row of the sheet, before giving up."""

PNG = b"\x89PNG\r\n\x1a\n"

GAP, HEADER = 4, 18
WHITE, INK = 255, (40, 40, 40)


@dataclass(frozen=True)
class _Layout:
    """Of the sheet: its columns, blends per picture, side of a tile in pixels."""

    columns: tuple[str, ...]
    blends: int
    tile: int

    def titles(self) -> list[str]:
        """Of the columns, left to right."""
        first = [name for name in self.columns if name == "real"]
        rest = [name for name in self.columns if name != "real"]
        if self.blends == 1:
            return first + rest
        return first + [f"{name} {blend}" for blend in range(1, self.blends + 1) for name in rest]


def selfblend(
    source: Annotated[
        Path, typer.Argument(help="CSV with the columns file,label; or a picture or folder of real faces.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")],
    rows: Annotated[int, typer.Option(min=1, max=200, help="Pictures; a row each.")] = 8,
    blends: Annotated[int, typer.Option(min=1, max=20, help="Blends of each picture, side by side.")] = 1,
    columns: Annotated[
        str, typer.Option(help=f"What to show, separated by commas, of: {', '.join(COLUMNS)}.")
    ] = "real,mask,blended",
    tile: Annotated[int, typer.Option(min=32, max=1024, help="Side of a tile, pixels.")] = 192,
    split: Annotated[str | None, typer.Option(help="Of a manifest, only the rows of this split.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of pictures and of the blends.")] = 0,
) -> None:
    """Show what self-blending makes of real faces: a sheet of pictures, masks and fakes.

    The landmarks are those of a landmarks68.csv (or 81, 86, 5) beside the manifest or the pictures; the
    face detector finds them otherwise.
    """
    layout = _Layout(_chosen(columns), blends, tile)
    _require_png(output)
    show_warnings()
    samples = _samples(source, split)
    lines, faceless = _lines(samples, source, layout, rows=rows, seed=seed)
    if not lines:
        raise InputError(
            f"{source}: expected pictures of faces, found none in {faceless} of them; "
            "name others or put a landmarks5.csv beside them"
        )
    _write_png(_sheet(lines, layout), output)
    typer.echo(f"{output}: {len(lines)} pictures" + (f", {faceless} passed over without a face" if faceless else ""))


def _chosen(columns: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(name.strip() for name in columns.split(",") if name.strip()))
    if not chosen or not set(chosen) <= set(COLUMNS):
        raise UsageError(f"--columns: expected some of {','.join(COLUMNS)}, got {columns!r}")
    return chosen


def _require_png(target: Path) -> None:
    """Refuse, before the work, what could not be written and what is no PNG to replace."""
    if target.suffix.lower() != ".png":
        raise UsageError(f"{target}: expected a file name that ends with .png; rename it")
    if target.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{target}: expected a file in a folder that can be written; check the path")
    if target.exists() and (not target.is_file() or _start(target) not in (b"", PNG)):
        raise UsageError(f"{target}: expected a new file or a PNG to replace, got another file; name one")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(PNG))


def _samples(source: Path, split: str | None) -> list["Sample"]:
    """Real faces of a manifest, or a picture, or all pictures of a folder."""
    from edgefake.data.manifest import Sample, read_manifest
    from edgefake_runtime.media import PICTURE_SUFFIXES, discover

    if not source.exists():
        raise InputError(f"{source}: expected a manifest, picture or folder, got no such file; check the name")
    if not source.is_dir() and source.suffix.lower() not in PICTURE_SUFFIXES:
        if reals := [sample for sample in read_manifest(source, split=split) if not sample.fake]:
            return reals
        raise InputError(f"{source}: expected rows with the label real, got only fakes; name another manifest")
    if split is not None:
        raise UsageError("--split: expected a manifest with it, got pictures; leave it out")
    paths = [path for path in discover([source]) if isinstance(path, Path)]
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        raise InputError(f"{source}: expected a folder of pictures, got one without any; name another")
    return [Sample(path, label="real", split="", group=path.name, line=0) for path in pictures]


def _lines(
    samples: Sequence["Sample"], source: Path, layout: _Layout, *, rows: int, seed: int
) -> tuple[list[list["Image"]], int]:
    """Tiles of each row, and how many pictures were passed over."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(samples))[: rows * TRIES]
    manifest = source / "manifest.csv" if source.is_dir() else source
    lines: list[list[Image]] = []
    looked = 0
    for start in range(0, len(order), rows):
        for line in _tiles([samples[index] for index in order[start : start + rows]], manifest, layout, seed=seed):
            looked += 1
            if line:
                lines.append(line)
            if len(lines) == rows:
                return lines, looked - rows
    return lines, looked - len(lines)


def _tiles(samples: Sequence["Sample"], manifest: Path, layout: _Layout, *, seed: int) -> Iterator[list["Image"]]:
    """The tiles of each sample; none for one without a face."""
    import numpy as np

    from edgefake.data.landmarks import load_landmarks
    from edgefake.data.selfblend import face_hull, self_blend
    from edgefake_runtime.media import Picture, open_media

    points = load_landmarks(samples, manifest).points
    for sample in samples:
        if sample.path not in points:
            yield []
            continue
        landmarks = points[sample.path]
        with open_media(sample.path) as media:
            assert isinstance(media, Picture)
            image = media.frame()
        window = _window(face_hull(landmarks), *image.shape[:2])
        # From the name, so that a picture's blends do not depend on what else the folder holds.
        random = np.random.default_rng((seed, *sample.path.name.encode("utf-8", "surrogateescape")))
        try:
            blends = [self_blend(image, landmarks, random) for _ in range(layout.blends)]
        except InputError:
            yield []
            continue
        line = [_fit(image[window], layout.tile)] if "real" in layout.columns else []
        names = [name for name in layout.columns if name != "real"]
        yield line + [_tile(name, blend, window, layout.tile) for blend in blends for name in names]


def _window(hull: "NDArray[np.float64]", height: int, width: int) -> tuple[slice, slice]:
    """The face with as much again around it, inside the picture."""
    low, high = hull.min(0), hull.max(0)
    centre, half = (low + high) / 2, (high - low).max()
    (left, top), (right, bottom) = (centre - half).clip(0), (centre + half).clip(0)
    return slice(int(top), min(height, int(bottom) + 1)), slice(int(left), min(width, int(right) + 1))


def _tile(name: str, blend: "Blend", window: tuple[slice, slice], side: int) -> "Image":
    import cv2
    import numpy as np

    if name == "mask":
        grey = np.rint(255 * blend.mask[window]).astype(np.uint8)
        tile = _fit(np.repeat(grey[:, :, None], 3, axis=2), side, paper=0)
        note = f"{blend.region} {blend.ratio:g}"
        cv2.putText(tile, note, (4, side - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 210, 80), 1, cv2.LINE_AA)
        return tile
    if name == "difference":  # four times what the face changed by, about grey
        change = blend.image[window].astype(np.int16) - blend.target[window]
        return _fit(np.clip(127 + 4 * change, 0, 255).astype(np.uint8), side)
    views = {"source": blend.source, "target": blend.target, "blended": blend.image}
    return _fit(views[name][window], side)


def _fit(image: "Image", side: int, paper: int = WHITE) -> "Image":
    """The picture in the middle of a square tile: (side, side, 3)."""
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    tile = np.full((side, side, 3), paper, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _sheet(lines: Sequence[Sequence["Image"]], layout: _Layout) -> "Image":
    """Tiles under a line of titles: (H, W, 3)."""
    import cv2
    import numpy as np

    step, titles = layout.tile + GAP, layout.titles()
    sheet = np.full((HEADER + step * len(lines) + GAP, step * len(titles) + GAP, 3), WHITE, np.uint8)
    for column, title in enumerate(titles):
        place = (GAP + column * step, HEADER - 5)
        cv2.putText(sheet, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    for row, line in enumerate(lines):
        for column, tile in enumerate(line):
            top, left = HEADER + row * step, GAP + column * step
            sheet[top : top + layout.tile, left : left + layout.tile] = tile
    return sheet


def _write_png(sheet: "Image", target: Path) -> None:
    """Write under a temporary name, then rename."""
    import cv2

    done, encoded = cv2.imencode(".png", sheet[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise InputError(f"{target}: expected a sheet that fits a PNG, got {sheet.shape}; ask for fewer rows")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".selfblend-", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encoded.tobytes())
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
