"""The room at the end of a second: its numbers and signals, computed when asked, and the whole line."""

from collections.abc import Collection, Iterable, Mapping

import msgspec
import numpy as np

from stream import series as s
from stream import surveying
from stream.catalogue import Product, RundownItem
from stream.loops import Ints
from stream.memory import lazy_zeros
from stream.numbers import BY_KEY, MISSING, Known, Number, Totals
from stream.shelf_numbers import ProductView
from stream.soundings import PUBLISHED, Soundings, sound
from stream.sources import Silence
from stream.split_numbers import part_line
from stream.surveying import Floats
from stream.tables import PLANNED, Table, choice, table_of
from stream.tally import Tally
from stream.windows import WINDOWS_S
from stream.worst import BENCHMARKS, NOW, Worst, below

PREVIOUS_S = 600
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

    __slots__ = ("_known", "start_s", "sums")

    def __init__(self) -> None:
        self.start(0)

    def start(self, second: int) -> None:
        """A new show begins at `second`: there is no line before."""
        self.sums = lazy_zeros(s.N_SERIES, PREVIOUS_S + 1)
        self._known: list[tuple[int, Known, int]] = []  # from which second's end, what, the show's beginning
        self.start_s = second

    def keep(self, tally: Tally) -> None:
        """Remember the second just closed."""
        end_s = tally.buckets.end_s
        surveying.keep(self.sums, end_s % (PREVIOUS_S + 1), tally.buckets.totals, _IN_NUMBERS)
        self._learn(end_s, tally.known)

    def fill(self, tally: Tally) -> None:
        """After seconds were skipped: all of the last 600 were alike."""
        self.sums[:] = np.where(_IN_NUMBERS, tally.buckets.totals[_ROW["10m"]], 0)[:, None]
        self._learn(tally.buckets.end_s - PREVIOUS_S, tally.known)

    def _learn(self, end_s: int, known: Known) -> None:
        if not self._known or self._known[-1][1] is not known:
            self._known.append((end_s, known, self.start_s))
            while len(self._known) > 1 and self._known[1][0] <= end_s - PREVIOUS_S:
                del self._known[0]

    def line(self, end_s: int) -> tuple[int, int, Known] | None:
        """Of the line at `end_s` - 600 its column of `sums`, its length in seconds and what was known, or None."""
        then_s = end_s - PREVIOUS_S
        if then_s <= self.start_s or not self._known:
            return None
        from_s, known, _ = self._known[0]
        if from_s > then_s:
            return None
        if len(self._known) > 1:
            known = next(known for from_s, known, _ in reversed(self._known) if from_s <= then_s)
        return then_s % (PREVIOUS_S + 1), min(PREVIOUS_S, then_s - self.start_s), known

    def snapshot(self) -> list[object]:
        """What is remembered as plain data."""
        rows, columns = np.nonzero(self.sums)
        cells = [rows.tolist(), columns.tolist(), self.sums[rows, columns].tolist()]
        return [self.start_s, cells, msgspec.to_builtins(self._known)]

    def restore(self, state: list[object]) -> None:
        """As it stood when `state` was taken."""
        start_s, (rows, columns, values), known = msgspec.convert(
            state, tuple[int, tuple[list[int], list[int], list[int]], list[tuple[int, Known, int]]]
        )
        self.start(start_s)
        self.sums[rows, columns] = values
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
        self._sounded: Soundings | None = None
        self._summed: tuple[Ints, Known | None] | None = None

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
            number = self.soundings().number(name) if entry is None else self._windowed(name, entry[1])
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
            return before and Totals(self._before.sums[:, before[0]].tolist(), *before[1:])
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
        return numbers | {name: self.number(name) for name in PUBLISHED}

    def table(self) -> Table:
        """The numbers of all windows, as columns."""
        rows, then = self._rows()
        return table_of(rows, self._tally.known, then)

    def seen(self, names: tuple[str, ...]) -> Floats:
        """The values behind names, NaN for those that are missing or stale. Raises KeyError for another name."""
        rows, then = self._rows()
        cells, places, to = choice(names, self._tally.known, then)
        values, sounded, hidden = np.empty(len(names)), _NONE, _NONE
        if len(places):
            sounded, hidden = self.soundings().values, self.soundings().certainty.hidden
        surveying.pick(rows, cells, sounded, hidden, places, to, values)
        return values

    def soundings(self) -> Soundings:
        """The numbers of no window and the signals, as columns."""
        if self._sounded is None:
            self._sounded = sound(self._tally, self._before.start_s, self.show_ms, self._peak)
        return self._sounded

    def _rows(self) -> tuple[Ints, Known | None]:
        """The sums of all windows for loops; and what was known at the line before, if there was one."""
        if self._summed is None:
            tally, buckets, kept = self._tally, self._tally.buckets, self._before.sums
            before, people, orders = self._before.line(buckets.end_s), tally.people, tally.orders
            slot, kept_s, then = before or (-1, 0, None)
            told, firsts = (buckets.end_s - self._before.start_s, slot, kept_s), (people.first, orders.first)
            rows = surveying.rows_of(buckets.totals, buckets.show, people.count, orders.count, firsts, kept, told)
            if tally.online.total is not None:
                rows[-1, s.VIEW_RISE] = tally.online.total
            self._summed = rows, then
        return self._summed

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


_NOTHING_KNOWN = {key: MISSING for planned in PLANNED.values() for key, _ in planned.makes}
_NONE: Floats = np.empty(0)
