"""One run of a recipe, from its settings to its checkpoints."""

from pathlib import Path

from edgefake.checkpoint import CONFIG, WEIGHTS
from edgefake_runtime import InputError, UsageError

from .config import CONFIG_FILE, TrainConfig, write_config
from .curves import CURVES_FILE, METRICS_FILE, EpochReport
from .engine import Engine, Events, make_accelerator
from .state import STATE_FILE
from .tasks import make_task

__all__ = ["train"]


def train(
    config: TrainConfig, *, resume: bool = False, force: bool = False, events: Events | None = None
) -> list[EpochReport]:
    """Train as the settings say; write `best`, `last`, `state.safetensors`, `config.toml`, metrics and curves.

    `best` has the highest validation AUC so far (accuracy where the classes are not real and fake), `last` is the
    newest epoch. Under `torchrun` or `accelerate launch` each process calls this; the first one writes.

    Args:
        config: the settings.
        resume: go on from the last saved state of the run in `config.out`; from its beginning where none was saved.
        force: replace an earlier run.
        events: told of progress, in the first process alone.

    Raises:
        InputError: unreadable data, a loss that is not finite, a full disk.
        UsageError: impossible settings, or an earlier run in the folder.
    """
    accelerator = make_accelerator(config)
    with accelerator.main_process_first():  # landmarks that the first one searched are read by the others
        if accelerator.is_main_process:
            _claim(config.out, resume=resume, force=force)
        told = events if events and accelerator.is_main_process else Events()
        task = make_task(config, note=told.note)
        if accelerator.is_main_process:
            _describe(config)
    engine = Engine(task, config, accelerator, events=events)
    try:
        if resume:
            engine.resume()
        return engine.run()
    finally:
        engine.close()


def _claim(out: Path, *, resume: bool, force: bool) -> None:
    """Refuse to mix two runs in one folder, and a folder that cannot be written."""
    earlier = [name for name in ("best", "last", STATE_FILE) if (out / name).exists()]
    if earlier and not (resume or force):
        raise UsageError(
            f"{out}: expected a folder without an earlier run, got one; --resume goes on, --force replaces"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if force and not resume:
            _remove_run(out)
    except OSError as error:
        raise _unwritable(out, error) from error


def _remove_run(out: Path) -> None:
    """Remove what a run leaves, and nothing else: a new one that stops early must not stand beside it."""
    left = [out / name for name in (STATE_FILE, CONFIG_FILE, METRICS_FILE, CURVES_FILE)]
    left += [out / name / file for name in ("best", "last") for file in (WEIGHTS, CONFIG)]
    left += (out / "events").glob("events.out.tfevents.*")
    for path in left:
        path.unlink(missing_ok=True)


def _describe(config: TrainConfig) -> None:
    try:
        write_config(config, config.out / CONFIG_FILE)
    except OSError as error:
        raise _unwritable(config.out, error) from error


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError(f"{out}: expected a folder that can be written, got: {error.strerror}")
