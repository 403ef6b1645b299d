"""`liveroom verify`: a room as it stands in Redis against what a fresh core makes of the log."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from agents import embedded
from agents.store import Snapshot, members_key, pack, unpack
from tests.integration.faults import ROOT, Crew, Stage
from tests.integration.workers import environment


@pytest.fixture
def stage(broker: embedded.Server, redis_url: str, tmp_path: Path) -> Stage:
    """Three rooms of ten minutes that were on the air, their worker gone."""
    stage = Stage(broker.address, redis_url, tmp_path, minutes=10, a_partition=1)
    stage.play(0)
    with Crew(stage.settings, tmp_path / "workers.log") as crew:
        crew.start(0)
        crew.ready(0)
        stage.wait_until_done()
        crew.terminate(0)
    return stage


def verified(stage: Stage, room: str) -> "subprocess.CompletedProcess[str]":
    """The command, as an operator calls it."""
    return subprocess.run(
        [sys.executable, "-m", "agents", "verify", room],
        env=environment(stage.settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_room_is_verified_and_what_was_changed_is_named(stage: Stage) -> None:
    """What a worker left is all the same; a number, an entry or a sum that somebody changed is named, with 1."""
    room, other, third = stage.rooms
    right = verified(stage, room)

    assert (right.returncode, right.stderr) == (0, "")
    assert "all the same" in right.stdout
    assert int(right.stdout.split(" numbers")[0].split(": ")[1].replace(",", "")) > 100

    with stage.client() as client:
        client.hset(f"liveroom:numbers:{room}", "n:chats_show", b'{"value":1,"status":"ok","num":null,"den":null}')
        entry_id, _ = client.xrevrange(f"liveroom:prompts:{other}", count=1)[0]
        client.xdel(f"liveroom:prompts:{other}", entry_id)
        _change_sum(client, third)
    number, entry, total = verified(stage, room), verified(stage, other), verified(stage, third)

    assert number.returncode == entry.returncode == total.returncode == 1
    assert "published n:chats_show: live" in number.stderr
    assert f"entry {entry_id.decode()}: live None" in entry.stderr
    assert "joins_show: live" in total.stderr


def test_a_room_nobody_saved_is_said_to_be_unknown(stage: Stage) -> None:
    """An unknown room is an error that names those that are known."""
    found = verified(stage, "nobody")

    assert found.returncode == 1
    assert found.stderr.startswith("liveroom: no room 'nobody' was saved; name one of ")


def _change_sum(client: Any, room: str) -> None:
    """Count one join too many in a room's snapshot."""
    snapshot = unpack(room, client.get(f"liveroom:snapshot:{room}"))
    state = msgspec.msgpack.decode(snapshot.state, strict=False)
    state["tally"]["buckets"]["show"][0] += 1
    changed = Snapshot(room, snapshot.offset, msgspec.msgpack.encode(state))
    client.set(f"liveroom:snapshot:{room}", pack(changed))


def test_the_partition_of_a_room_is_known_by_its_members(stage: Stage) -> None:
    """Each partition lists its rooms, and no room is listed twice."""
    with redis.Redis.from_url(stage.settings.redis) as client:
        listed = [client.smembers(members_key(stage.settings.events_topic, partition)) for partition in range(3)]

    assert sorted(room.decode() for rooms in listed for room in rooms) == stage.rooms
