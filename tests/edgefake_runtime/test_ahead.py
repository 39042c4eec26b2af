"""Values made ahead: the same ones in the same order, in time, bounded, and with a thread that ends."""

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from edgefake_runtime.ahead import Ahead

PATIENCE_S = 30.0


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "edgefake ahead"]


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def nothing() -> None:
    pass


@pytest.mark.parametrize("most", [1, 2, 100])
def test_the_values_come_in_order_and_the_thread_ends(most: int) -> None:
    with closing(Ahead(iter(range(50)), most=most, stop=nothing)) as values:
        assert list(values) == list(range(50))
        assert next(values, None) is None
    assert threads() == []


def test_values_are_made_while_one_is_in_use_and_no_more_than_allowed() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    with closing(Ahead(numbers(), most=2, stop=nothing)) as values:
        time.sleep(0.05)
        assert made == []  # nothing before somebody asks
        assert next(values) == 0
        until(lambda: made == [0, 1, 2])
        time.sleep(0.1)
        assert made == [0, 1, 2]
        assert next(values) == 1
        until(lambda: made == [0, 1, 2, 3])


def test_two_things_that_wait_for_each_other_take_the_time_of_one() -> None:
    def slow() -> Iterator[int]:
        for number in range(8):
            time.sleep(0.1)
            yield number

    begun = time.monotonic()
    with closing(Ahead(slow(), stop=nothing)) as values:
        for _ in values:
            time.sleep(0.1)
    assert time.monotonic() - begun < 1.4  # one after the other: 1.6 s


def test_an_error_comes_after_the_values_before_it_and_once() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    with closing(Ahead(broken(), most=5, stop=nothing)) as values:
        assert [next(values), next(values)] == [1, 2]
        with pytest.raises(KeyError, match="third") as caught:
            next(values)
        assert any(entry.name == "broken" for entry in caught.traceback)  # where it was raised is told
        assert list(values) == []


class Value:
    """Something that can be watched."""


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_half_way_ends_the_thread_and_drops_what_was_made(taken: int) -> None:
    made: list[weakref.ref[Value]] = []

    def values() -> Iterator[Value]:
        while True:
            value = Value()
            made.append(weakref.ref(value))
            yield value
            del value

    ahead = Ahead(values(), most=3, stop=nothing)
    for _ in range(taken):
        next(ahead)
    until(lambda: len(made) == (taken and taken + 3))
    ahead.close()
    ahead.close()
    assert threads() == []
    assert next(ahead, None) is None
    del ahead
    assert [ref for ref in made if ref() is not None] == []


def test_closing_does_not_wait_for_a_long_value() -> None:
    over = threading.Event()

    def one_long() -> Iterator[int]:
        yield 0
        over.wait(PATIENCE_S)

    begun = time.monotonic()
    with closing(Ahead(one_long(), stop=over.set)) as values:
        next(values)
    assert time.monotonic() - begun < PATIENCE_S / 2
    assert threads() == []


INTERRUPTED = """
import signal, sys, threading, time
from contextlib import closing
from edgefake_runtime.ahead import Ahead

def values():
    yield 0
    print("waiting", flush=True)
    over.wait(60)

over = threading.Event()
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a background shell ignore it
try:
    with closing(Ahead(values(), stop=over.set)) as ahead:
        print(list(ahead))
except KeyboardInterrupt:
    print("interrupted", threading.active_count())
"""


def test_who_waits_hears_ctrl_c() -> None:
    running = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "waiting\n"
    time.sleep(0.2)
    running.send_signal(2)
    out, _ = running.communicate(timeout=PATIENCE_S)
    assert (out, running.returncode) == ("interrupted 1\n", 0)


def test_a_value_is_gone_once_the_next_is_taken() -> None:
    made: list[weakref.ref[Value]] = []

    def values() -> Iterator[Value]:
        for _ in range(20):
            value = Value()
            made.append(weakref.ref(value))
            yield value
            del value

    most_alive = 0
    with closing(Ahead(values(), most=2, stop=nothing)) as ahead:
        for value in ahead:
            time.sleep(0.002)
            most_alive = max(most_alive, sum(ref() is not None for ref in made))
            del value
    assert most_alive <= 4  # in use, two ahead, and the one that this loop has just let go
