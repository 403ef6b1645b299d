"""The whole path on real servers: events into Kafka, a worker process, numbers and prompts out."""

import asyncio
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from agents import dry_run, replay, simulate, verify
from agents.settings import Settings, load_playbook
from stream import events as ev
from stream.room import RoomConfig
from tests.integration.gateways import records
from tests.integration.workers import numbers, prompts, wait_until, working
from tests.recordings import events, recorded

END_MS = 1_760_000_000_000
SETTLE_S = 40.0
# These grow also when nothing happens any more.
GROWS_WITH_TIME = ("inflow_per_min", "chats_per_min", "chat_density", "dwell_s", "over_1min")


@pytest.fixture
def client(settings: Settings) -> Any:
    """The test's Redis."""
    with redis.Redis.from_url(settings.redis) as connection:
        yield connection


def play(settings: Settings, files: list[Path], room: str | None = None) -> None:
    """Replay files as fast as it goes."""
    asyncio.run(replay.replay(settings, files, math.inf, room))


def simulated(tmp_path: Path, room: str, seed: int = 1, minutes: int = 10) -> Path:
    """A simulated show as a file."""
    path = tmp_path / f"{room}.ndjson"
    shown = simulate.show(seed, minutes, END_MS, room)
    path.write_bytes(b"".join(ev.encode(event) + b"\n" for _, event in shown))
    return path


def expected_prompts(settings: Settings, path: Path, out: Path) -> list[dict[str, Any]]:
    """What the core alone says to the same file."""
    values = (record.value for record in replay.read([path], None, replay.Problems(), [0]))
    dry_run.dry_run(values, out, load_playbook(settings), RoomConfig(line_every_s=60))
    return [json.loads(line) for line in (out / "prompts.ndjson").read_text().splitlines()]


def test_a_show_gives_the_prompts_of_the_core_on_the_screen_once_and_in_kafka(
    settings: Settings, client: Any, tmp_path: Path
) -> None:
    """A simulated show through broker and worker gives exactly the prompts of a dry run, in Redis and in Kafka."""
    path = simulated(tmp_path, "show")
    wanted = expected_prompts(settings, path, tmp_path / "dry")
    with working(settings, tmp_path / "worker.log"):
        play(settings, [path])
        wait_until(lambda: len(prompts(client, "show")) >= len(wanted), SETTLE_S, "all prompts")
        wait_until(lambda: numbers(client, "show").get("at_ms", 0) >= END_MS - 1_000, SETTLE_S, "the last second")

    assert {prompt["play"] for prompt in wanted} >= {"flash_drop", "sold_out", "dead_air"}
    assert prompts(client, "show") == wanted
    sent = [
        json.loads(record.value) for record in asyncio.run(records(settings.kafka, settings.prompts_topic, len(wanted)))
    ]
    assert {prompt["id"] for prompt in sent} == {prompt["id"] for prompt in wanted}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restarted_worker_goes_on_where_its_snapshot_stands(
    settings: Settings, client: Any, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker ended in mid-show, politely or not, and another after it give the sums of one run and what the log says.

    Neither leaves a file behind.
    """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    path = simulated(tmp_path, "show", minutes=180)
    sent = len(path.read_bytes().splitlines())
    expected_prompts(settings, path, tmp_path / "dry")
    line = json.loads((tmp_path / "dry" / "numbers.ndjson").read_text().splitlines()[-1])
    last = line["numbers"]
    often = msgspec.structs.replace(settings, snapshot_s=1, publish_ms=100)
    play(settings, [path])

    with working(often, tmp_path / "worker.log") as worker:
        wait_until(lambda: numbers(client, "show").get("chats_show"), SETTLE_S, "first numbers")
        getattr(worker, how)()
    assert not list(temporary.iterdir())
    saved = sum(map(int, client.hvals(f"liveroom:positions:{settings.events_topic}")))
    assert saved < sent, "it was ended too late to show anything"
    with working(often, tmp_path / "worker.log"):
        wait_until(lambda: numbers(client, "show").get("at_ms", 0) >= line["at_ms"], SETTLE_S, "the last second")

    found = numbers(client, "show")
    shown = [key for key in last if key.endswith("_show") and not key.startswith(GROWS_WITH_TIME)]
    assert {key: found[key] for key in shown} == {key: last[key] for key in shown}
    report = asyncio.run(verify.verify(settings, "show"))  # the log says when each record came, a dry run does not
    assert not report.differences, report.line()
    said = [prompt["id"] for prompt in prompts(client, "show")]
    assert said
    assert len(said) == len(set(said))


def test_bad_records_become_dead_letters_and_nothing_else_is_lost(
    settings: Settings, client: Any, tmp_path: Path
) -> None:
    """Noise of every kind lands in the rejected topic with its raw bytes and reason; the events around it count."""
    good = [ev.encode(ev.Chat(room="r", ts=END_MS + 1_000 * i, text="好")) for i in range(20)]
    noise: list[tuple[bytes, bytes, str]] = [
        (b"r", b"{", "malformed"),
        (b"r", b"\xff\xfe\x00", "malformed"),
        (b"r", b'{"type":"nobody.knows","room":"r"}', "unknown_type"),
        (b"r", b'{"type":"like","room":"r","ts":1,"count":"3"}', "invalid"),
        (b"r", b'{"type":"chat","room":"r","ts":5,"text":"x"}', "absurd_time"),
        (b"other", b'{"type":"chat","room":"r","ts":1,"text":"x"}', "wrong_room"),
        (b"r", b"", "empty"),
    ]
    mixed = [replay.Record(0, b"r", value) for value in good[:10]]
    mixed += [replay.Record(0, key, value) for key, value, _ in noise]
    mixed += [replay.Record(0, b"r", value) for value in good[10:]]

    with working(settings, tmp_path / "worker.log") as worker:
        asyncio.run(replay.produce(settings, mixed, math.inf))
        wait_until(lambda: numbers(client, "r").get("chats_show", {}).get("value") == 20, SETTLE_S, "20 chats")
        letters = asyncio.run(records(settings.kafka, settings.rejected_topic, len(noise)))
        samples = worker.metrics()

    found = Counter((record.value, dict(record.headers)["reason"].decode()) for record in letters)
    assert found == Counter((value, reason) for _, value, reason in noise)
    assert {"partition", "offset", "detail"} <= set(dict(letters[0].headers))
    assert samples['liveroom_rejected_total{reason="malformed"}'] == 2
    assert samples["liveroom_events_total"] == 20


def test_recorded_orders_sum_to_the_penny(settings: Settings, client: Any, tmp_path: Path) -> None:
    """A recorded order feed through broker and worker: paid and refunded money equal the sums over the file."""
    path = recorded("rooms/uci_orders.ndjson.gz")
    sums = Counter[str]()
    for event in events(path):
        sums[event["type"]] += event["amount"]
    newest = max(event["ts"] for event in events(path))

    with working(settings, tmp_path / "worker.log"):
        play(settings, [path])
        wait_until(lambda: numbers(client, "uci").get("at_ms", 0) > newest, 2 * SETTLE_S, "the last second")
    found = numbers(client, "uci")

    assert found["gmv_paid_show"]["value"] == sums["order.paid"]
    assert found["refunded_show"]["value"] == sums["order.refunded"]


@pytest.mark.parametrize("shuffled", [False, True])
def test_recorded_rooms_count_right_in_any_order_within_the_bound(
    settings: Settings, client: Any, tmp_path: Path, shuffled: bool
) -> None:
    """45 recorded rooms, as they are and shuffled within 2.5 s, give the right counts for every room."""
    held = list(events(recorded("rooms/tiktok_live.ndjson.gz")))
    ordered = held
    if shuffled:
        chance = random.Random(7)
        ordered = sorted(held, key=lambda event: event["ts"] + chance.uniform(0, 2_500))
    path = tmp_path / "rooms.ndjson"
    path.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in ordered))
    unique = {(event["room"], event["type"], event["id"]): event for event in held}.values()
    wanted: dict[str, Counter[str]] = {}
    newest: dict[str, int] = {}
    for event in unique:
        wanted.setdefault(event["room"], Counter())[event["type"]] += 1
        newest[event["room"]] = max(newest.get(event["room"], 0), event["ts"])

    with working(settings, tmp_path / "worker.log"):
        play(settings, [path])
        for room, last_ms in newest.items():
            wait_until(lambda r=room, t=last_ms: numbers(client, r).get("at_ms", 0) > t, SETTLE_S, f"room {room}")
    names = {"chat": "chats", "follow": "follows", "share": "shares", "viewer.join": "joins", "gift": "gifts"}
    for room, counts in wanted.items():
        found = numbers(client, room)

        assert {kind: found[f"{name}_show"]["value"] or 0 for kind, name in names.items()} == {
            kind: counts[kind] for kind in names
        }, room
