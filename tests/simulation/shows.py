"""Made-up shows as records of the log: everything the contract allows, and more disorder than any real feed has.

A show is a list of moments; each waits `gap_ms` and then something of a `kind` happens. `habits` say what kind of feed
it is: whether leaves are sent, users masked, counts stated, and by whom.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

BEGIN_MS = 1_760_000_000_000
DELAYS_MS = (0, 0, 0, 1, 400, 1_000, 2_400, 2_999)  # of the arrival; 2,999 is the most that lateness bears
GAPS_MS = (0, 1, 7, 250, 999, 1_000, 1_001, 4_000, 12_000, 29_999, 30_000, 30_001, 59_000, 61_000, 130_000, 301_000)
SILENCES_MS = (599_000, 660_000, 1_199_000, 1_260_000, 5_000_000)
KINDS = (
    *("join", "leave") * 4,
    *("expose", "click", "cart", "created", "paid", "paid", "refunded", "count", "chat", "like", "gift", "spend") * 2,
    *("follow", "share", "fanclub", "exposure", "private", "heartbeat", "cancelled", "unpin", "scene", "start", "end"),
    *("pin", "stock", "combo", "beat", "crowd", "exodus") * 2,
    *("catalogue", "speech", "remove", "silence"),
)
STATED: tuple[Any, ...] = (0, 1, 37, 1_234, "68", "6.8万", "1.25k", "3,400", "12+", "2W", "many", "", None)
FROM = ("feed", "ads", "search", "ads", "short_video")
SEGMENTS: tuple[Any, ...] = (
    {"region": "tier1"},
    {"region": "tier2", "age": "24-30", "interests": ["tea", "bags"]},
    {"spend": "high", "interests": ["tea", "tea"]},
    {"interests": []},
)


@dataclass(frozen=True)
class Moment:
    """`who`, `what` and `size` choose users, products, orders and amounts; `again_ms` after it the same comes again."""

    gap_ms: int
    kind: str
    who: int
    what: int
    size: int
    delay_ms: int = 0
    again_ms: int = 0


@dataclass(frozen=True)
class Habits:
    """How a room's feed is made; `nameless` of 5 users are not told, `masked` users share one id."""

    starts: bool = True
    leaves: bool = True
    counts: bool = True
    creations: bool = True
    masked: bool = False
    sources: bool = True
    ids: bool = True
    nameless: int = 1


def habits() -> st.SearchStrategy[Habits]:
    """Any feed."""
    return st.builds(Habits, nameless=st.integers(0, 5))


def moments() -> st.SearchStrategy[list[Moment]]:
    """Any moments, dense enough that the same people, products and orders meet."""
    moment = st.builds(
        Moment,
        gap_ms=st.sampled_from(GAPS_MS),
        kind=st.sampled_from(KINDS),
        who=st.integers(0, 7),
        what=st.integers(0, 3),
        size=st.integers(0, 60),
        delay_ms=st.sampled_from(DELAYS_MS),
        again_ms=st.sampled_from((0, 0, 0, 0, 1, 900, 2_999)),
    )
    return st.lists(moment, max_size=60)


def records() -> st.SearchStrategy[list[bytes]]:
    """The log of one to three rooms."""
    room = st.tuples(moments(), habits())
    return st.lists(room, min_size=1, max_size=3).map(
        lambda rooms: [record for n, (those, habit) in enumerate(rooms) for record in log(those, habit, f"room{n}")]
    )


def busy(seed: int, count: int, habit: Habits, room: str) -> list[bytes]:
    """The log of a room with `count` random moments, more people and shorter gaps than hypothesis likes to make."""
    return log(busy_moments(seed, count), habit, room)


def busy_moments(seed: int, count: int) -> list[Moment]:
    """Moments of such a room, with a rare silence."""
    rng = random.Random(seed)
    gaps = (*range(0, 2_000, 130), *GAPS_MS[4:12])
    those = [
        Moment(
            rng.choice(gaps),
            rng.choice(KINDS) if rng.random() < 0.98 else "crowd",
            rng.randrange(120),
            rng.randrange(6),
            rng.randrange(61),
            rng.choice(DELAYS_MS),
            rng.choice((0,) * 20 + (1, 900, 2_999)),
        )
        for _ in range(count)
    ]
    return [moment for moment in those if moment.kind != "silence" or moment.size == 0]


def log(those: Sequence[Moment], habit: Habits, room: str) -> list[bytes]:
    """The moments' events in the order in which they arrive."""
    return [msgspec.json.encode(event) for _, event in arrivals(those, habit, room)]


def arrivals(those: Sequence[Moment], habit: Habits, room: str) -> list[tuple[int, dict[str, Any]]]:
    """The same as (arrival in ms, event): each comes when it happens and its delay is over."""
    found: list[tuple[int, dict[str, Any]]] = []
    now_ms = BEGIN_MS
    if habit.starts:
        found.append((now_ms, {"room": room, "type": "room.start", "ts": now_ms, "title": "show"}))
    for moment in those:
        now_ms += SILENCES_MS[moment.size % len(SILENCES_MS)] if moment.kind == "silence" else moment.gap_ms
        if moment.kind == "start":  # who comes at the very ms of another show's start would be of either
            now_ms += 1
        for event in _events(moment, habit, now_ms):
            arrived_ms = event["ts"] + moment.delay_ms
            found.append((arrived_ms, {"room": room, **event}))
            if moment.again_ms and "id" in event:
                found.append((arrived_ms + moment.again_ms, {"room": room, **event}))
        if moment.kind == "start":
            now_ms += 1
    return sorted(found, key=lambda arrival: arrival[0])


def _events(moment: Moment, habit: Habits, now_ms: int) -> Iterator[dict[str, Any]]:
    for n, fields in enumerate(_happens(moment, habit)):
        event = {"type": fields.pop("type"), "ts": now_ms + fields.pop("after_ms", 0)}
        if habit.sources:
            event["source"] = fields.pop("source", "room")
        if habit.ids and moment.size % 5:
            event["id"] = f"{now_ms - BEGIN_MS}-{moment.who}-{moment.what}-{moment.size}-{moment.gap_ms}-{n}"
        yield event | {name: value for name, value in fields.items() if value is not None}


def _happens(moment: Moment, habit: Habits) -> Iterator[dict[str, Any]]:
    kind, size = moment.kind, moment.size
    if kind == "crowd":
        for n in range(size):
            yield {"type": "viewer.join", "user": _user(habit, f"c{n}"), "after_ms": 90 * n, "from": FROM[n % 5]}
    elif kind == "exodus" and habit.leaves:
        for n in range(0, size, 1 + moment.what):
            yield {"type": "viewer.leave", "user": _user(habit, f"c{n}"), "after_ms": 150 * n}
    elif kind in ("join", "leave", "chat", "like", "follow", "share", "fanclub", "gift", "combo", "private"):
        yield from _viewer(moment, habit)
    elif kind in ("created", "paid", "refunded", "cancelled"):
        yield from _order(moment, habit)
    elif kind in _SHOP:
        user = _who(moment, habit) if kind in ("expose", "click", "cart", "remove") else None
        yield {"type": _SHOP[kind], "user": user, "product": f"p{moment.what}", "source": "shop"} | _shop(moment)
    else:
        yield from _room(moment, habit)


def _user(habit: Habits, name: str) -> str:
    return "111111" if habit.masked else name


def _who(moment: Moment, habit: Habits) -> str | None:
    return None if moment.size % 5 < habit.nameless else _user(habit, f"u{moment.who}")


_VIEWER = {
    "join": "viewer.join",
    "leave": "viewer.leave",
    "fanclub": "fanclub.join",
    "combo": "gift",
    "private": "private.join",
}


def _viewer(moment: Moment, habit: Habits) -> Iterator[dict[str, Any]]:
    kind, size, what = moment.kind, moment.size, moment.what
    if kind == "leave" and not habit.leaves:
        return
    event: dict[str, Any] = {"type": _VIEWER.get(kind, kind), "user": _who(moment, habit)}
    if kind == "join" and size % 3:
        event |= {"from": FROM[what % 5], "ref": f"plan{size % 2}" if size % 2 else None}
        event["segment"] = SEGMENTS[what % 4] if size % 4 == 1 else None
    elif kind == "chat":
        event["text"] = "多少钱"
    elif kind == "like" and size % 2:
        event["count"] = size
    elif kind in ("gift", "combo"):
        event |= {"value": 10 * what, "count": size % 7}
        if kind == "combo":
            event |= {"combo": f"k{what}", "user": _user(habit, f"u{moment.who % 2}")}
    yield event


def _order(moment: Moment, habit: Habits) -> Iterator[dict[str, Any]]:
    """One to three lines of an order, or lines without its id."""
    if moment.kind == "created" and not habit.creations:
        return
    for n in range(1 + moment.size % 3):
        yield {
            "type": f"order.{moment.kind}",
            "user": _who(moment, habit),
            "order": f"o{moment.who}{moment.what}" if moment.size % 7 else None,
            "product": f"p{(moment.what + n) % 4}" if moment.size % 11 else None,
            "qty": moment.size % 4,
            "amount": 990 * moment.size,
            "channel": "qianchuan" if moment.what == 1 else None,
            "returning": (None, True, False)[moment.who % 3] if moment.kind == "paid" else None,
            "source": "shop",
        }


_SHOP = {
    "expose": "product.expose",
    "click": "product.click",
    "cart": "cart.add",
    "remove": "cart.remove",
    "stock": "stock.level",
    "pin": "product.pin",
    "unpin": "product.unpin",
}


def _shop(moment: Moment) -> dict[str, Any]:
    if moment.kind == "stock":
        return {"available": moment.size, "sku": f"s{moment.who % 3}" if moment.who % 3 else None}
    return {}


_ROOM = {
    "exposure": "room.exposure",
    "heartbeat": "viewer.heartbeat",
    "start": "room.start",
    "end": "room.end",
    "beat": "source.beat",
    "speech": "host.speech",
    "scene": "scene.start",
    "spend": "ad.spend",
    "catalogue": "catalogue.set",
    "count": "viewer.count",
}


def _room(moment: Moment, habit: Habits) -> Iterator[dict[str, Any]]:
    kind, size, what = moment.kind, moment.size, moment.what
    if kind not in _ROOM or (kind == "count" and not habit.counts):
        return
    event: dict[str, Any] = {"type": _ROOM[kind]}
    match kind:
        case "count":
            event |= {"online": STATED[(size + what) % len(STATED)], "total": STATED[size % len(STATED)]}
            event["source"] = ("room", "other")[moment.who % 2]
        case "exposure":
            event["count"] = 100 * what
        case "heartbeat":
            event["user"] = _who(moment, habit)
        case "beat":
            event["source"] = ("room", "shop", "other", "desk")[what % 4]
        case "speech":
            event |= {"text": "三二一上链接", "source": "captions"}
        case "scene":
            event |= {"scene": f"s{what}", "source": "desk"}
        case "spend":
            event |= {"channel": ("qianchuan", "suixintui")[what % 2], "plan": f"plan{size % 2}" if size % 3 else None}
            event |= {"amount": 50 * size, "audience": "women" if what == 2 else None, "source": "desk"}
        case "catalogue":
            sheet = [{"product": f"p{n}", "daily_sales": size + n} for n in range(what + 1)]
            event |= {"products": [*sheet, {"product": "p0", "sku": "big", "daily_sales": 3}, {"product": "p9"}]}
            event["source"] = "desk"
        case _:
            event["source"] = "desk"
    yield event
