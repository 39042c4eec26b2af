"""Work shared out to a few threads, of which the caller is one."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Crew"]

T = TypeVar("T")
R = TypeVar("R")


class Crew:
    """Threads that work through lists together with whichever thread brings one. Thread-safe.

    The caller works too: on two cores one other thread is woken, and if it is busy nothing waits for it.

    Args:
        threads: that work on a list, with the caller; 1 or more.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._others = ThreadPoolExecutor(threads - 1, "edgefake crew") if threads > 1 else None

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """What `work` makes of each item, in their order; items are begun in their order.

        Raises:
            Exception: what `work` raises, once every thread has finished its item; what is left is not begun.
        """
        left = deque(enumerate(items))
        made: list[R | None] = [None] * len(left)

        def go_on() -> None:
            while (taken := _next(left)) is not None:
                number, item = taken
                try:
                    made[number] = work(item)
                except BaseException:
                    left.clear()
                    raise

        helpers = [self._others.submit(go_on) for _ in range(min(self.threads, len(left)) - 1)] if self._others else []
        try:
            go_on()
        finally:
            errors = [helper.exception() for helper in helpers if not helper.cancel()]
        for error in errors:
            if error is not None:
                raise error
        return made  # type: ignore[return-value]  # every place is filled


def _next(left: deque[T]) -> T | None:
    try:
        return left.popleft()
    except IndexError:
        return None
