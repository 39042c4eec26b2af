"""Times of files that differ for sure."""

import numpy as np
import pytest

from edgefake_runtime.engine import open_engine
from edgefake_runtime.errors import UsageError
from edgefake_runtime.latency import Contestant, example_input, race, timed_run
from edgefake_runtime.shipped import default_model, models_folder

SMALL = models_folder() / "mtcnn" / "rnet.onnx"


def test_a_race_tells_a_large_file_from_small_ones() -> None:
    """More files than are open at once, the large one in the second group."""
    large, small = Contestant(default_model()), Contestant(SMALL)
    done: list[int] = []
    found = race(small, [*[small] * 9, large, small], rounds=15, on_done=done.append)
    assert sum(done) == len(found.ratios) == 11
    assert found.ratios[9] > 4
    assert sorted(found.ratios)[-2] < 3
    assert race(large, [], rounds=3).seconds > 2 * found.seconds


@pytest.mark.parametrize("threads", [1, 2])
def test_a_race_counts_seconds(threads: int) -> None:
    found = race(Contestant(default_model()), [Contestant(SMALL)], rounds=3, threads=threads)
    assert 1e-4 < found.seconds < 5
    assert 0 < found.ratios[0] < 1


def test_a_race_without_rounds_is_refused() -> None:
    with pytest.raises(UsageError, match="rounds: expected 1 or more, got 0"):
        race(Contestant(SMALL), [], rounds=0)


def test_a_timed_run_is_the_second_of_two() -> None:
    """The clock starts after one run and stops after the next, whatever either takes."""
    engine = open_engine(default_model().read_bytes(), 1)
    image, steps = example_input(engine), list[str]()
    run = engine.run
    engine.run = lambda batch: (steps.append("run"), run(batch))[1]  # type: ignore[method-assign]
    times = iter((5.0, 7.5))

    def clock() -> float:
        steps.append("clock")
        return next(times)

    assert timed_run(engine, image, clock) == 2.5
    assert steps == ["run", "clock", "run", "clock"]
    assert image.shape == (1, 3, 112, 112)
    np.testing.assert_array_equal(image, example_input(engine))
