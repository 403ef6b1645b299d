"""A made-up minute through a room of its own, so that every loop is compiled before anyone waits for it.

`python -m stream.rehearsal` does just that, where a machine is prepared: it takes some twenty seconds the first time.
"""

import numpy as np

from stream import events as e
from stream import scanning
from stream.columns import joined, read
from stream.errors import RejectedEvent
from stream.numbers import KEYS
from stream.playbook import Playbook
from stream.room import RoomConfig, RoomState
from stream.sieve import Sieve


def rehearse() -> None:
    """Close some seconds with an event of each kind that is counted in loops."""
    state = RoomState("rehearsal", Playbook.load("[screen]\n", room=KEYS, product=frozenset()), RoomConfig())
    start_ms = e.TS_MIN_MS
    for second in range(3):
        ts = start_ms + 1000 * second
        events: list[e.RoomEvent] = [
            e.ViewerJoin(room=state.room, ts=ts, id=f"j{second}", user="a", from_="ads", ref="v"),
            e.ViewerLeave(room=state.room, ts=ts, id=f"l{second}", user="a"),
            e.ProductClick(room=state.room, ts=ts, id=f"c{second}", user="a", product="p"),
            e.OrderPaid(
                room=state.room,
                ts=ts,
                id=f"o{second}",
                user="a",
                order=f"o{second}",
                product="p",
                amount=1,
                returning=True,
            ),
        ]
        events.append(e.Chat(room=state.room, ts=ts, id=f"t{second}", user="a", text="a", source="s"))
        for places, columns in read(joined([*map(e.encode, events)]), _never).rooms():
            state.apply_all(columns, np.full(len(places), ts))
    record = joined([b"v"], [b"k"])
    scanning.equal_to(np.frombuffer(record.data, np.uint8), record.keys, np.frombuffer(b"k", np.uint8))
    state.apply(e.ProductClick(room=state.room, ts=start_ms, id="late", user="b", product="p"), start_ms + 60_000)
    state.advance(start_ms + 120_000)
    state.restore(state.snapshot())
    view = state.view()
    view.table()
    Sieve([[[("name", "show_s")]]], [["show_s"]]).may_hold(view)


def _never(place: int, fault: RejectedEvent) -> None:
    raise AssertionError(f"event {place}: {fault}")


if __name__ == "__main__":
    rehearse()
