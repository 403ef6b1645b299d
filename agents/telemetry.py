"""The worker's `/metrics`: read from the rooms it owns when asked, so a room's series go when it ends or moves.

Reading never raises: what is missing has no sample, and is never 0.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from stream.errors import OperatorError
from stream.room import RoomState
from stream.view import RoomView

disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there

GAUGES: tuple[tuple[str, str, str], ...] = (
    ("liveroom_online", "online", "People in the room now"),
    ("liveroom_online_1m", "online_1m", "Mean of online over the last minute"),
    ("liveroom_viewers_5m", "viewers_5m", "Distinct users with any event in 5 minutes"),
    ("liveroom_joins_per_minute", "inflow_per_min_1m", "Joins in the last minute"),
    ("liveroom_retention_60s_ratio", "retention_60s", "Share of new viewers who stayed 60 s"),
    ("liveroom_retention_300s_ratio", "retention_300s", "Share of new viewers who stayed 300 s"),
    ("liveroom_dwell_seconds", "dwell_s_show", "Watch time a viewer, whole show"),
    ("liveroom_chats_per_minute", "chats_per_min_1m", "Chats in the last minute"),
    ("liveroom_interaction_ratio_5m", "interaction_rate_5m", "Users who interacted over viewers, 5 minutes"),
    ("liveroom_clicks_per_minute", "clicks_1m", "Product clicks in the last minute"),
    ("liveroom_cart_ratio_10m", "cart_rate_10m", "Cart-adding users over clicking users, 10 minutes"),
    ("liveroom_pay_ratio_10m", "pay_rate_10m", "Paying users over clicking users, 10 minutes"),
    ("liveroom_orders_per_minute", "orders_now", "Orders in the last minute"),
    ("liveroom_gmv_paid_show_minor", "gmv_paid_show", "Paid in the show, minor units"),
    ("liveroom_gmv_paid_5m_minor", "gmv_paid_5m", "Paid in 5 minutes, minor units"),
    ("liveroom_gpm_10m_minor", "gpm_10m", "Paid per 1000 views, 10 minutes, minor units"),
    ("liveroom_refunded_show_minor", "refunded_show", "Paid back in the show, minor units"),
)
PRODUCTS_SHOWN = 6  # the pinned one and the five that sell out first; hundreds of series would cost every scrape
SAVE_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Telemetry:
    """What the worker counts about itself."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("liveroom_events", "Events applied", registry=registry)
        self.rejected = Counter("liveroom_rejected", "Records sent to the dead letters", ["reason"], registry=registry)
        self.prompts = Counter("liveroom_prompts", "Prompts issued", ["room", "play", "audience"], registry=registry)
        self.save_seconds = Histogram(
            "liveroom_snapshot_seconds", "Time to save the changed rooms", buckets=SAVE_BUCKETS_S, registry=registry
        )
        self.redis_up = Gauge("liveroom_redis_up", "1 while Redis answers", registry=registry)
        self._saved_at = time.monotonic()
        age = Gauge("liveroom_snapshot_age_seconds", "Time since rooms were last saved", registry=registry)
        age.set_function(lambda: time.monotonic() - self._saved_at)

    def saved(self, seconds: float) -> None:
        """Rooms were saved, which took `seconds`."""
        self.save_seconds.observe(seconds)
        self._saved_at = time.monotonic()


class RoomsCollector:
    """Reads the rooms of this worker, and how far it is behind by partition, at each scrape."""

    def __init__(self, states: Callable[[], list[RoomState]], lags: Callable[[], Mapping[int, int]]) -> None:
        self._states = states
        self._lags = lags

    def describe(self) -> Iterable[Metric]:
        """Nothing to describe ahead: the rooms are not known yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One sample a known number and room."""
        states = self._states()
        live = [(state, state.view()) for state in states if state.show is not None and state.show.ended_ms is None]
        yield from _room_gauges(live)
        yield from _product_gauges(live)
        yield _counter("liveroom_duplicates", "Events seen before", sum(state.duplicates for state in states))
        yield _counter("liveroom_late", "Events of a second already closed", sum(state.late for state in states))
        yield _counter("liveroom_stamped", "Events whose time had to be mended", sum(state.stamped for state in states))
        rooms = GaugeMetricFamily("liveroom_rooms", "Rooms on air that this worker holds")
        rooms.add_metric([], len(live))
        yield rooms
        lag = GaugeMetricFamily("liveroom_lag_records", "Records in the log not yet applied", labels=["partition"])
        for number, records in self._lags().items():
            lag.add_metric([str(number)], records)
        yield lag


Live = list[tuple[RoomState, RoomView]]


def _room_gauges(live: Live) -> Iterator[Metric]:
    for name, key, text in GAUGES:
        family = GaugeMetricFamily(name, text, labels=["room"])
        for state, view in live:
            number = view.number(key)
            if number.value is not None and number.status in ("ok", "estimated"):
                family.add_metric([state.room], number.value)
        yield family
    clock = GaugeMetricFamily("liveroom_room_time_seconds", "End of the newest closed second", labels=["room"])
    for state, view in live:
        clock.add_metric([state.room], view.at_ms / 1000)
    yield clock
    fresh = GaugeMetricFamily("liveroom_freshness_seconds", "Room time not yet closed", labels=["room"])
    for state, _ in live:
        fresh.add_metric([state.room], max(0, state.clock.now_ms - state.at_ms) / 1000)
    yield fresh


def _product_gauges(live: Live) -> Iterator[Metric]:
    stock = GaugeMetricFamily("liveroom_product_stock", "Pieces left", labels=["room", "product"])
    minutes = GaugeMetricFamily("liveroom_sell_out_minutes", "Minutes to sell-out", labels=["room", "product"])
    for state, view in live:
        stocked = []
        for product in state.tally.shelf.stocks:
            left, sell_out = view.product_number(product, "stock"), view.product_number(product, "sell_out_min")
            first = product != view.pinned
            stocked.append(
                (first, sell_out.value is None, sell_out.value or 0, left.value or 0, product, left, sell_out)
            )
        for *_, product, left, sell_out in sorted(stocked, key=lambda row: row[:5])[:PRODUCTS_SHOWN]:
            if left.value is not None:
                stock.add_metric([state.room, product], left.value)
            if sell_out.value is not None:
                minutes.add_metric([state.room, product], sell_out.value)
    yield stock
    yield minutes


def _counter(name: str, text: str, value: float) -> Metric:
    family = CounterMetricFamily(name, text)
    family.add_metric([], value)
    return family


class _One:
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        """It."""
        return (self._family,)


async def exposition(registry: CollectorRegistry) -> bytes:
    """The text of a scrape, family by family: with thousands of rooms it takes half a second, and events go first."""
    end = b"# EOF\n"
    parts: list[bytes] = []
    for family in registry.collect():
        text: bytes = openmetrics(_One(family))  # type: ignore[no-untyped-call]  # untyped there
        parts.append(text.removesuffix(end))
        await asyncio.sleep(0)
    return b"".join(parts) + end


async def serve(registry: CollectorRegistry, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Start `/metrics` and `/healthz`; returns what to clean up and the address. Raises OperatorError."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await exposition(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise OperatorError(
            f"cannot serve /metrics on {host}:{port} ({error.strerror or error}); "
            "end what uses that port, or set LIVEROOM_METRICS_PORT to another (0: any free one)"
        ) from None
    bound = runner.addresses[0]
    return runner, f"http://{bound[0]}:{bound[1]}/metrics"
