"""`edgefake train`, `pretrain` and `finetune`: one option for each setting, over a TOML file, over the recipe."""

import inspect
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgefake.train.config import CONFIG_FILE, TrainConfig, option_types, read_config
from edgefake_runtime.errors import UsageError

from .extras import require
from .output import progress_bar

if TYPE_CHECKING:
    from edgefake.train.curves import EpochReport
    from edgefake.train.engine import Events

__all__ = ["finetune", "pretrain", "train"]

NEEDED = ("torch", "safetensors", "accelerate", "matplotlib", "tensorboard", "tomli_w")
FREE_ON_RESUME = ("workers", "save_every")
"""Settings that change nothing of the result."""

SHORT = {"data": "-d", "model": "-m", "out": "-o"}


def _command(recipe: str, about: str) -> Callable[..., None]:
    """A command whose options are the settings of a recipe; what is not given keeps the recipe's default."""
    defaults = TrainConfig.of(recipe)
    parameters = [
        _parameter("config", Path, "TOML file of settings, such as a run's own config.toml."),
        _parameter("resume", bool, "Go on with the run in --out after a kill; its settings come from there."),
        _parameter("force", bool, "Replace an earlier run in --out."),
    ]
    for item in fields(TrainConfig):
        if item.name == "recipe":
            continue
        default = getattr(defaults, item.name)
        shown = "" if default in (None, "", Path()) else f" [{default}]"
        text = item.metadata["about"]
        parameters.append(_parameter(item.name, option_types()[item.name], f"{text[0].upper()}{text[1:]}.{shown}"))

    def command(**given: Any) -> None:
        _run(recipe, given)

    command.__doc__ = about
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__ = recipe
    return command


def _parameter(name: str, kind: Any, text: str) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    off = kind is bool and name not in ("resume", "force")
    names = [f"{flag}/--no-{name.replace('_', '-')}"] if off else [flag, *filter(None, [SHORT.get(name)])]
    option = Annotated[kind | None, typer.Option(*names, help=text, show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)


def _run(recipe: str, given: dict[str, Any]) -> None:
    given = {name: value for name, value in given.items() if value is not None}
    file, resume, force = given.pop("config", None), given.pop("resume", False), given.pop("force", False)
    require("train", *NEEDED)
    config = _resumed(recipe, file, given) if resume else _settings(recipe, file, given)
    for name in ("data", "out"):
        if getattr(config, name) == Path():
            raise UsageError(f"expected --{name}, got none")
    if os.environ.get("RANK", "0") == "0":
        _train(config, resume=resume, force=force)
    else:
        from edgefake.train.run import train

        train(config, resume=resume, force=force)


def _settings(recipe: str, file: Path | None, given: dict[str, Any]) -> TrainConfig:
    """The recipe's defaults, the file's settings over them, the options over those."""
    layers = [read_config(file)] if file else []
    said = layers[0].get("recipe", recipe) if layers else recipe
    if said != recipe:
        raise UsageError(f"{file}: expected settings of {recipe}, got those of {said}; run: edgefake {said}")
    return TrainConfig.of(recipe, *layers, given)


def _resumed(recipe: str, file: Path | None, given: dict[str, Any]) -> TrainConfig:
    """The settings of the run that is in the folder.

    Raises:
        UsageError: an option that says something else.
    """
    if "out" not in given and file is None:
        raise UsageError("--resume: expected --out, the folder of the run")
    out = Path(given["out"]) if "out" in given else _settings(recipe, file, given).out
    if not (out / CONFIG_FILE).is_file():
        raise UsageError(f"{out}: expected the folder of a run with {CONFIG_FILE}, got none; leave out --resume")
    before = _settings(recipe, out / CONFIG_FILE, {"out": out})
    wanted = TrainConfig.of(recipe, read_config(out / CONFIG_FILE), read_config(file) if file else {}, given)
    changed = [
        item.name
        for item in fields(TrainConfig)
        if getattr(before, item.name) != getattr(wanted, item.name) and item.name not in FREE_ON_RESUME
    ]
    if changed:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise UsageError(
            f"--resume: expected the settings of {out / CONFIG_FILE}, got others for {names}; leave them out"
        )
    return wanted


def _train(config: TrainConfig, *, resume: bool, force: bool) -> None:
    from edgefake.train.run import train

    with progress_bar("training", "images") as progress:
        train(config, resume=resume, force=force, events=_events(progress))
    typer.echo(f"checkpoints: {config.out / 'best'}, {config.out / 'last'}")


def _events(progress: Any) -> "Events":
    from edgefake.train.engine import Events

    task = progress.add_task("training", total=None)
    return Events(
        start=lambda total, done: progress.update(task, total=total, completed=done),
        pictures=lambda count: progress.advance(task, count),
        epoch=_print_epoch,
        note=lambda line: typer.echo(f"edgefake: note: {line}", err=True),
    )


def _print_epoch(report: "EpochReport") -> None:
    auc = "" if report.val_auc is None else f"  val AUC {report.val_auc:.4f}"
    unreadable = f"  {report.unreadable} unreadable" if report.unreadable else ""
    typer.echo(
        f"epoch {report.epoch:3d}  loss {report.train_loss:.4f}{auc}  val accuracy {report.val_accuracy:.4f}  "
        f"{report.images_per_s:.0f} images/s{unreadable}"
    )


train = _command(
    "train",
    "Train a detector on labelled face crops, or on real ones alone (--fakes self-blended), from fresh weights.",
)
pretrain = _command(
    "pretrain",
    "Pretrain on pictures of any number of classes, as section 4.1 of the thesis: 50 epochs, batch 1024, RandAugment, "
    "MixUp, hard-label distillation with --teacher.",
)
finetune = _command(
    "finetune",
    "Make a pretrained network (--init) a detector, as section 4.3 of the thesis: a new head, the last 6 blocks, "
    "10 epochs.",
)
