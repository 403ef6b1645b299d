"""One room: events in, lines, prompts and recaps out. The state always stands at the end of a closed second.

The second T is closed once room time reaches T + 1 s + lateness. Until then its events wait; closing applies them
sorted by event time, ties in log order, in one pass. A straggler is applied at once and counted as late.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from stream import events as e
from stream.catalogue import Product, RundownItem
from stream.clock import LAST_MS
from stream.columns import Columns
from stream.desk import Desk
from stream.entrance import Entrance
from stream.loops import Ints
from stream.playbook import Playbook
from stream.prompts import OfferProgress, Prompt, PromptState
from stream.recap import Recap
from stream.show import Show, recap
from stream.tally import Tally
from stream.view import Before, Line, RoomView
from stream.waiting import TOLD, Moment, Waiting
from stream.worst import BENCHMARKS

NEVER_MS = 1 << 62
ALIVE_S = 1_200  # after the last event: the ten minutes, and the ten before them, still change


class RoomConfig(msgspec.Struct, frozen=True):
    """What a room does not learn from its events. `line_every_s` 0: lines only when asked."""

    lateness_ms: int = 3_000
    language: str = "zh"
    online_source: str | None = None
    sources: frozenset[str] = frozenset()
    line_every_s: int = 0
    benchmarks: Mapping[str, float] = msgspec.field(default_factory=lambda: dict(BENCHMARKS))


class Said(msgspec.Struct, frozen=True):
    """Something for a screen; `id` is `<ms>-<n>`, rising within a room and the same whenever it is computed again."""

    id: str
    what: Prompt | PromptState | OfferProgress


class ShowEnded(msgspec.Struct, frozen=True):
    """A show is over, or another one begins in its room; `recap` is final but for later refunds."""

    recap: Recap


Output = Line | Said | ShowEnded


class RoomState:
    """A room from its first event on. Feed it with `apply` and `advance`, take what it says with `drain`."""

    def __init__(
        self, room: str, playbook: Playbook, config: RoomConfig, watch: Callable[[RoomView], None] | None = None
    ) -> None:
        self.room = room
        self._watch = watch  # is shown the room after every second, but for those that are skipped
        self.config = config
        self._entrance = Entrance()
        self.clock = self._entrance.clock
        self.tally = Tally(config.online_source, config.sources, self._entrance.waiting)
        self.desk = Desk(room, playbook, config.language)
        self.show: Show | None = None
        self.late = 0
        self.foreign = 0  # stragglers of an earlier show, which no longer stands open
        self.closed = 0
        self._before = Before()
        self._started = False  # whether any second was closed
        self._due_ms = NEVER_MS  # room time at which there is a second to close
        self._last_event_s = 0
        self._catalogue: dict[str, Product] = {}
        self._rundown: tuple[RundownItem, ...] = ()
        self._out: list[Output] = []
        self._said = (0, 0)
        self._early: list[Prompt] = []  # asked for and given before any second was closed
        self._ended_now = False
        self._lined_s = 0
        self._final_s = -1
        self._view: RoomView | None = None  # as long as nothing changes

    # --- in

    def apply(self, event: e.RoomEvent, arrived_ms: int) -> bool:
        """Take one event that arrived at `arrived_ms`; False when it is a duplicate.

        Raises RejectedEvent, with the room unharmed, when its time or currency cannot be meant.
        """
        self._move_on(arrived_ms)
        clock, admitted = self.clock, self._entrance.admit(event)
        if admitted is None:
            return False
        ts, kind = admitted.ts, type(admitted)
        if kind in Desk.ARRIVES:
            clock.see(ts)
            self._answer(admitted)
        if ts >= clock.newest_ms:
            clock.see(ts)
        if ts // 1000 < self.tally.buckets.end_s:
            self._straggler(admitted, ts // 1000)
            return True
        self._waiting.add(admitted)
        self._due_ms = min(self._due_ms, (ts // 1000 + 1) * 1000 + self.config.lateness_ms)
        return True

    def apply_all(self, events: Columns, arrived: Ints) -> list[tuple[int, Exception]]:
        """As `apply` for each event and its arrival in turn, at a fraction of the cost.

        Returns the places of those that could not be taken, each with its RejectedEvent, or with a fault of ours.
        """
        faults: list[tuple[int, Exception]] = []
        arrived, place = np.minimum(arrived, LAST_MS), 0
        while True:
            try:
                place, self._due_ms = self._entrance.flow(
                    events, arrived, place, self.at_ms, self._due_ms, self.config.lateness_ms
                )
                if place == len(events):
                    return faults
                if self._move_on(int(arrived[place])):
                    continue
                self.apply(events.event(place), int(arrived[place]))
            except Exception as error:
                faults.append((place, error))
            place += 1

    def _move_on(self, arrived_ms: int) -> bool:
        """An event arrives at `arrived_ms`: what has to happen before it comes in. Does anything?"""
        clock = self.clock
        clock.arrive(arrived_ms)
        closed = self.closed
        if clock.now_ms >= self._due_ms:
            self._close_due()
        return self._entrance.seen.move_to(clock.now_ms // 1000) or self.closed > closed

    def advance(self, now_ms: int) -> None:
        """Time has passed until `now_ms` (of the arrival clock); close what is due."""
        self.clock.arrive(now_ms)
        if self.clock.now_ms >= self._due_ms:
            self._close_due()

    def finish(self) -> None:
        """No more events will come: close every waiting second; with lines on, say the last one."""
        last_s = self._waiting.last_s()
        if last_s is not None:
            self._final_s = last_s
            self._close_until(self._final_s + 1)
        if self.config.line_every_s and self._started and self._lined_s != self.tally.buckets.end_s:
            self._say_line(every_product=True)

    def _straggler(self, event: e.RoomEvent, second: int) -> None:
        if self.show is not None and event.ts < self.show.show_ms and not isinstance(event, e.RoomStart):
            self.foreign += 1
            return
        self.late += 1
        self._take(self._waiting.moment(event), second)

    # --- closing

    def _close_due(self) -> None:
        due_s = (self.clock.now_ms - self.config.lateness_ms) // 1000
        if due_s > self.tally.buckets.end_s:
            self._close_until(due_s)
        self._set_due()

    def _set_due(self) -> None:
        """When the next second is to be closed: the next one, or where nothing is alive the first one waiting."""
        second = self.tally.buckets.end_s
        if not self._started or self._asleep(second):
            first_s = self._waiting.first_s()
            if first_s is None:
                self._due_ms = NEVER_MS
                return
            second = first_s if not self._started else second
        self._due_ms = (second + 1) * 1000 + self.config.lateness_ms

    def _close_until(self, due_s: int) -> None:
        waiting, buckets = self._waiting, self.tally.buckets
        while buckets.end_s < due_s:
            if not self._started:
                first_s = waiting.first_s()
                if first_s is None or first_s >= due_s:
                    return
                self._start_show(waiting.first_ms(), first_s)
            if self._asleep(buckets.end_s):
                first_s = waiting.first_s()
                if first_s is None:
                    return
                next_s = min(due_s, first_s)
                if next_s - buckets.end_s > ALIVE_S:
                    self._skip(next_s - buckets.end_s)
                    continue
            self._close_second(buckets.end_s)

    def _asleep(self, second: int) -> bool:
        """Whether no window, hold or timer is alive at `second`."""
        return second - self._last_event_s > ALIVE_S and second * 1000 > self.desk.idle_after_ms()

    def _skip(self, seconds: int) -> None:
        self._view = None
        self.tally.shelf.panes.skip(seconds)
        self.tally.splits.panes.skip(seconds)
        self.tally.buckets.skip(seconds, self.tally.still())
        self._before.fill(self.tally)

    def _close_second(self, second: int) -> None:
        tally = self.tally
        tally.begin_second()
        moment = self._waiting.take(second)
        if moment is not None:
            self._last_event_s = second
            self._take(moment, second)
        tally.end_second()
        self._before.keep(tally)
        self.closed += 1
        if self.show is not None:
            self.show.watch_peak(tally)
        self._view = None
        self.desk.decide(self.view())
        self._collect()
        if self._ended_now:
            self._ended_now = False
            self._out.append(ShowEnded(self.recap()))
        every_s = self.config.line_every_s
        if every_s and (second + 1) % every_s == 0 and second - self._last_event_s < ALIVE_S:
            self._say_line(every_product=second == self._final_s)
        if self._watch is not None:
            self._watch(self.view())

    def _take(self, moment: Moment, second: int) -> None:
        """Events of one second; where a show begins among them they are parted."""
        self._view, told = None, moment.pane.get(TOLD)
        for start in [event for event in told if type(event) is e.RoomStart] if told else ():
            if self.show is None or start.ts > self.show.show_ms:
                self._take_part(moment.take_before(start.ts), second)
                self._start_show(start.ts, second, moment)
            elif not self.show.started:  # events came in before the start they belong to
                self.show.show_ms = start.ts
        self._take_part(moment, second)

    def _take_part(self, moment: Moment, second: int) -> None:
        if not len(moment.rows):
            return
        self.tally.take(moment, second)
        end_ms = (second + 1) * 1000
        for event in moment.pane.get(TOLD, ()):
            if type(event) in _MATTER:
                self._matter(event, end_ms)
        if self.desk.counts_sales:
            for sale in self.tally.sales(moment.rows):
                self.desk.sold(sale, end_ms)

    def _matter(self, event: e.RoomEvent, end_ms: int) -> None:
        """Events that are more than a count, of the second that ends at `end_ms`."""
        kind = type(event)
        if kind is e.RoomEnd and self.show is not None and self.show.ended_ms is None:
            self._ended_now = True
        elif kind is e.CatalogueSet:
            assert isinstance(event, e.CatalogueSet)
            self._catalogue = {}
            for product in event.products:  # of several variants the first names the product
                self._catalogue.setdefault(product.product, product)
            self.tally.shelf.know(event.products)
        elif kind is e.RundownSet:
            assert isinstance(event, e.RundownSet)
            self._rundown = tuple(sorted(event.items, key=attrgetter("order")))
        if kind in self.desk.LISTENS:
            self.desk.take(event, end_ms)
        if kind in _TOLD and self.show is not None:
            self.show.take(event)

    def _start_show(self, show_ms: int, second: int, moment: Moment | None = None) -> None:
        """A show begins at `show_ms`; from here on everything counts for it, first what is left in `moment`."""
        buckets = self.tally.buckets
        closing = buckets.edge_s > buckets.end_s
        start_s = second if not self._started else buckets.end_s
        if self.show is not None:
            if closing:
                self.tally.end_second()
            self._collect()
            if self.show.started or not self.tally.known.seen <= _BEFORE_A_SHOW:
                self._out.append(ShowEnded(self.recap()))
            self._entrance.seen.start_show()
        self._waiting.forget(*([] if moment is None else [moment.rows]))
        self.tally.start_show(start_s)
        self._before.start(start_s)
        self._started, self._view = True, None  # the recap had a view of the show before
        self._due_ms = 0  # look at once
        if closing:
            self.tally.begin_second()
        self.show = Show(self.room, show_ms)
        for prompt in self._early:
            self.show.prompted(prompt)
        self._early = []
        self.desk.start_show(show_ms)
        self._last_event_s = start_s

    # --- out

    def _answer(self, event: e.RoomEvent) -> None:
        """Plays on arrival do not wait for the second."""
        if self.show is None and not self._early:
            self.desk.start_show(event.ts)  # its show begins when its first second is closed
        self.desk.arrive(event, max(self.tally.buckets.end_s * 1000, event.ts))
        self._collect()

    def _collect(self) -> None:
        for output in self.desk.drain():
            at_ms = output.issued_ms if isinstance(output, Prompt) else output.at_ms
            self._out.append(Said(self._next_id(at_ms), output))
            if self.show is None:
                self._early += [output] if isinstance(output, Prompt) else []
            elif isinstance(output, Prompt):
                self.show.prompted(output)
            elif isinstance(output, PromptState):
                self.show.became(output.id, output.state, output.at_ms)

    def _next_id(self, at_ms: int) -> str:
        last_ms, n = self._said
        self._said = (at_ms, 0) if at_ms > last_ms else (last_ms, n + 1)
        return f"{self._said[0]}-{self._said[1]}"

    def _say_line(self, every_product: bool) -> None:
        self._lined_s = self.tally.buckets.end_s
        self._out.append(self.view().line(every_product))

    def drain(self) -> list[Output]:
        """What the room has said since the last call, in order."""
        out, self._out = self._out, []
        return out

    @property
    def _waiting(self) -> Waiting:
        return self._entrance.waiting

    @property
    def duplicates(self) -> int:
        """Events seen before."""
        return self._entrance.duplicates

    @property
    def stamped(self) -> int:
        """Events whose time had to be mended, here or by the gateway."""
        return self._entrance.stamped

    @property
    def due_arrival_ms(self) -> int:
        """The arrival from which on there is a second to close: an `advance` to before it closes nothing."""
        clock, due_ms = self.clock, self._due_ms
        return clock.arrived_ms if clock.now_ms >= due_ms else due_ms - clock.newest_ms + clock.newest_arrived_ms

    @property
    def at_ms(self) -> int:
        """Where the state stands: the end of the newest closed second; 0 before the first."""
        return self.tally.buckets.end_s * 1000

    def view(self) -> RoomView:
        """The numbers and signals at the end of the newest closed second."""
        if self._view is None:
            shop = self._catalogue, self._rundown
            show_ms, peak = (self.show.show_ms, self.show.peak) if self.show else (self.at_ms, (0, 0))
            self._view = RoomView(
                self.room, self.tally, self._before, *shop, show_ms, peak, benchmarks=self.config.benchmarks
            )
        return self._view

    def line(self) -> Line:
        """Every number at the end of the newest closed second."""
        return self.view().line()

    def recap(self) -> Recap:
        """The present show so far. Raises ValueError before the first second is closed."""
        if self.show is None:
            raise ValueError(f"room {self.room!r} has not closed a second yet")
        warnings = []
        if self.late:
            warnings.append(f"late:{self.late}")
        if self.tally.known.masked:
            warnings.append("masked")
        self.show.currency = self._entrance.currencies.of(self.show.show_ms)
        return recap(self.show, self.tally, self.view(), warnings)

    # --- snapshot

    def snapshot(self) -> bytes:
        """The whole state, waiting events included, as msgpack; `restore` continues exactly from here.

        Outputs not yet drained are not part of it: drain first.
        """
        state = {
            "room": self.room,
            "entrance": self._entrance.snapshot(),
            "tally": self.tally.snapshot(),
            "desk": self.desk.snapshot(),
            "show": self.show,
            "before": self._before.snapshot(),
            "started": self._started,
            "last_event_s": self._last_event_s,
            "said": self._said,
            "lined_s": self._lined_s,
            "catalogue": list(self._catalogue.values()),
            "rundown": self._rundown,
            "ended_now": self._ended_now,
            "early": self._early,
            "counts": [self.late, self.foreign, self.closed],
        }
        return msgspec.msgpack.encode(state)

    def restore(self, state: bytes) -> None:
        """Continue from a `snapshot` of the same version. Raises msgspec.DecodeError or KeyError when it is none."""
        plain: dict[str, Any] = msgspec.msgpack.decode(state, strict=False)
        self._view = None
        self._entrance.restore(plain["entrance"])
        self.tally.restore(plain["tally"])
        self.desk.restore(plain["desk"])
        self.show = msgspec.convert(plain["show"], Show | None)
        self._before.restore(plain["before"])
        self._started = plain["started"]
        self._due_ms = 0  # look at once
        self._last_event_s = plain["last_event_s"]
        self._said = (plain["said"][0], plain["said"][1])
        self._lined_s = plain["lined_s"]
        products = msgspec.convert(plain["catalogue"], list[Product])
        self._catalogue = {product.product: product for product in products}
        self._rundown = msgspec.convert(plain["rundown"], tuple[RundownItem, ...])
        self._ended_now = plain["ended_now"]
        self._early = msgspec.convert(plain["early"], list[Prompt])
        self.late, self.foreign, self.closed = plain["counts"]


_TOLD = frozenset(
    {e.RoomStart, e.RoomPause, e.RoomEnd, e.ProductPin, e.ProductUnpin}
    | {e.OfferReady, e.OfferStart, e.OfferStop, e.Violation}
)

# What a back office sends before anyone is there; alone it is no show worth a recap.
_BEFORE_A_SHOW = frozenset(
    {"catalogue.set", "rundown.set", "playbook.set", "mode.set", "source.beat", "stock.level", "offer.ready"}
)
_MATTER = Desk.LISTENS | _TOLD | {e.CatalogueSet, e.RundownSet}
