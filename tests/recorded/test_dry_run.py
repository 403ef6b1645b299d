"""Recorded rooms through the core alone: counts and money equal sums over the file."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.cli import main
from tests.recordings import events, recorded

COUNTED = {
    "chat": "chats",
    "follow": "follows",
    "share": "shares",
    "viewer.join": "joins",
    "gift": "gifts",
}


def dry_run(path: Path, out: Path, every: int = 3600) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The command's report, and the last line of each room."""
    result = CliRunner().invoke(main, ["dry-run", str(path), "--out", str(out), "--every", str(every)])
    assert result.exit_code == 0, result.output
    lines = map(json.loads, (out / "numbers.ndjson").read_text().splitlines())
    return json.loads(result.output.splitlines()[-1]), {line["room"]: line for line in lines}


def test_recorded_orders_sum_to_the_penny(tmp_path: Path) -> None:
    """Paid and refunded money of a recorded order feed equal the sums over the file, per room and per product."""
    path = recorded("rooms/uci_orders.ndjson.gz")
    room, products = Counter[str](), Counter[tuple[str, str]]()
    for event in events(path):
        room[event["type"]] += event["amount"]
        products[event["product"], event["type"]] += event["amount"]

    _, last = dry_run(path, tmp_path)
    found = last["uci"]

    assert found["numbers"]["gmv_paid_show"]["value"] == room["order.paid"]
    assert found["numbers"]["refunded_show"]["value"] == room["order.refunded"]
    for product, numbers in found["products"].items():
        assert numbers["gmv_paid_show"]["value"] == products[product, "order.paid"]
        assert numbers["refunded_show"]["value"] == products[product, "order.refunded"]


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_recorded_rooms_count_right_in_any_order_within_the_bound(tmp_path: Path, seed: int | None) -> None:
    """45 recorded rooms, as they are and shuffled within 2.5 s, give the right counts for every room."""
    held = list(events(recorded("rooms/tiktok_live.ndjson.gz")))
    ordered = held
    if seed is not None:
        chance = random.Random(seed)
        ordered = sorted(held, key=lambda event: event["ts"] + chance.uniform(0, 2_500))
    path = tmp_path / "rooms.ndjson"
    path.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in ordered))
    unique = {(event["room"], event["type"], event["id"]): event for event in held}
    wanted = Counter((event["room"], event["type"]) for event in unique.values())
    likes = Counter[str]()
    for event in unique.values():
        if event["type"] == "like":
            likes[event["room"]] += event["count"]

    report, last = dry_run(path, tmp_path / "out", 60)

    assert (report["events"], report["rooms"], report["duplicates"], report["late"]) == (604, 45, 1, 0)
    for room, line in last.items():
        for kind, name in COUNTED.items():
            assert (line["numbers"][f"{name}_show"]["value"] or 0) == wanted[room, kind], (room, name)
        assert (line["numbers"]["likes_show"]["value"] or 0) == likes[room]


def test_recorded_chat_keeps_every_message(tmp_path: Path) -> None:
    """10,000 recorded chats without users: all counted, people missing, and nothing else claimed."""
    path = recorded("rooms/livechat.ndjson.gz")

    _, last = dry_run(path, tmp_path)
    numbers = last["livechat"]["numbers"]

    assert numbers["chats_show"]["value"] == 10_000
    assert numbers["chatters_show"]["status"] == "missing"
    assert numbers["viewers_show"]["status"] == "missing"
    assert numbers["gmv_paid_show"] == {"value": None, "status": "missing", "num": None, "den": None}
