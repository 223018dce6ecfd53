"""Finding those who were started together."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from latentfill.runs.distributed import rendezvous_key


def meet(store: HashStore, size: int) -> set[str]:
    with ThreadPoolExecutor(size) as pool:
        return set(
            pool.map(lambda rank: rendezvous_key(store, rank, size, timedelta(seconds=20)), reversed(range(size)))
        )


def test_those_started_together_share_a_word_that_no_start_before_had() -> None:
    store = HashStore()
    words = [meet(store, 3) for _ in range(5)]
    assert all(len(each) == 1 for each in words)
    assert len(set.union(*words)) == 5


def test_who_died_before_is_not_taken_for_who_comes_now() -> None:
    store = HashStore()
    for dead in range(2):  # one that called and heard no answer, and a leader that answered somebody else
        store.set(f"call/{dead + 1}", "dead")
        store.set(f"answer/{dead + 1}", "dead common-to-the-dead")
    (found,) = meet(store, 3)
    assert "dead" not in found


def test_who_does_not_come_is_named() -> None:
    store = HashStore()
    with pytest.raises(RuntimeError, match="process 1 of 2 did not answer"):
        rendezvous_key(store, 0, 2, timedelta(seconds=0.1))
    with pytest.raises(RuntimeError, match="process 0 of 2 did not answer"):
        rendezvous_key(store, 1, 2, timedelta(seconds=0.1))
