"""The order of pictures: every process sees its share of the same batches, from any step on."""

from hypothesis import given
from hypothesis import strategies as st

from edgefake.train.order import Order, in_order

runs = st.builds(
    dict,
    pictures=st.integers(8, 60),
    batch=st.integers(8, 30),
    parts=st.integers(1, 4),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 9),
)


@given(runs, st.integers(1, 2), st.integers(0, 12))
def test_any_number_of_processes_sees_the_batches_of_one(run, processes, begin):
    whole = list(Order(**run))
    parts = run["parts"]
    batches = [{key for part in whole[i : i + parts] for key in part} for i in range(0, len(whole), parts)]
    shares = [list(Order(**run, processes=processes, process=p, begin=begin)) for p in range(processes)]
    for step, batch in enumerate(batches[begin:]):
        seen = [key for share in shares for part in share[step * parts : (step + 1) * parts] for key in part]
        assert len(seen) == len(set(seen))
        assert set(seen) == batch
    assert all(part for share in shares for part in share)


@given(runs)
def test_an_epoch_shows_each_picture_at_most_once_and_the_next_one_another_order(run):
    order = Order(**run)
    keys = [key for part in order for key in part]
    assert len(keys) == len(set(keys)) == order.steps * min(run["batch"], run["pictures"])
    assert {epoch for epoch, _ in keys} == set(range(run["epochs"]))
    assert not (order.permutation(0) == order.permutation(1)).all()
    assert (order.permutation(0) == Order(**run).permutation(0)).all()


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 4))
def test_validation_sees_each_picture_once(pictures, batch, processes):
    shares = [in_order(pictures, batch, processes=processes, process=p) for p in range(processes)]
    assert sorted(key for share in shares for part in share for key in part) == list(range(pictures))
