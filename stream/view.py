"""The room at the end of a second: its numbers and signals, computed when asked, and the whole line."""

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
import numpy as np

from stream import series as s
from stream import surveying
from stream.baseline import fall_z
from stream.catalogue import Product, RundownItem
from stream.loops import Ints
from stream.numbers import ALL, BY_KEY, MISSING, Known, Number, Totals, online_mean, worst
from stream.shelf_numbers import ProductView
from stream.sources import Silence
from stream.split_numbers import part_line
from stream.surveying import ONE, SECONDS
from stream.tables import PLANNED, Table, table_of
from stream.tally import Tally
from stream.windows import WINDOWS_S
from stream.worst import BENCHMARKS, NOW, Worst, below

COHORT_MIN = 20  # a share of fewer viewers is noise
COHORT_S = 120  # a retention cohort is two minutes of joins
PREVIOUS_S = 600
FOREVER_S = 1 << 40
_IN_NUMBERS = np.array([one not in (s.LIKE_MESSAGES, s.BEGAN, *s.SHORT.values()) for one in range(s.N_SERIES)])
_ROW = {window: row for row, window in enumerate(WINDOWS_S)}


class Line(msgspec.Struct, frozen=True):
    """Every number of a room at `at_ms`, where all windows end (exclusive).

    Of products and parts (`splits`, by `kind=value`) only what is known. `worst` holds the one number of the last ten
    minutes furthest below its benchmark (none where all is well), `worst_show` the three of the show.
    """

    room: str
    at_ms: int
    numbers: dict[str, Number]
    products: dict[str, dict[str, Number]]
    splits: dict[str, dict[str, Number]] = {}
    worst: list[Worst] = []
    worst_show: list[Worst] = []


class Before:
    """The 10-minute sums of each of the last 600 seconds and what was known then: the line of 600 s ago, verbatim."""

    __slots__ = ("_known", "_sums", "start_s")

    def __init__(self) -> None:
        self.start(0)

    def start(self, second: int) -> None:
        """A new show begins at `second`: there is no line before."""
        self._sums = np.zeros((s.N_SERIES, PREVIOUS_S + 1), np.int64)  # new: memory never written costs nothing
        self._known: list[tuple[int, Known, int]] = []  # from which second's end, what, the show's beginning
        self.start_s = second

    def keep(self, tally: Tally) -> None:
        """Remember the second just closed."""
        end_s = tally.buckets.end_s
        surveying.keep(self._sums, end_s % (PREVIOUS_S + 1), tally.buckets.totals, _IN_NUMBERS)
        self._learn(end_s, tally.known)

    def fill(self, tally: Tally) -> None:
        """After seconds were skipped: all of the last 600 were alike."""
        self._sums[:] = np.where(_IN_NUMBERS, tally.buckets.totals[_ROW["10m"]], 0)[:, None]
        self._learn(tally.buckets.end_s - PREVIOUS_S, tally.known)

    def _learn(self, end_s: int, known: Known) -> None:
        if not self._known or self._known[-1][1] is not known:
            self._known.append((end_s, known, self.start_s))
            while len(self._known) > 1 and self._known[1][0] <= end_s - PREVIOUS_S:
                del self._known[0]

    def line(self, end_s: int) -> tuple[Ints, int, Known] | None:
        """The 10-minute sums of the line at `end_s` - 600, its length in seconds and what was known; None before it."""
        then_s = end_s - PREVIOUS_S
        if then_s <= self.start_s or not self._known:
            return None
        known = next((known for from_s, known, _ in reversed(self._known) if from_s <= then_s), None)
        if known is None:
            return None
        return self._sums[:, then_s % (PREVIOUS_S + 1)], min(PREVIOUS_S, then_s - self.start_s), known

    def snapshot(self) -> list[object]:
        """What is remembered as plain data."""
        rows, columns = np.nonzero(self._sums)
        cells = [rows.tolist(), columns.tolist(), self._sums[rows, columns].tolist()]
        return [self.start_s, cells, msgspec.to_builtins(self._known)]

    def restore(self, state: list[object]) -> None:
        """As it stood when `state` was taken."""
        start_s, (rows, columns, values), known = msgspec.convert(
            state, tuple[int, tuple[list[int], list[int], list[int]], list[tuple[int, Known, int]]]
        )
        self.start(start_s)
        self._sums[rows, columns] = values
        self._known = known


class RoomView:
    """`stream.signals.Signals` of one room: made anew for each second that is looked at."""

    def __init__(
        self,
        room: str,
        tally: Tally,
        before: Before,
        catalogue: Mapping[str, Product],
        rundown: tuple[RundownItem, ...],
        show_ms: int,
        peak: tuple[int, int],
        benchmarks: Mapping[str, float] = BENCHMARKS,
    ) -> None:
        self.room = room
        self.at_ms = tally.buckets.end_s * 1000
        self.catalogue = catalogue
        self.rundown = rundown
        self.show_ms = show_ms
        self._tally = tally
        self._before = before
        self._peak = peak
        self._benchmarks = benchmarks
        self._windows: dict[str, Totals | None] = {}
        self._numbers: dict[str, Number] = {}

    @property
    def pinned(self) -> str | None:
        """The product the host is at."""
        return self._tally.shelf.pinned

    def silent(self) -> tuple[Silence, ...]:
        """Declared sources that have fallen silent."""
        return self._tally.silent

    def products(self) -> Iterable[str]:
        """Products with anything known of them, in order of appearance."""
        return self._tally.shelf.numbers

    @property
    def known(self) -> Known:
        """What may be known; the same object as long as that does not change."""
        return self._tally.known

    def product_mark(self, product: str) -> int | None:
        """The same as before: so is the product's line, where what is known is too. None: nobody can say."""
        return ProductView(self._tally.shelf, product, self._tally.known, self.at_ms).mark()

    def product_number(self, product: str, name: str) -> Number:
        """A number of the product by its key, or one of PRODUCT_SIGNALS. Raises KeyError for another name."""
        return ProductView(self._tally.shelf, product, self._tally.known, self.at_ms).number(name)

    def number(self, name: str) -> Number:
        """A number by its key, or one of ROOM_SIGNALS. Raises KeyError for another name."""
        number = self._numbers.get(name)
        if number is None:
            entry = BY_KEY.get(name)
            number = _WINDOWLESS[name](self) if entry is None else self._windowed(name, entry[1])
            self._numbers[name] = number
        return number

    def _windowed(self, name: str, window: str) -> Number:
        totals = self.totals(window)
        flat = None if totals is None else PLANNED[window].of(totals.known).get(name)
        return MISSING if totals is None or flat is None else flat(totals.sums, totals.seconds)

    def totals(self, window: str) -> Totals | None:
        """The sums of a window that ends now; None for `prev10m` where there is none."""
        if window not in self._windows:
            self._windows[window] = self._totals(window)
        return self._windows[window]

    def _totals(self, window: str) -> Totals | None:
        tally, end_s = self._tally, self._tally.buckets.end_s
        elapsed_s = end_s - self._before.start_s
        if window == "prev10m":
            before = self._before.line(end_s)
            return before and Totals(before[0].tolist(), *before[1:])
        if window == "show":
            return Totals(tally.show_sums().tolist(), elapsed_s, tally.known, True)
        sums: list[int] = tally.buckets.totals[_ROW[window]].tolist()
        return Totals(sums, min(WINDOWS_S[window], elapsed_s), tally.known)

    def numbers(self) -> dict[str, Number]:
        """All numbers by their keys; at half the cost of asking for each."""
        numbers = _NOTHING_KNOWN.copy()
        for window, planned in PLANNED.items():
            totals = self.totals(window)
            if totals is not None:
                sums, seconds = totals.sums, totals.seconds
                for key, flat in planned.of(totals.known).items():
                    numbers[key] = flat(sums, seconds)
        return numbers | self.windowless()

    def windowless(self) -> dict[str, Number]:
        """The numbers of no window, by their keys."""
        return {name: self.number(name) for name in PUBLISHED_WINDOWLESS}

    def table(self) -> Table:
        """The numbers of all windows, as columns."""
        tally, end_s = self._tally, self._tally.buckets.end_s
        elapsed_s, before = end_s - self._before.start_s, self._before.line(end_s)
        rows = _NO_SUMS.copy()
        rows[: len(WINDOWS_S), : s.N_SERIES] = tally.buckets.totals
        rows[-1, : s.N_SERIES] = tally.show_sums()
        rows[:, SECONDS] = np.minimum(_SECONDS, elapsed_s)
        if before is not None:
            rows[_PREVIOUS, : s.N_SERIES], rows[_PREVIOUS, SECONDS] = before[:2]
        return table_of(rows, tally.known, None if before is None else before[2])

    def line(self, every_product: bool = False) -> Line:
        """All numbers, and those of the products with something in their windows, or of every."""
        return msgspec.structs.replace(self.beside(every_product), numbers=self.numbers())

    def beside(self, every_product: bool = False, without: Collection[str] = ()) -> Line:
        """What the line has beside the numbers of the room, of which it has none here; `without` these products."""
        products = self.products_alive(every_product)
        return Line(
            self.room,
            self.at_ms,
            {},
            self.product_lines([product for product in products if product not in without] if without else products),
            self.split_lines(),
            below(self.number, self._benchmarks, NOW, 1),
            below(self.number, self._benchmarks, "show", 3),
        )

    def split_lines(self) -> dict[str, dict[str, Number]]:
        """Every known number of each part of the room."""
        splits, known = self._tally.splits, self._tally.known
        return {part: part_line(splits, part, known) for part in splits.panes.place_of}

    def product_lines(self, products: Iterable[str]) -> dict[str, dict[str, Number]]:
        """Every known number of each of `products`."""
        tally = self._tally
        return {product: ProductView(tally.shelf, product, tally.known, self.at_ms).line() for product in products}

    def products_alive(self, every: bool) -> list[str]:
        """Products with something in their windows, the pinned one and those just heard of; or all of them."""
        shelf, end_s = self._tally.shelf, self._tally.buckets.end_s
        if every:
            return list(shelf.touched_s)
        floor = end_s - WINDOWS_S["10m"]
        return [product for product, second in shelf.touched_s.items() if second >= floor or product == shelf.pinned]

    # --- signals

    def _online(self) -> Number:
        tally = self._tally
        online = tally.people_now()
        if online is None:
            return MISSING
        status = tally.known.status(("viewer.count",) if tally.online.value is not None else ("viewer.leave",))
        return Number(online, status if tally.known.readable else worst(status, "estimated"))

    def _online_1m(self, ago_s: int = 0) -> Number:
        buckets, end_s = self._tally.buckets, self._tally.buckets.end_s - ago_s
        if ago_s == 0:
            totals = self.totals("1m")
            return MISSING if totals is None else online_mean(totals)
        known = buckets.between(s.ONLINE_KNOWN, end_s - 60, end_s)
        if known < 60:
            return MISSING
        people = buckets.between(s.ONLINE, end_s - 60, end_s)
        return Number(people / known, self._online_1m().status, people, known)

    def _online_drop_z(self) -> Number:
        now, then = self.number("online_1m"), self.number("online_1m_3m_ago")
        if now.value is None or then.value is None:
            return MISSING
        z = fall_z(now.value, then.value)
        return MISSING if z is None else Number(z, worst(now.status, then.status))

    def _peak_online(self) -> Number:
        people, seconds = self._peak
        status = self.number("online_1m").status
        return MISSING if not seconds or status == "missing" else Number(people / seconds, status, people, seconds)

    def _retention(self, n: int, cohort_s: int = COHORT_S) -> Number:
        known, buckets = self._tally.known, self._tally.buckets
        if "viewer.join" not in known.seen:
            return MISSING
        end_s = buckets.end_s - n
        if "viewer.leave" not in known.seen or known.masked:
            return self._retention_estimate(n)
        start_s = max(end_s - cohort_s, self._before.start_s)
        began = buckets.between(s.BEGAN, start_s, end_s)
        if began < COHORT_MIN:
            return Number(None, "missing", None, began)
        stayed = began - buckets.between(s.SHORT[n], start_s, end_s)
        return Number(stayed / began, known.status(("viewer.join", "viewer.leave")), stayed, began)

    def _retention_estimate(self, n: int) -> Number:
        """1 - leaves / (online at T-N + joins since), leaves = joins less the rise of online; no cohort is known."""
        tally, end_s = self._tally, self._tally.buckets.end_s
        now = tally.people_now()
        if now is None or not tally.buckets.between(s.ONLINE_KNOWN, end_s - n - 1, end_s - n):
            return MISSING
        then = tally.buckets.between(s.ONLINE, end_s - n - 1, end_s - n)
        joins = tally.buckets.between(s.JOINS, end_s - n, end_s)
        base = then + joins
        if base < COHORT_MIN:
            return Number(None, "missing", None, base)
        stayed = base - max(0, joins - (now - then))
        status = worst("estimated", tally.known.status(("viewer.count",)), tally.known.status(("viewer.join",)))
        return Number(stayed / base, status, stayed, base)

    def _median(self, series: Ints, minutes_ago: int, needs: tuple[str, ...], times: int = 1) -> Number:
        """`times` the median over the ten minutes that ended `minutes_ago` minutes ago; missing in a younger show."""
        tally = self._tally
        status = tally.known.status(needs)
        end_s = tally.buckets.end_s - 60 * minutes_ago
        level = tally.buckets.usual(series, _NONE, end_s, min(10, (end_s - self._before.start_s) // 60))
        return MISSING if status == "missing" or level is None else Number(times * level, status)

    def _organic(self, ago_minutes: int, times: int) -> Number:
        tally, buckets = self._tally, self._tally.buckets
        status = tally.known.status(("viewer.join",))
        end_s = buckets.end_s - 60 * ago_minutes
        if status == "missing" or end_s - 600 < self._before.start_s:
            return MISSING
        level = buckets.usual(_JOINS, _ADS, end_s, 10)
        return MISSING if level is None else Number(times * level, status)

    def _sum(self, minutes: int, needs: tuple[str, ...], *series: int) -> Number:
        buckets, end_s = self._tally.buckets, self._tally.buckets.end_s
        status = self._tally.known.status(needs)
        if status == "missing":
            return MISSING
        minute = self.totals("1m") if minutes == 1 else None
        if minute is not None:
            return Number(sum([minute.sums[one] for one in series]), status)
        return Number(sum(buckets.between(one, end_s - 60 * minutes, end_s) for one in series), status)

    def _organic_now(self) -> Number:
        every, ads = self._sum(3, ("viewer.join",), s.JOINS), self._sum(3, ("viewer.join",), s.JOINS_ADS)
        if every.value is None or ads.value is None:
            return MISSING
        return Number(every.value - ads.value, every.status)

    def _order_series(self) -> tuple[Ints, tuple[str, ...]]:
        if "order.created" in self._tally.known.seen:
            return _CREATED, ("order.created",)
        return _PAID, ("order.paid",)

    def _orders_now(self) -> Number:
        series, needs = self._order_series()
        return self._sum(1, needs, *series)

    def _orders_median(self) -> Number:
        series, needs = self._order_series()
        return self._median(series, 1, needs)

    def _age(self, since_ms: int | None, needs: tuple[str, ...]) -> Number:
        status = self._tally.known.status(needs)
        if since_ms is None or status == "missing":
            return MISSING
        return Number(max(0, self.at_ms - since_ms) // 1000, status)

    def _over_1min(self) -> Number:
        known, buckets = self._tally.known, self._tally.buckets
        if "viewer.join" not in known.seen or "viewer.leave" not in known.seen or known.masked:
            return MISSING
        end_s = buckets.end_s
        began = int(buckets.show[s.BEGAN]) - buckets.between(s.BEGAN, end_s - 60, end_s)
        short = int(buckets.show[s.SHORT_60]) - buckets.between(s.SHORT_60, end_s - 60, end_s)
        if began == 0:
            return Number(None, "missing", 0, 0)
        return Number((began - short) / began, known.status(("viewer.join", "viewer.leave")), began - short, began)

    def _refund_rate(self) -> Number:
        paid = self.number("orders_paid_show")
        if paid.value is None or "order.refunded" not in self._tally.known.seen:
            return MISSING
        refunded, orders = self._tally.refunded_paid, int(paid.value)
        if orders == 0:
            return Number(None, "missing", refunded, 0)
        return Number(refunded / orders, paid.status, refunded, orders)

    def _pin_age(self) -> Number:
        shelf = self._tally.shelf
        return MISSING if shelf.pinned is None else Number(max(0, self.at_ms - shelf.pin_ts) // 1000, "ok")

    def _cohort(self) -> Number:
        number = self.number("retention_60s")
        return (
            MISSING if number.den is None else Number(number.den, "estimated" if number.status == "estimated" else "ok")
        )


_NOTHING_KNOWN = {key: MISSING for planned in PLANNED.values() for key, _ in planned.makes}
_PREVIOUS = ALL.index("prev10m")
_SECONDS = np.array([WINDOWS_S.get(window, FOREVER_S) for window in ALL])
_NO_SUMS = np.zeros((len(ALL), s.N_SERIES + 3), np.int64)
_NO_SUMS[:, ONE] = 1
_REACTIONS = ("chat", "like")
_NONE, _JOINS, _ADS, _REACTING, _CREATED, _PAID = (
    np.array(series, np.int64)
    for series in (
        [],
        [s.JOINS],
        [s.JOINS_ADS],
        [s.CHATS, s.LIKE_MESSAGES],
        [s.ORDERS_CREATED, s.NAMELESS_CREATED],
        [s.ORDERS_PAID, s.NAMELESS_PAID],
    )
)
_WINDOWLESS: Mapping[str, Callable[[RoomView], Number]] = {
    "online": RoomView._online,
    "online_1m": RoomView._online_1m,
    "peak_online": RoomView._peak_online,
    "over_1min_rate_show": RoomView._over_1min,
    "refund_rate_show": RoomView._refund_rate,
    "retention_30s": lambda view: view._retention(30),
    "retention_60s": lambda view: view._retention(60),
    "retention_180s": lambda view: view._retention(180),
    "retention_300s": lambda view: view._retention(300),
    "show_s": lambda view: Number(max(0, view.at_ms - view.show_ms) // 1000, "ok"),
    "online_1m_3m_ago": lambda view: view._online_1m(180),
    "online_drop_z": RoomView._online_drop_z,
    "retention_60s_10m": lambda view: view._retention(60, 600),
    "retention_60s_cohort": RoomView._cohort,
    "orders_now": RoomView._orders_now,
    "orders_median_10m": RoomView._orders_median,
    "joins_median_10m": lambda view: view._median(_JOINS, 1, ("viewer.join",)),
    "organic_joins_3m": RoomView._organic_now,
    "organic_joins_base": lambda view: view._organic(5, 3),
    "ads_joins_3m": lambda view: view._sum(3, ("viewer.join",), s.JOINS_ADS),
    "ads_joins_base": lambda view: view._median(_ADS, 5, ("viewer.join",), 3),
    "speech_age_s": lambda view: view._age(view._tally.speech_ms, ("host.speech",)),
    "order_age_s": lambda view: view._age(view._tally.order_ms, ("order.created", "order.paid")),
    "scene_quiet": lambda view: Number(int(view._tally.quiet_scene), "ok"),
    "reactions_1m": lambda view: view._sum(1, _REACTIONS, s.CHATS, s.LIKE_MESSAGES),
    "reactions_expected_1m": lambda view: view._median(_REACTING, 1, _REACTIONS),
    "pin_age_s": RoomView._pin_age,
}
PUBLISHED_WINDOWLESS = (
    "online",
    "online_1m",
    "peak_online",
    "over_1min_rate_show",
    "refund_rate_show",
    "retention_30s",
    "retention_60s",
    "retention_180s",
    "retention_300s",
)
