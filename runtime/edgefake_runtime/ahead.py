"""Reading ahead: a thread makes an iterator's next value while the last one is in use."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

__all__ = ["Ahead"]

T = TypeVar("T")

WAKE_S = 1.0
"""How often who waits looks up: where the system cannot break off a wait, Ctrl-C is heard then."""


class Ahead(Generic[T]):
    """An iterator over the same values in the same order, made by a thread of its own, at most `most` of them ahead.

    What making a value raises comes from `next` in its place. Who is done with it must `close` it, also where values
    are left: that ends the thread.

    Args:
        values: used by the thread alone from the first `next` on.
        most: values that are made, or being made, and not yet taken.
        stop: called by `close`, from another thread than the one that makes values: makes `values` end soon.
    """

    def __init__(self, values: Iterator[T], *, most: int = 1, stop: Callable[[], None]) -> None:
        self._values = values
        self._most = most
        self._stop = stop
        self._made: deque[T] = deque()
        self._change = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._closed = False
        self._maker = threading.Thread(target=self._make, name="edgefake ahead", daemon=True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._maker.ident is None and not self._closed:
            self._maker.start()
        with self._change:
            while not self._change.wait_for(lambda: self._made or self._ended or self._closed, WAKE_S):
                pass
            if self._made:
                self._change.notify_all()
                return self._made.popleft()
            error, self._error = self._error, None
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error  # or its traceback would hold this frame, which holds it

    def close(self) -> None:
        """End the thread, once the value that it makes has been given up; what was made and not taken goes."""
        with self._change:
            self._closed = True
            self._made.clear()
            self._change.notify_all()
        if self._maker.ident is not None:
            self._stop()
            self._maker.join()

    # The thread

    def _make(self) -> None:
        error: BaseException | None = None
        try:
            while self._is_wanted():
                self._give(next(self._values))
        except StopIteration:
            pass
        except BaseException as raised:  # whoever waits raises it: here nobody would
            error = raised
        with self._change:
            self._error, self._ended = error, True
            self._change.notify_all()

    def _is_wanted(self) -> bool:
        """Wait until there is room for one more value; False where nobody wants one."""
        with self._change:
            self._change.wait_for(lambda: self._closed or len(self._made) < self._most)
            return not self._closed

    def _give(self, value: T) -> None:
        with self._change:
            if not self._closed:
                self._made.append(value)
                self._change.notify_all()
