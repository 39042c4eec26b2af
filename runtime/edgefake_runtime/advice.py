"""What a profile says in words: what is fast, what is small, what does not pay here, and which file to take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .cpu import Cpu
from .profile import ModelProfile

__all__ = ["MOST_ROUNDING", "Advice", "advise"]

CLOSE = 1.1
"""How many times as long as the fastest a file may take to be as good as it."""

SLOWER = 1.03
"""From how many times as long on narrow weights are called slower: less is within what two runs differ by."""

WORTH = 0.9
"""Below which part of the chosen file's size a slower one is named for those who count bytes."""

MOST_ROUNDING = 0.1
"""How far rounding may have moved the logits, in parts of their rms, for a file to be recommended unseen."""


@dataclass(frozen=True)
class Advice:
    """What to tell.

    Attributes:
        recommended: the file to take; None where none is.
        lines: sentences, each on its own.
    """

    recommended: ModelProfile | None
    lines: tuple[str, ...]


def advise(models: Sequence[ModelProfile], cpu: Cpu, *, rounding: Mapping[str, float] | None = None) -> Advice:
    """Compare the files of a profile, and recommend one for this CPU.

    The recommended one is the smallest of those that take at most a tenth longer than the fastest. Accuracy is not
    measured here: files whose rounding moved the logits far are left out, where that is known.

    Args:
        models: rows of a profile.
        cpu: that they were measured on.
        rounding: name -> rms of what rounding the weights did to the logits, over their rms.
    """
    if len(models) < 2:
        return Advice(None, ())
    lines = [*_extremes(models), *_slower(models)]
    coarse = [model for model in models if (rounding or {}).get(model.name, 0.0) > MOST_ROUNDING]
    candidates = [model for model in models if model not in coarse]
    if coarse:
        lines.append(_about_coarse(coarse, rounding or {}))
    if not candidates:
        return Advice(None, (*lines, "No file is recommended: none kept its answers."))
    chosen = _chosen(candidates)
    lines.append(_about_chosen(chosen, candidates, cpu))
    return Advice(chosen, tuple(lines))


def _fastest(models: Sequence[ModelProfile]) -> ModelProfile:
    return min(models, key=lambda model: model.p50_ms)


def _smallest(models: Sequence[ModelProfile]) -> ModelProfile:
    return min(models, key=lambda model: (model.size_mb, model.p50_ms))


def _chosen(models: Sequence[ModelProfile]) -> ModelProfile:
    most = CLOSE * _fastest(models).p50_ms
    return _smallest([model for model in models if model.p50_ms <= most])


def _extremes(models: Sequence[ModelProfile]) -> list[str]:
    fastest, smallest = _fastest(models), _smallest(models)
    if fastest is smallest:
        return [f"The fastest file is also the smallest: {fastest.name}, {_cost(fastest)}."]
    times = smallest.p50_ms / fastest.p50_ms
    return [
        f"The fastest: {fastest.name}, {_cost(fastest)}.",
        f"The smallest file: {smallest.name}, {_cost(smallest)}: {smallest.size_mb / fastest.size_mb:.0%} of the "
        f"fastest one's size, {times:.2f} times its time.",
    ]


def _cost(model: ModelProfile) -> str:
    return f"{model.p50_ms:.2f} ms and {model.size_mb:.2f} MB"


def _slower(models: Sequence[ModelProfile]) -> list[str]:
    """A sentence for each file that is slower than the same network's float one in the same runtime."""
    floats = {(model.model, model.format): model for model in reversed(models) if model.bits == 32}
    found = []
    for model in models:
        float_one = floats.get((model.model, model.format))
        if float_one is not None and model.bits < 32 and model.p50_ms > SLOWER * float_one.p50_ms:
            times = model.p50_ms / float_one.p50_ms
            found.append(
                f"{_width(model.bits)} is slower than fp32 here: {model.name} takes {times:.2f} times as long as "
                f"{float_one.name} ({model.p50_ms:.2f} against {float_one.p50_ms:.2f} ms)."
            )
    return found


def _width(bits: int) -> str:
    return "fp16" if bits == 16 else f"int{bits}"


def _about_coarse(models: Sequence[ModelProfile], rounding: Mapping[str, float]) -> str:
    names = ", ".join(f"{model.name} by {rounding[model.name]:.0%}" for model in models)
    return (
        f"Not recommended unseen, as rounding moved the logits by more than {MOST_ROUNDING:.0%} of their rms: {names}. "
        "edgefake export --data says what that costs in AUC."
    )


def _about_chosen(chosen: ModelProfile, candidates: Sequence[ModelProfile], cpu: Cpu) -> str:
    fastest, smallest = _fastest(candidates), _smallest(candidates)
    words = f"For this CPU ({cpu.name}), take {chosen.name}: {_cost(chosen)}, "
    if chosen is fastest is smallest:
        words += "the fastest and the smallest"
    elif chosen is fastest:
        words += "the fastest; none of the smaller ones is within a tenth of its time"
    else:
        words += f"the smallest of those within a tenth of the fastest one's time ({fastest.p50_ms:.2f} ms)"
    if smallest.size_mb < WORTH * chosen.size_mb:
        words += (
            f". Where bytes count more than time: {smallest.name}, {smallest.size_mb / chosen.size_mb:.0%} of the size "
            f"for {smallest.p50_ms / chosen.p50_ms:.2f} times the time"
        )
    return f"{words}. Speed and size alone; accuracy is for edgefake evaluate."
