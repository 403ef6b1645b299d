"""The soundings of a room, beside what the integration with a show says of them: names, and what may not be known."""

from math import isnan

import pytest

from stream import events as e
from stream import surveying
from stream.numbers import MISSING, WINDOWLESS, Number
from stream.playbook import Playbook
from stream.room import RoomConfig, RoomState
from stream.signals import ROOM_SIGNALS
from stream.soundings import NAMES, PUBLISHED
from tests.unit.rooms import written

START_MS = 1_760_000_000_000
SECONDS = 900


def test_each_name_has_its_place() -> None:
    """The places of the loops and the names are the same list; it is all that is published, then all signals."""
    assert [getattr(surveying, name.upper()) for name in NAMES] == list(range(surveying.N_SOUNDINGS))
    assert set(PUBLISHED) == WINDOWLESS.keys()
    assert set(NAMES) == WINDOWLESS.keys() | ROOM_SIGNALS.keys()


def show(*, leaves: bool) -> RoomState:
    """A quarter of an hour in which three come a second, one of them from ads; two leave after 40 s; two chat.

    Once a minute there is an order; the host speaks in the first second.
    """
    state = RoomState(
        "r", Playbook.load("[screen]\n", room=frozenset(), product=frozenset()), RoomConfig(lateness_ms=0)
    )
    for second in range(SECONDS):
        ts = START_MS + 1000 * second
        events: list[e.RoomEvent] = [e.HostSpeech(room="r", ts=ts, id="h", text="a")] if second == 0 else []
        for one in range(3):
            from_ = "ads" if one == 0 else None
            events.append(e.ViewerJoin(room="r", ts=ts, id=f"j{second}-{one}", user=f"{second}-{one}", from_=from_))
            if leaves and one and second >= 40:
                events.append(e.ViewerLeave(room="r", ts=ts, id=f"l{second}-{one}", user=f"{second - 40}-{one}"))
        events += [e.Chat(room="r", ts=ts, id=f"c{second}-{one}", user=f"{second}-{one}", text="a") for one in (0, 1)]
        if second % 60 == 0:
            events.append(e.OrderPaid(room="r", ts=ts, id=f"o{second}", order=f"o{second}", amount=100))
        columns = written(events)
        assert state.apply_all(columns, columns.rows[:, 0].copy()) == []
    state.advance(START_MS + 1000 * SECONDS)
    assert state.at_ms == START_MS + 1000 * SECONDS
    return state


@pytest.fixture(scope="module")
def room() -> RoomState:
    return show(leaves=True)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("online", Number(SECONDS + 80, "ok")),
        ("online_1m", Number(SECONDS + 80 - 29.5, "ok", 60 * (SECONDS + 80) - 1_770, 60)),
        ("peak_online", Number(SECONDS + 80 - 29.5, "ok", 60 * (SECONDS + 80) - 1_770, 60)),
        ("over_1min_rate_show", Number(1 / 3, "ok", 840, 2_520)),
        ("refund_rate_show", MISSING),
        ("retention_30s", Number(1.0, "ok", 360, 360)),
        ("retention_60s", Number(1 / 3, "ok", 120, 360)),
        ("retention_300s", Number(1 / 3, "ok", 120, 360)),
        ("show_s", Number(SECONDS, "ok")),
        ("online_1m_3m_ago", Number(SECONDS + 80 - 209.5, "ok", 60 * (SECONDS + 80) - 12_570, 60)),
        ("retention_60s_10m", Number(1 / 3, "ok", 600, 1_800)),
        ("retention_60s_cohort", Number(360, "ok")),
        ("orders_now", Number(1, "ok")),
        ("orders_median_10m", Number(1.0, "ok")),
        ("joins_median_10m", Number(180.0, "ok")),
        ("organic_joins_3m", Number(360, "ok")),
        ("organic_joins_base", Number(360.0, "ok")),
        ("ads_joins_3m", Number(180, "ok")),
        ("ads_joins_base", Number(180.0, "ok")),
        ("speech_age_s", Number(SECONDS, "ok")),
        ("order_age_s", Number(60, "ok")),
        ("scene_quiet", Number(0, "ok")),
        ("reactions_1m", Number(120, "ok")),
        ("reactions_expected_1m", Number(120.0, "ok")),
        ("pin_age_s", MISSING),
    ],
)
def test_soundings_of_an_even_show(room: RoomState, name: str, number: Number) -> None:
    """What can be said by counting on one's fingers."""
    assert repr(room.view().number(name)) == repr(number)


def test_a_fall_is_measured_in_its_own_noise(room: RoomState) -> None:
    """The room still grows, so it falls by less than nothing."""
    now, then = SECONDS + 80 - 29.5, SECONDS + 80 - 209.5
    assert room.view().number("online_drop_z") == Number((then - now) / (now + then) ** 0.5, "ok")


def test_what_is_looked_at_is_what_is_said(room: RoomState) -> None:
    """Values by name, of windows and soundings, in the order asked for; NaN where a number says nothing."""
    names = ("pin_age_s", "joins_1m", "retention_60s", "gifts_5m", "joins_prev10m", "orders_paid_show", "show_s")
    view = room.view()
    seen = view.seen(names)
    wanted = [view.number(name).value for name in names]

    assert [None if isnan(value) else value for value in seen.tolist()] == wanted
    assert [name for name, value in zip(names, wanted, strict=True) if value is None] == ["pin_age_s", "gifts_5m"]
    with pytest.raises(KeyError, match="joins_2m"):
        view.seen(("joins_1m", "joins_2m"))


def test_without_leaves_nobody_is_known_to_be_there() -> None:
    """No number is made up where only joins come."""
    view = show(leaves=False).view()
    missing = {name for name in NAMES if view.number(name) == MISSING}

    assert missing == {
        *("online", "online_1m", "peak_online", "online_1m_3m_ago", "online_drop_z"),
        *("over_1min_rate_show", "refund_rate_show", "pin_age_s"),
        *(name for name in NAMES if name.startswith("retention_")),
    }
    assert not_there(view.seen(NAMES)) == missing


def not_there(values: surveying.Floats) -> set[str]:
    """The names of those that are NaN."""
    return {name for name, value in zip(NAMES, values.tolist(), strict=True) if isnan(value)}
