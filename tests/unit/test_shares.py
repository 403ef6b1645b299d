"""Records that were fetched together, by room: each where key and value agree, the others told by their place."""

from hypothesis import given
from hypothesis import strategies as st

from agents.shares import shared_out
from stream.columns import joined
from stream.errors import RejectedEvent
from stream.events import RoomEvent, decode

KEYS = (b"a", b"b", None)
VALUES = (
    b'{"type":"like","room":"a"}',
    b'{"type":"like","room":"a","ts":5}',
    b'{"type":"like","room":"b"}',
    b'{"type":"unheard","room":"a"}',
    b"{",
    b"",
    None,
)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES[:2]) | st.sampled_from(VALUES)), max_size=12))
def test_each_record_goes_to_its_room_or_is_refused(records: list[tuple[bytes | None, bytes | None]]) -> None:
    """As if each was decoded alone with its key; a room's events keep the order of the log."""
    keys, values = [key for key, _ in records], [value for _, value in records]
    taken, refused = dict[int, RoomEvent](), dict[int, str]()
    found, buried = dict[int, RoomEvent](), dict[int, str]()
    for place, (key, value) in enumerate(records):
        try:
            taken[place] = decode(value, key)
        except RejectedEvent as fault:
            refused[place] = fault.reason
    for share in shared_out(joined(values, keys), lambda place, fault: buried.update({place: fault.reason})):
        places = share.places.tolist()
        events = [share.events.event(place) for place in range(len(share.events))]
        assert places == sorted(places)
        assert {event.room for event in events} == {share.room}
        found |= dict(zip(places, events, strict=True))

    assert (found, buried) == (taken, refused)
