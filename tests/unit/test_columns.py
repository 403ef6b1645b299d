"""Events read from their bytes into columns: whatever the bytes are, it is as if each had been decoded."""

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import inspect
from xxhash import xxh64_intdigest

from stream import columns, scanning
from stream import events as e
from stream.columns import REFUSED, joined, read
from stream.errors import RejectedEvent
from stream.names import hashed
from stream.scanning import FLAGS, KIND, MORE, N_COLUMNS, OTHER
from stream.waiting import BARE, CODE, KINDS
from tests.unit.rooms import columns_of
from tests.unit.test_waiting import events_of

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
UNKNOWN = ("x", "longer than eight", "类型", "", "count", "product", "text", "from")


def meant(told: inspect.Type) -> st.SearchStrategy[Any]:
    """Values as a field of this type should have them, at its limits too."""
    match told:
        case inspect.UnionType():
            return st.one_of([meant(one) for one in told.types])
        case inspect.StrType():
            low, high = told.min_length or 0, told.max_length or 8
            return st.text(min_size=low, max_size=min(high, 6)) | st.sampled_from(("a" * high, "主" * high))
        case inspect.IntType():
            low, high = told.ge or 0, 2**53 if told.le is None else told.le
            return st.integers(low, high) | st.sampled_from((low, high))
        case inspect.BoolType():
            return st.booleans()
        case inspect.LiteralType():
            return st.sampled_from(told.values)
        case inspect.NoneType():
            return st.none()
        case _:  # lists of products and the like
            return st.just([])


MEANT = {
    tag: {name: (meant(field.type), field.required) for name, field in columns._fields(kind).items() if name != "room"}
    for tag, kind in e.KIND_OF.items()
}


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Mostly an event, its fields in any order and way of writing; sometimes odd, or spoilt."""
    tag = draw(st.sampled_from(sorted(MEANT)))
    fields: dict[str, Any] = {"type": tag, "room": draw(st.sampled_from("aaab"))}
    odd = draw(st.sampled_from((*MEANT[tag], "room", "type", *UNKNOWN))) if draw(st.integers(0, 3)) == 0 else None
    for name, (values, required) in MEANT[tag].items():
        if required or draw(st.booleans()):
            fields[name] = draw(values)
    if odd is not None:
        fields[odd] = draw(ODD)
    names = draw(st.permutations([*fields]))
    separators = draw(st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", "\t:\r"))))
    text = json.dumps(
        {name: fields[name] for name in names}, separators=separators, ensure_ascii=draw(st.integers(0, 3)) == 0
    ).encode(errors="surrogatepass")
    if draw(st.integers(0, 9)) == 0:  # spoilt
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
@given(st.lists(records(), min_size=1, max_size=6), st.sampled_from((None, None, b"a", b"a", b"", b"aa")))
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
@example([b'{"type":"order.cancelled","room":"a","id":"1"}'], None)
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


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_type_is_known_to_the_scan(data: st.DataObject) -> None:
    """By its tag; of a plain event of those that are no more than a row none is decoded."""
    raws = []
    for tag, fields in MEANT.items():
        plain = {name: data.draw(values) for name, (values, required) in fields.items() if required}
        plain |= {name: "aaa" for name, value in plain.items() if isinstance(value, str) and name != "mode"}
        raws.append(json.dumps({"type": tag, "room": "a", "user": "u"} | plain, ensure_ascii=False).encode())
    with pytest.MonkeyPatch.context() as patch:
        decoded: list[type] = []
        patch.setattr(e, "decode", lambda raw, key=None, of=e.decode: (decoded.append(type(of(raw))), of(raw, key))[1])
        found = read(joined(raws), lambda place, fault: pytest.fail(f"{raws[place]!r}: {fault}"))

    assert found.rows[:, KIND].tolist() == [CODE[e.KIND_OF[tag]] for tag in MEANT]
    assert {*decoded} == {*KINDS} - BARE - {e.ViewerJoin, e.OrderPaid, e.OrderRefunded}


def test_the_names_of_fields_fit_a_number() -> None:
    """Of those that are looked for, which are all of the types that the scan alone judges."""
    for kind in columns._SCANNED:
        assert {*columns._fields(kind)} <= {*columns._NAMES}
    slots = columns._FIELDS[columns._FIELDS[:, 1] != OTHER]
    assert sorted(slots[:, 1].tolist()) == [*range(len(columns._NAMES))]
    assert {*slots[:, 0].tolist()} == {*columns._NUMBERS}


@pytest.mark.parametrize("name", ["returning", "returninG", "returnin", "currency", "currencyX", "channelXX"])
def test_long_names_of_fields_are_told_apart_or_decoded(name: str) -> None:
    """Only so many bytes of a name are looked at; what that leaves open the decoder says."""
    raw = f'{{"type":"order.paid","room":"a","amount":5,"{name}":true,"channel":null}}'.encode()
    if name == "currency":
        raw = raw.replace(b"true", b'"EUR"')
    found = read(joined([raw]), lambda place, fault: pytest.fail(str(fault)))
    event = e.decode(raw)

    assert isinstance(event, e.OrderPaid)
    assert (event.returning, event.currency) == (name == "returning" or None, "EUR" if name == "currency" else "CNY")
    assert found.rows.tolist() == [list(columns._row(event))]
    assert found.more == ([0] if name == "returning" else [])
