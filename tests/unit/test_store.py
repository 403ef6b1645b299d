"""Snapshots as they are stored: packed and unpacked, and every way in which one can be unreadable."""

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from agents import store
from agents.store import SNAPSHOT_VERSION, Snapshot, pack, snapshot_key, unpack
from stream.errors import OperatorError, SnapshotError

SNAPSHOT = Snapshot("主播/1", 7_299_999_999, b"state" * 1_000)


@given(st.text(max_size=20), st.integers(0, 2**63 - 1), st.binary(max_size=2_000))
def test_a_snapshot_survives_being_packed(room: str, offset: int, state: bytes) -> None:
    """Any state, any offset Kafka knows."""
    snapshot = Snapshot(room, offset, state)

    assert unpack(room, pack(snapshot)) == snapshot


def test_a_packed_snapshot_is_small_and_says_what_it_is() -> None:
    """Magic, version, then the compressed body."""
    packed = pack(SNAPSHOT)

    assert packed[:3] == b"lr" + bytes([SNAPSHOT_VERSION])
    assert len(packed) < 200


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"", "not one of liveroom's"),
        (b"lr", "not one of liveroom's"),
        (b"lr\x02", "not one of liveroom's"),
        (b"\x80\x04pickled", "not one of liveroom's"),
        (b"LR" + pack(SNAPSHOT)[2:], "not one of liveroom's"),
        (b"lr\x01" + pack(SNAPSHOT)[3:], f"version 1, this worker reads {SNAPSHOT_VERSION}"),
        (b"lr\xff" + pack(SNAPSHOT)[3:], f"version 255, this worker reads {SNAPSHOT_VERSION}"),
        (pack(SNAPSHOT)[:-1], "damaged"),
        (pack(SNAPSHOT)[:20], "damaged"),
        (pack(SNAPSHOT)[:3] + b"no zstandard", "damaged"),
        (pack(SNAPSHOT)[:3] + zstandard.compress(b""), "damaged"),
        (pack(SNAPSHOT)[:3] + zstandard.compress(b"no msgpack"), "damaged"),
        (pack(SNAPSHOT)[:3] + zstandard.compress(msgspec.msgpack.encode(["a", 1, b""])), "damaged"),
        (pack(SNAPSHOT)[:3] + zstandard.compress(msgspec.msgpack.encode([1])), "damaged"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_read_is_named_with_its_room_and_what_to_do(blob: bytes, said: str) -> None:
    """The operator learns which key to delete."""
    with pytest.raises(SnapshotError, match=said) as caught:
        unpack("主播/1", blob)

    assert "'主播/1'" in str(caught.value)
    assert f"delete {snapshot_key('主播/1')}" in str(caught.value)
    assert isinstance(caught.value, OperatorError)


def test_a_snapshot_of_other_series_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns would be taken for those of other sums."""
    packed = pack(SNAPSHOT)
    monkeypatch.setattr(store, "_LAYOUT", store._LAYOUT ^ 1)

    with pytest.raises(SnapshotError, match="other series"):
        unpack("r", packed)


@given(st.integers(0, 200), st.integers(1, 255))
@example(7, 130)  # the frame's header now states a size beyond any memory
def test_a_damaged_byte_is_seen(place: int, flip: int) -> None:
    """Whichever byte is not as it was written: the snapshot is refused, or it was not needed."""
    packed = bytearray(pack(SNAPSHOT))
    packed[place % len(packed)] ^= flip
    try:
        assert unpack("r", bytes(packed)).state == SNAPSHOT.state
    except SnapshotError:
        return


@given(st.binary(max_size=100))
def test_any_bytes_are_a_snapshot_or_refused(blob: bytes) -> None:
    """Nothing else comes out, with our own first bytes or without."""
    for whole in (blob, pack(SNAPSHOT)[:3] + blob, pack(SNAPSHOT)[:3] + zstandard.compress(blob)):
        try:
            unpack("r", whole)
        except SnapshotError:
            continue


def test_no_two_things_share_a_key() -> None:
    """Keys of one room differ from each other and from those of a room with a name like a key."""
    rooms = ("r", "r:0", "snapshot:r", "")
    keys = [
        make(room)
        for room in rooms
        for make in (snapshot_key, store.numbers_key, store.prompts_key, store.shows_key, store.said_key)
    ]
    keys += [store.positions_key("live.events"), store.fences_key("live.events"), store.members_key("live.events", 0)]

    assert len(set(keys)) == len(keys)


def test_a_fence_is_read_as_it_was_written() -> None:
    """Owners may hold spaces."""
    fence = store.Fence(17, "worker 3 on a")

    assert store.Fence.read(str(fence).encode()) == fence
