"""Processes that find each other in a store that remembers others."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import HashStore, PrefixStore, Store

from latentfill.errors import RunError
from latentfill.training.distributed import meeting


def met(store: Store, ranks: list[int]) -> list[Store]:
    """The rooms of those that come in this order."""
    with ThreadPoolExecutor(len(ranks)) as pool:
        coming = [pool.submit(meeting.meet, store, rank, len(ranks)) for rank in ranks]
        return [one.result(5) for one in coming]


@pytest.mark.parametrize("ranks", [[0, 1, 2], [2, 1, 0]])
def test_all_share_a_room_in_which_nothing_is_left_of_those_before(
    ranks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "LOOK_EVERY_SECONDS", 0.001)
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 5)
    store = HashStore()
    for attempt in range(3):  # torchrun keeps its store when it starts workers anew
        rooms = met(store, ranks)
        assert all(not room.check(["address"]) for room in rooms)
        rooms[0].set("address", str(attempt))
        assert [room.get("address").decode() for room in rooms] == [str(attempt)] * 3


def test_a_room_that_nobody_is_in_any_more_is_not_believed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 0.1)
    store = HashStore()
    met(store, [0, 1])
    with pytest.raises(RunError, match="not all have come"):
        meeting.meet(store, 1, 2)
    with pytest.raises(RunError, match="not all have come"):
        meeting.meet(PrefixStore("elsewhere", store), 0, 2)
