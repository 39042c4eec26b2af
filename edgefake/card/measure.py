"""What the card measures on the half of the people that calibration was not fitted on, and on whole clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefake_runtime import DetectOptions, Detector, InputError, InputResult
from edgefake_runtime.classifier import Classifier
from edgefake_runtime.errors import printable
from edgefake_runtime.metadata import ModelMetadata, Roc
from edgefake_runtime.verdict import OperatingPoint

from ..corruptions import CorruptionRow, sweep
from ..data.crop_rule import centre_share, read_crop_rule
from ..data.manifest import Sample, read_manifest
from ..evaluate import LEAST_GROUPS, Evaluation, evaluate_crops, take_half
from ..fit import origin_of
from ..metrics import Interval, bootstrap, false_positive_rate, statistics_at, true_positive_rate
from ..subgroups import SubgroupRow, break_down, describe_faces, face_sides

__all__ = [
    "FALSE_POSITIVES",
    "BandShare",
    "Clip",
    "Measured",
    "OperatingRow",
    "Scored",
    "judge_clips",
    "measure_held",
    "operating_rows",
]

FALSE_POSITIVES = (0.01, 0.05, 0.1, 0.2)
"""Shares of the reals called fake for which the card gives a threshold."""

RATES = ("false_positive_rate", "true_positive_rate")

Stage = Callable[[str, int], Callable[[int], None]]
"""Told of a piece of work, its name and size; gives what is told how much of it is done."""


@dataclass(frozen=True)
class Scored:
    """A file's scores of the held half, with intervals by identity group (None for fewer than 5 groups)."""

    evaluation: Evaluation
    intervals: Mapping[str, Interval | None] | None


@dataclass(frozen=True)
class OperatingRow:
    """A threshold of the stored curve.

    Attributes:
        allowed: share of the reals that it was to call fake at most.
        threshold: of P(fake).
        promised: false-positive and true-positive rate where the curve was measured.
        found: the same on the held half.
        intervals: of these; None for fewer than 5 identity groups.
    """

    allowed: float
    threshold: float
    promised: tuple[float, float]
    found: tuple[float | None, float | None]
    intervals: tuple[Interval | None, Interval | None] | None


@dataclass(frozen=True)
class BandShare:
    """Verdicts on crops of the held half: how many there were, how many got one, and how many of those were wrong."""

    n: int
    given: int
    reals_called_fake: int
    fakes_called_real: int

    @property
    def wrong(self) -> int:
        """Wrong verdicts of either kind."""
        return self.reals_called_fake + self.fakes_called_real


@dataclass(frozen=True)
class Measured:
    """The held half, measured.

    Attributes:
        metadata: of the ONNX file.
        data: such as "dfdc/val".
        scored: by file; the ONNX file first.
        corruptions, subgroups, points, band: of the ONNX file; no points where it holds no curve.
    """

    metadata: ModelMetadata
    data: str
    scored: Mapping[str, Scored]
    corruptions: tuple[CorruptionRow, ...]
    subgroups: tuple[SubgroupRow, ...]
    points: tuple[OperatingRow, ...]
    band: BandShare

    @property
    def first(self) -> Evaluation:
        """The ONNX file's scores."""
        return next(iter(self.scored.values())).evaluation


@dataclass(frozen=True)
class Clip:
    """A labelled clip or picture and what each file made of it, in the order of the formats."""

    name: str
    fake: bool
    results: Mapping[str, InputResult]

    def is_wrong(self, kind: str) -> bool:
        """Whether this file's verdict is the other class."""
        return self.results[kind].verdict == ("real" if self.fake else "fake")


def measure_held(files: Mapping[str, Classifier], manifest: Path, *, split: str, stage: Stage) -> Measured:
    """Score the `held` half of a split with every file; corruptions and breakdown with the first.

    Args:
        files: by name; the first is the ONNX file.
        manifest: of face crops with labels and identity groups.
        split: rows of this split.
        stage: told of the work.

    Raises:
        InputError: no such rows, rows without a group, one class alone, crops that cannot be read, or a calibration
            that was fitted on all of these rows.
    """
    first = next(iter(files.values()))
    samples = _held(manifest, split, first.metadata)
    rule = read_crop_rule(manifest)
    share = centre_share(first.metadata.crop, rule)
    scored = {
        name: _scored(each, samples, share, stage(f"scoring, {name}", len(samples))) for name, each in files.items()
    }
    clean = next(iter(scored.values())).evaluation
    rows = sweep(first, clean, share=share, on_done=stage("corrupting", len(samples)))
    on_done = stage("describing", len(samples))
    faces = describe_faces(clean, first.metadata, rule=rule, sides=face_sides(manifest), on_done=on_done)
    return Measured(
        metadata=first.metadata,
        data=f"{manifest.resolve().parent.name}/{split}",
        scored=scored,
        corruptions=rows,
        subgroups=break_down(clean, faces),
        points=() if first.metadata.roc is None else tuple(operating_rows(first.metadata.roc, clean)),
        band=_band(first.metadata, clean),
    )


def _held(manifest: Path, split: str, metadata: ModelMetadata) -> list[Sample]:
    samples = read_manifest(manifest, split=split, required=("file", "label", "split"))
    alone = sum(not sample.grouped for sample in samples)
    if alone:
        raise InputError(
            f"{manifest}: expected an identity group for every row of {split}, got {alone} of {len(samples)} rows "
            "without; fill the column identity_group"
        )
    if metadata.calibration.origin.endswith(f" on {origin_of(samples, manifest, split)}"):
        raise InputError(
            f"{manifest}: expected a half of {split} that {metadata.name} was not calibrated on, got a calibration on "
            "all of it; run edgefake calibrate with --half fit, and export again"
        )
    held = take_half(samples, "held", manifest=manifest)
    fakes = sum(sample.fake for sample in held)
    if not 0 < fakes < len(held):
        raise InputError(
            f"{manifest}: expected real and fake crops in the half that is held out of {split}, got "
            f"{len(held) - fakes} real and {fakes} fake; add people"
        )
    return held


def _scored(classifier: Classifier, samples: Sequence[Sample], share: float, on_done: Callable[[int], None]) -> Scored:
    result = evaluate_crops(classifier, samples, share=share, on_done=on_done)
    if result.problems:
        raise InputError(
            f"expected crops that can be read, got {len(result.problems)} of {len(samples)} that cannot, "
            f"such as {result.problems[0]}"
        )
    return Scored(result, result.intervals())


def operating_rows(roc: Roc, held: Evaluation) -> list[OperatingRow]:
    """The thresholds of a curve for `FALSE_POSITIVES`, as far as it knows them, and what they give on other people."""
    rows = []
    for point in roc.points(FALSE_POSITIVES):
        rates = (rate(held.labels, held.scores, point.threshold) for rate in (false_positive_rate, true_positive_rate))
        found, promised = (next(rates), next(rates)), (point.false_positives, point.true_positives)
        rows.append(OperatingRow(point.allowed, point.threshold, promised, found, _spans(held, point.threshold)))
    return rows


def _spans(held: Evaluation, threshold: float) -> tuple[Interval | None, Interval | None] | None:
    """Intervals of both rates at a threshold other than the model's."""
    if held.groups is None or len(set(held.groups)) < LEAST_GROUPS:
        return None
    statistics = {name: each for name, each in statistics_at(threshold).items() if name in RATES}
    found = bootstrap(held.labels, held.scores, held.groups, statistics)
    return found[RATES[0]], found[RATES[1]]


def _band(metadata: ModelMetadata, held: Evaluation) -> BandShare:
    point = OperatingPoint.of(metadata)
    verdicts = [point.verdict(float(score)) for score in held.scores]
    pairs = list(zip(verdicts, held.labels.tolist(), strict=True))
    return BandShare(
        n=len(pairs),
        given=sum(verdict != "uncertain" for verdict in verdicts),
        reals_called_fake=pairs.count(("fake", False)),
        fakes_called_real=pairs.count(("real", True)),
    )


def judge_clips(
    files: Mapping[str, Classifier], labels: Path, *, threads: int | None = None, stage: Stage
) -> tuple[Clip, ...]:
    """Verdicts of each file on labelled clips, as `edgefake detect` gives them.

    Args:
        files: exported ones, by format.
        labels: CSV with the columns file,label.
        threads: of the face detector.
        stage: told of the work.

    Raises:
        InputError: a list or a clip that cannot be read.
    """
    samples = read_manifest(labels)
    found: list[dict[str, InputResult]] = [{} for _ in samples]
    for kind, classifier in files.items():
        detector = Detector(classifier, options=DetectOptions(threads=threads))
        on_done = stage(f"clips, {kind}", len(samples))
        for number, sample in enumerate(samples):
            found[number][kind] = detector.detect(sample.path)
            on_done(number + 1)
    names = [_name(sample.path, labels.parent) for sample in samples]
    return tuple(Clip(name, s.fake, results) for name, s, results in zip(names, samples, found, strict=True))


def _name(path: Path, folder: Path) -> str:
    """As the list has it; a path of this machine is left out."""
    return printable(path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name))
