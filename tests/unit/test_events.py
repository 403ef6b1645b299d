"""The event contract: every type, every reason to refuse, display counts, times; no input does anything else."""

import json
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import events as e
from stream import parcels
from stream.errors import Reason, RejectedEvent
from stream.shown import SHOWN_MAX, shown_count

TS = 1_760_000_000_000
ARRIVED_MS = TS + 700
MINIMAL: dict[str, dict[str, Any]] = {
    "chat": {"text": "多少钱"},
    "product.pin": {"product": "p"},
    "product.unpin": {"product": "p"},
    "product.expose": {"product": "p"},
    "product.click": {"product": "p"},
    "cart.add": {"product": "p"},
    "cart.remove": {"product": "p"},
    "order.created": {"amount": 990},
    "order.paid": {"amount": 990},
    "order.refunded": {"amount": 990},
    "stock.level": {"product": "p", "available": 3},
    "ad.spend": {"channel": "feed", "amount": 100},
    "host.speech": {"text": "家人们"},
    "scene.start": {"scene": "试穿"},
    "offer.ready": {"offer": "o", "product": "p", "price": 990},
    "offer.start": {"offer": "o"},
    "offer.stop": {"offer": "o"},
    "prompt.shown": {"prompt": "x"},
    "prompt.done": {"prompt": "x"},
    "prompt.skipped": {"prompt": "x"},
    "violation": {"text": "警告"},
    "catalogue.set": {"products": []},
    "rundown.set": {"items": []},
    "playbook.set": {"playbook": ""},
    "mode.set": {"mode": "quiet"},
    "prompt.approve": {"prompt": "x"},
    "prompt.withdraw": {"prompt": "x"},
    "prompt.send": {"title": "喝口水"},
    "question.answered": {"question": "尺码"},
}
COMMON = {"room": "r", "ts": TS, "id": "7299999999999999999", "user": "u", "source": "douyin"}


def raw(**fields: Any) -> bytes:
    """A record."""
    return json.dumps(fields, ensure_ascii=False).encode()


def refusal(value: bytes | None, key: bytes | None = None) -> RejectedEvent:
    """Why `value` is refused."""
    with pytest.raises(RejectedEvent) as caught:
        e.decode(value, key)
    return caught.value


def outcome(call: Callable[[], Any]) -> Any:
    """What `call` gives, or the reason why it refuses."""
    try:
        return call()
    except RejectedEvent as refused:
        return refused.reason


# --- every type


@pytest.mark.parametrize("tag", sorted(e.TYPES))
def test_every_type_is_decoded_from_its_least_form(tag: str) -> None:
    """Common fields and what the type needs; unknown fields are ignored; writing it again loses nothing."""
    event = e.decode(raw(type=tag, **COMMON, **MINIMAL.get(tag, {}), unheard_of={"a": [1.5]}), b"r")

    assert event.__struct_config__.tag == tag
    assert (event.room, event.ts, event.id, event.user, event.source, event.stamped) == (
        *("r", TS, "7299999999999999999", "u", "douyin"),
        False,
    )
    assert e.decode(e.encode(event)) == event


@pytest.mark.parametrize("tag", sorted(MINIMAL))
def test_every_needed_field_is_needed(tag: str) -> None:
    """Without any one of them the record is invalid, and the detail names it."""
    for missing in MINIMAL[tag]:
        rest = {name: value for name, value in MINIMAL[tag].items() if name != missing}
        refused = refusal(raw(type=tag, room="r", **rest))

        assert refused.reason == "invalid"
        assert missing in refused.detail


def test_the_union_knows_each_class_once() -> None:
    """No event type is forgotten in the union, and no tag is used twice."""
    classes = [one for one in vars(e).values() if isinstance(one, type) and issubclass(one, e.Event)]
    concrete = {one for one in classes if one not in (e.Event, e.OrderLine)}

    assert concrete == set(get_args(e.RoomEvent))
    assert len(e.TYPES) == len(concrete)


def test_an_event_in_memory_survives_a_snapshot() -> None:
    """Whatever may be decoded can be packed as msgpack: no waiting event can keep its room from being saved."""
    for field, value in (("online", 2**63 - 1), ("online", -(2**63)), ("total", "6.8万")):
        event = e.decode(raw(type="viewer.count", room="r", **{field: value}))
        packed = msgspec.msgpack.encode(event)
        assert msgspec.msgpack.decode(packed, type=e.RoomEvent) == event
    assert refusal(raw(type="viewer.count", room="r", online=2**63)).reason == "invalid"
    assert refusal(raw(type="offer.ready", room="r", **MINIMAL["offer.ready"], until=2**70)).reason == "invalid"


def test_a_gift_of_absurd_worth_is_refused() -> None:
    """The product of count and value must never leave 63 bits."""
    assert refusal(raw(type="gift", room="r", count=10**7, value=1)).reason == "invalid"
    assert refusal(raw(type="gift", room="r", count=1, value=10**12)).reason == "invalid"


# --- every reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"   ", "malformed"),
        (b"{", "malformed"),
        (b"no json", "malformed"),
        (b'{"type":"like","room":"r"} {"type":"like"}', "malformed"),
        (b'{"type":"like","room":"\xff"}', "malformed"),
        (b'{"type":"chat","room":"r","text":"\\ud800x"}', "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b"17", "invalid"),
        (b"{}", "invalid"),
        (b'{"type":null,"room":"r"}', "invalid"),
        (b'{"type":"teleport","room":"r"}', "unknown_type"),
        (b'{"type":"parcel.created","order":"o"}', "unknown_type"),
        (b'{"type":"like"}', "invalid"),
        (b'{"type":"like","room":""}', "invalid"),
        (raw(type="like", room="r" * 129), "invalid"),
        (b'{"type":"like","room":7}', "invalid"),
        (b'{"type":"like","room":"r","ts":"1760000000000"}', "invalid"),
        (b'{"type":"like","room":"r","ts":1760000000000.0}', "invalid"),
        (b'{"type":"like","room":"r","ts":true}', "invalid"),
        (b'{"type":"like","room":"r","count":-1}', "invalid"),
        (b'{"type":"like","room":"r","count":1.5}', "invalid"),
        (b'{"type":"like","room":"r","id":7299999999999999999}', "invalid"),
        (b'{"type":"order.paid","room":"r","amount":-1}', "invalid"),
        (b'{"type":"order.paid","room":"r","amount":9.9}', "invalid"),
        (b'{"type":"order.paid","room":"r","amount":1000000000001}', "invalid"),
        (b'{"type":"order.paid","room":"r","amount":1,"currency":"yuan"}', "invalid"),
        (raw(type="chat", room="r", text="x" * 4_001), "invalid"),
        (raw(type="mode.set", room="r", mode="loud"), "invalid"),
        (raw(type="prompt.send", room="r", title="t", ttl_s=4), "invalid"),
        (b"[" * 100_000, "invalid"),
        (b'{"type":"like","room":"r","x":' + b"[" * 100_000, "malformed"),
        (raw(type="chat", room="r", text="x" * e.MAX_EVENT_BYTES), "too_large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_each_bad_record_has_its_reason(value: bytes | None, reason: str) -> None:
    """The reason is one of the contract's, and the detail says more."""
    refused = refusal(value)

    assert refused.reason == reason
    assert refused.detail


def test_a_record_of_another_room_than_its_key_is_refused() -> None:
    """The key decides where a record goes; a value that disagrees would be counted in the wrong room."""
    assert refusal(raw(type="like", room="a"), b"b").reason == "wrong_room"
    assert refusal(raw(type="like", room="a"), b"").reason == "wrong_room"
    assert e.decode(raw(type="like", room="主播/1"), "主播/1".encode()).room == "主播/1"


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_refused(value: bytes) -> None:
    """Nothing else comes out of the decoder."""
    event = outcome(lambda: e.decode(value))

    assert event in get_args(Reason) or event.room


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["p", "6.8万", ","]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({field.encode_name for one in get_args(e.RoomEvent) for field in msgspec.structs.fields(one)})


@given(st.sampled_from(sorted(e.TYPES)), st.dictionaries(st.sampled_from(FIELDS), values, max_size=6), st.integers())
def test_almost_events_are_events_or_refused(tag: str, fields: dict[str, Any], ts: int) -> None:
    """Any JSON under the contract's names: an event that can be saved and settled, or a reason."""
    record = json.dumps({"room": "r", "ts": ts} | MINIMAL.get(tag, {}) | fields | {"type": tag}).encode()
    event = outcome(lambda: e.settle_time(e.decode(record), ARRIVED_MS))
    if isinstance(event, str):
        assert event in get_args(Reason)
        return

    assert e.TS_MIN_MS <= event.ts <= ARRIVED_MS + e.AHEAD_MAX_MS
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=e.RoomEvent) == event


@given(st.binary(max_size=200))
def test_any_parcel_bytes_are_a_parcel_or_refused(value: bytes) -> None:
    """The parcels' decoder keeps the same promise."""
    parcel = outcome(lambda: parcels.decode(value))

    assert parcel in get_args(Reason) or parcel.order


def test_every_parcel_type_is_decoded() -> None:
    """Keyed by order, not by room."""
    for one in get_args(parcels.Parcel):
        tag = one.__struct_config__.tag
        parcel = parcels.decode(raw(type=tag, order="o", ts=TS))
        assert parcel == one(order="o", ts=TS)
        assert parcels.decode(parcels.encode(parcel)) == parcel


# --- times


@pytest.mark.parametrize(
    ("ts", "settled"),
    [
        (TS, TS),
        (TS - 86_400_000, TS - 86_400_000),
        (ARRIVED_MS + e.AHEAD_MAX_MS, ARRIVED_MS + e.AHEAD_MAX_MS),
        (ARRIVED_MS + e.AHEAD_MAX_MS + 1, ARRIVED_MS),
        (ARRIVED_MS + 3_600_000, ARRIVED_MS),
        (e.TS_MAX_MS - 1, ARRIVED_MS),
        (0, ARRIVED_MS),
        (TS // 1000, TS // 1000 * 1000),
        (TS * 1000 + 999, TS),
        (e.TS_MIN_MS, e.TS_MIN_MS),
    ],
)
def test_a_time_becomes_usable_and_says_so(ts: int, settled: int) -> None:
    """Seconds, microseconds, none at all, a clock that runs ahead; what was changed is marked, nothing else is."""
    event = e.settle_time(e.Like(room="r", ts=ts, id="a", count=3), ARRIVED_MS)

    assert event == e.Like(room="r", ts=settled, id="a", count=3, stamped=settled != ts)


@pytest.mark.parametrize("ts", [17, -1, -TS, 10**20, e.TS_MIN_MS // 1000 - 1, e.TS_MAX_MS * 1000])
def test_a_time_that_cannot_be_meant_is_refused(ts: int) -> None:
    """Uptimes, negative numbers, the far future."""
    with pytest.raises(RejectedEvent) as caught:
        e.settle_time(e.Like(room="r", ts=ts), ARRIVED_MS)

    assert caught.value.reason == "absurd_time"


@given(st.integers(), st.integers(e.TS_MIN_MS, e.TS_MAX_MS - e.AHEAD_MAX_MS))
def test_settling_twice_is_settling_once(ts: int, arrived_ms: int) -> None:
    """The gateway settles, the room settles again: the second time nothing changes."""
    try:
        once = e.settle_time(e.Like(room="r", ts=ts), arrived_ms)
    except RejectedEvent:
        return

    assert e.settle_time(once, arrived_ms) is once


# --- display counts


@pytest.mark.parametrize(
    ("shown", "count"),
    [
        (0, (0, True)),
        (68_000, (68_000, True)),
        (10**12, (10**12, True)),
        ("12", (12, True)),
        ("1,234", (1_234, True)),
        (" 980 ", (980, True)),
        ("6.8万", (68_000, False)),
        ("6.8w", (68_000, False)),
        ("6.8W+", (68_000, False)),
        ("1.25亿", (125_000_000, False)),
        ("10万+", (100_000, False)),
        ("1.2k", (1_200, False)),
        ("3.4 M", (3_400_000, False)),
        ("６.８万", (68_000, False)),
        ("0.00001万", (0, False)),
        (-1, None),
        (10**12 + 1, None),
        ("", None),
        (",", None),
        (",5", None),
        ("1.", None),
        (".5", None),
        ("1.2.3", None),
        ("-5", None),
        ("many", None),
        ("999999亿", None),
        ("9" * 32, None),
        ("1e5", None),
        ("5\n6", None),
    ],
)
def test_a_displayed_count_is_read_or_none(shown: int | str, count: tuple[int, bool] | None) -> None:
    """A value with whether it is exact; text that is no count, or more than there are people, is none."""
    assert shown_count(shown) == count


@given(st.text(max_size=32) | st.from_regex(r"[\d,.]{1,12}[万亿wkM+]?", fullmatch=True) | st.integers())
def test_any_displayed_text_is_read_or_none(shown: int | str) -> None:
    """No text that a page may show stops a room."""
    count = shown_count(shown)

    assert count is None or 0 <= count[0] <= SHOWN_MAX


@given(st.integers(0, 10**12), st.booleans())
def test_a_plain_count_is_read_exactly(count: int, grouped: bool) -> None:
    """With or without commas."""
    assert shown_count(f"{count:,}" if grouped else str(count)) == (count, True)
