"""Work that a few threads share out."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgefake_runtime.crew import Crew


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_results_are_in_the_order_of_the_items(threads, count):
    def work(item):
        time.sleep(0.001 * (item % 3))  # later items end before earlier ones
        return item * item

    assert Crew(threads).map(work, iter(range(count))) == [n * n for n in range(count)]


def test_the_caller_works_too_and_no_more_threads_than_told():
    both = threading.Barrier(2, timeout=10)
    seen = set()

    def work(_item):
        both.wait()  # passes only where two threads are at work at a time
        seen.add(threading.current_thread())

    Crew(2).map(work, range(6))
    assert len(seen) == 2
    assert threading.current_thread() in seen


def test_a_busy_crew_keeps_nobody_waiting():
    crew, begun, end = Crew(2), threading.Barrier(3, timeout=10), threading.Event()

    def hold(_item):
        begun.wait()
        end.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(crew.map, hold, range(2))
        begun.wait()  # both of its threads are held
        assert crew.map(str, range(4)) == ["0", "1", "2", "3"]
        assert not holding.done()
        end.set()
        holding.result(10)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [IndexError, KeyError])
def test_what_work_raises_comes_out_and_ends_the_rest(threads, error):
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.002)
        if item == 3:
            raise error("three")
        return item

    crew = Crew(threads)
    with pytest.raises(error, match="three"):
        crew.map(work, range(100))
    assert len(begun) <= 3 + 2 * threads
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count
    assert crew.map(str, range(2)) == ["0", "1"]
