"""Events read from their bytes into columns: whatever the bytes are, it is as if each had been decoded."""

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from stream import columns, scanning
from stream import events as e
from stream.columns import REFUSED, columns_of, joined, read
from stream.errors import RejectedEvent
from stream.names import hashed
from stream.scanning import FLAGS, KIND, MORE, N_COLUMNS
from tests.unit.test_waiting import MAKERS, events_of

FIELDS = ("ts", "id", "user", "source", "stamped", "count", "product", "text", "sku", "qty", "price", "channel")
FIELDS += ("question", "by", "from", "ref", "segment", "order", "amount", "x", "longer than eight", "类型", "")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20) | st.sampled_from((0, 1, -1, 10**7, 10**7 + 1, 10**12, 10**12 + 1, 2**63)),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6)
    | st.sampled_from(("", "a" * 128, "a" * 129, "主" * 43, "主" * 129, "a" * 4_001, "ads", '"\\/')),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(("region", "a")), st.text(max_size=3), max_size=2),
)
MEANT: dict[str, st.SearchStrategy[Any]] = {
    "ts": st.integers(0, 2**62),
    "stamped": st.booleans(),
    "count": st.integers(0, 10**12),
    "qty": st.integers(0, 10**7),
    "price": st.none() | st.integers(0, 10**12),
    "amount": st.integers(0, 10**12),
    "from": st.sampled_from(("ads", "feed", "moon")),
}
NAMES = st.text(min_size=1, max_size=6) | st.none()


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """An object that mostly is an event, written in one of many ways, and sometimes spoilt."""
    fields: dict[str, Any] = {"type": draw(st.sampled_from(tuple(e.TYPES)) | ODD), "room": draw(st.text(max_size=4))}
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=8)):
        fields[name] = draw(MEANT.get(name, NAMES) if draw(st.integers(0, 4)) else ODD)
    names = draw(st.permutations([*fields]))
    separators = draw(st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", "\t:\r"))))
    text = json.dumps(
        {name: fields[name] for name in names}, separators=separators, ensure_ascii=draw(st.booleans())
    ).encode(errors="surrogatepass")
    if draw(st.integers(0, 3)) == 0:  # spoilt
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=2) | st.sampled_from((b",", b'"', b"\\", b"0", b"}", b" ")))
        text += draw(st.sampled_from((b"", text[at:], text[at + 1 :])))
    return text


def decoded_or_why(raw: bytes | None, key: bytes | None) -> e.RoomEvent | tuple[str, str]:
    """The event, or the reason and the words of its refusal."""
    try:
        return e.decode(raw, key)
    except RejectedEvent as fault:
        return fault.reason, fault.detail


def as_decoded(raws: list[bytes | None], keys: list[bytes | None]) -> None:
    """Rows, events and refusals are those of the decoder."""
    refused: dict[int, RejectedEvent] = {}
    found = read(joined(raws, keys), refused.__setitem__)

    assert len(found) == len(raws)
    for place, (raw, key) in enumerate(zip(raws, keys, strict=True)):
        event = decoded_or_why(raw, key)
        if isinstance(event, tuple):
            fault = refused.pop(place)
            assert (fault.reason, fault.detail) == event
            assert found.rows[place].tolist() == [0, REFUSED, *[0] * (N_COLUMNS - 2)]
        else:
            assert found.rows[place].tolist() == columns_of([event]).rows[0].tolist(), raw
            assert found.event(place) == event
            assert (place in found.more) == bool(found.rows[place, FLAGS] & MORE)
    assert refused == {}


@settings(max_examples=1500, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4), st.sampled_from((None, b"a", b"", b"aa")))
@example([b'{"type":"like","room":"a","ts":-0}'], None)
@example([b'{"type":"like","room":"a","ts":01}'], None)
@example([b'{"type":"like","room":"a","ts":1.0}'], None)
@example([b'{"type":"like","room":"a","ts":9223372036854775808}'], None)
@example([b'{"type":"like","room":"a","room":"b"}', b'{"type":"like","x":1,"room":"a","x":2}'], None)
@example([b'{"type":"like","room":"a","user":null}', b'{"type":"like","room":"a","count":null}'], None)
@example([b'{"type":"like","room":"a","user":"\xff"}', b'{"type":"like","room":"a","x":"\xff"}'], None)
@example([b'{"type":"like","room":"\xe4"}', b'\xbd{"type":"like","room":"a"}'], None)
@example([b'{"type":"like","room":"a\x01"}', b'{"type":"like","room":"a","x":tru}', b"", b"{"], None)
@example([b'\xef\xbb\xbf{"type":"like","room":"a"}', b'{"type":"like","room":"a"}\x00', b'[{"type":"like"}]'], None)
@example([b'{"type":"viewer.join","room":"a","from":"ads"}', b'{"type":"viewer.join","room":"a","from":"moon"}'], None)
@example([b'{"type":"like","room":"a","stamped":true}', b'{"type":"like","room":"a","stamped":false}'], None)
@example([b'{"type":"like","room":"a"}', b'{"type":"like","room":"b"}', b'{"type":"like","room":"aa"}'], b"a")
def test_whatever_is_read_is_as_if_it_was_decoded(raws: list[bytes | None], key: bytes | None) -> None:
    """To the last number of its row, refusals with their words; under a key it is in the room of that name."""
    as_decoded(raws, [key] * len(raws))


@given(st.lists(events_of, max_size=12))
def test_what_the_gateway_writes_is_read_without_a_decoder(events: list[e.RoomEvent]) -> None:
    """Rows equal those of the events, and of what is no more than its row no object is made."""
    with pytest.MonkeyPatch.context() as patch:
        decoded: list[bytes | None] = []
        patch.setattr(e, "decode", lambda raw, key=None, of=e.decode: (decoded.append(raw), of(raw, key))[1])
        found = read(joined([*map(e.encode, events)]), lambda place, fault: pytest.fail(f"{place}: {fault}"))

    assert found.rows.tolist() == columns_of(events).rows.tolist()
    assert decoded == [e.encode(event) for event in events if columns.more_than_a_row(event)]


def test_records_without_a_value_are_refused_alone() -> None:
    """Those beside them are read."""
    as_decoded([b'{"type":"like","room":"a"}', None, b"", b'{"type":"like","room":"b"}'], [None, b"a", b"", b"b"])
    as_decoded([], [])


@given(st.lists(events_of, max_size=12), st.data())
def test_a_part_holds_its_events(events: list[e.RoomEvent], data: st.DataObject) -> None:
    """In the order asked for, also a part of a part, read from bytes or not."""
    written = read(joined([*map(e.encode, events)]), lambda place, fault: pytest.fail(f"{place}: {fault}"))
    for whole in (written, columns_of(events)):
        part, wanted = whole, events
        for _ in range(2):
            places = data.draw(st.permutations(range(len(wanted))))[: data.draw(st.integers(0, len(wanted)))]
            part, wanted = part.part(np.array(places, np.int64)), [wanted[place] for place in places]

            assert [part.event(place) for place in range(len(part))] == wanted
            assert part.rows.tolist() == columns_of(wanted).rows.tolist()
            assert part.more == [n for n, event in enumerate(wanted) if columns.more_than_a_row(event)]


@given(st.binary(max_size=300), st.binary(max_size=9))
def test_the_hash_is_xxh64(data: bytes, before: bytes) -> None:
    """Of any bytes at any place, as the library has it."""
    held = np.frombuffer(before + data + b"?", np.uint8)
    digest = int(scanning.digest(held, len(before), len(before) + len(data)))

    assert digest % 2**64 == xxh64_intdigest(data)


# Where the rules for a byte change: ASCII, what follows, leads of two, three and four bytes, and what is none.
BOUNDS = bytes.fromhex("00417f 808f909fa0bf c0c1 c2df e0e1ecedeeef f0f1f3f4 f5ff")


def test_text_is_what_can_be_decoded() -> None:
    """All runs of up to four bytes at the bounds of UTF-8; what comes after does not matter."""
    runs = [bytes(run) for size in range(4) for run in product(BOUNDS, repeat=size)]
    runs += [bytes(run) for run in product(BOUNDS[-7:], BOUNDS, BOUNDS, BOUNDS)]
    wrong = []
    for run in runs:
        try:
            run.decode()
        except UnicodeDecodeError:
            wanted = False
        else:
            wanted = True
        if scanning.is_text(np.frombuffer(run + b"\x80", np.uint8), 0, len(run)) != wanted:
            wrong.append(run)

    assert wrong == []


@given(st.text(max_size=80))
def test_a_name_has_the_same_hash_however_it_is_read(name: str) -> None:
    """In the bytes of a record, or as a string; half a surrogate pair has one too."""
    data = np.frombuffer(name.encode() + b"?", np.uint8)

    assert hashed(name) == int(scanning.digest(data, 0, len(data) - 1))
    assert hashed("\ud800") not in (0, hashed(name))


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40))
def test_rows_are_put_together_by_room(rooms: list[str]) -> None:
    """Rooms in the order of appearance, each one's events in that of the log."""
    events = [e.Like(room=room) if n % 3 else e.Gift(room=room, value=n) for n, room in enumerate(rooms)]
    for held in (
        columns_of(events),
        read(joined([*map(e.encode, events)]), lambda place, fault: pytest.fail(f"{fault}")),
    ):
        found = [*held.rooms()]

        assert [places.tolist() for places, _ in found] == [
            [place for place, one in enumerate(rooms) if one == room] for room in dict.fromkeys(rooms)
        ]
        for places, part in found:
            assert [part.event(n) for n in range(len(part))] == [events[place] for place in places.tolist()]
            assert part.rows.tolist() == held.rows[places].tolist()
            assert part.more == [n for n, place in enumerate(places.tolist()) if not place % 3]


def test_every_type_is_known_to_the_scan() -> None:
    """By its tag, with a rule for each field that is looked for; what the scan judges alone has no other fields."""
    events = [maker(1, room="r", ts=1, user="u", source=None) for maker in MAKERS]
    found = read(joined([*map(e.encode, events)]), lambda place, fault: pytest.fail(f"{place}: {fault}"))

    assert found.rows[:, KIND].tolist() == columns_of(events).rows[:, KIND].tolist()
    for kind in columns._SCANNED:
        assert {*columns._fields(kind)} <= {*columns._NAMES}
    assert max(map(len, columns._NAMES)) <= scanning.KEY_MAX
