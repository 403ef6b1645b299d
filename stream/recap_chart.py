"""The recap's picture of a show: panels over one time axis, drawn as one inline SVG.

What is unknown is not drawn: a gap in the curve, no bar, no panel. Every text is escaped where it enters.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from stream.recap import Marker, Minute, Recap
from stream.recap_text import Language, clock, count, escape, money, money_short, word

WIDTH, LEFT, RIGHT = 1120, 64, 16
MINUTE_MS = 60_000
_BINS_MAX = 240  # a bar of fewer than 4 px cannot be told from its neighbours
_BIN_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440)
_TICKS_MAX = 12
_LABEL_ROWS = 3
_LABEL_PX = 150.0
_CHAR_PX, _WIDE_PX = 7.0, 11.0  # at 11 px: the widest common digits, a CJK character
_LINES_MAX = 24  # of prompts: more at full strength would hide the curve
_PINS_MAX = 400  # more blocks than pixels to draw them in

Text = Callable[[int | float | None], str]


@dataclass(frozen=True, slots=True)
class Axis:
    """Time to x: `[start_ms, end_ms)` in bins of `bin_ms`."""

    start_ms: int
    end_ms: int
    bin_ms: int
    utc_offset_s: int

    def x(self, at_ms: int) -> float:
        share = (min(max(at_ms, self.start_ms), self.end_ms) - self.start_ms) / (self.end_ms - self.start_ms)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def holds(self, at_ms: int) -> bool:
        return self.start_ms <= at_ms <= self.end_ms


@dataclass(frozen=True, slots=True)
class Bin:
    """The minutes of one bar: sums of what was counted, the mean of their online counts, the best minute's, the peak.

    None where all of them are unknown.
    """

    at_ms: int
    online: float | None
    best: float | None
    peak: int | None
    sums: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """One strip of bars: `up` grows from the base line, `down` hangs below it."""

    title: str
    up: str
    height: int
    text: Text = count
    down: str | None = None


SUMMED = ("joins", "leaves", "chats", "clicks", "carts", "orders_paid", "gmv_paid", "refunded")


def axis_of(recap: Recap, utc_offset_s: int) -> Axis:
    """From the show's start (or its first minute) to its end, in whole minutes; what came after the end is left out."""
    first = min([recap.show_ms, *(m.at_ms for m in recap.minutes[:1])])
    last = max([recap.show_ms, *(m.at_ms + MINUTE_MS for m in recap.minutes[-1:])])
    end = recap.ended_ms if recap.ended_ms is not None else last
    start = first // MINUTE_MS * MINUTE_MS
    minutes = max(1, -((start - end) // MINUTE_MS))
    size = next((m for m in _BIN_MINUTES if minutes <= m * _BINS_MAX), -(-minutes // _BINS_MAX))
    return Axis(start, start + minutes * MINUTE_MS, size * MINUTE_MS, utc_offset_s)


def bins_of(minutes: Sequence[Minute], axis: Axis) -> list[Bin]:
    """The minutes within the axis, joined into bars, in order of time."""
    groups: dict[int, list[Minute]] = {}
    for minute in minutes:
        if axis.start_ms <= minute.at_ms < axis.end_ms:
            groups.setdefault((minute.at_ms - axis.start_ms) // axis.bin_ms, []).append(minute)
    return [_bin(axis.start_ms + i * axis.bin_ms, group) for i, group in sorted(groups.items())]


def _bin(at_ms: int, group: Sequence[Minute]) -> Bin:
    online = [m.online for m in group if m.online is not None]
    peaks = [m.peak_online for m in group if m.peak_online is not None]
    sums: dict[str, int | None] = {}
    for name in SUMMED:
        known = [value for m in group if (value := getattr(m, name)) is not None]
        sums[name] = sum(known) if known else None
    mean = sum(online) / len(online) if online else None
    return Bin(at_ms, mean, max(online, default=None), max(peaks, default=None), sums)


def nice(top: float) -> int:
    """The smallest whole 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is at least `top`.

    >>> nice(0), nice(7), nice(11), nice(2058)
    (1, 8, 15, 2500)
    """
    scale = 1
    while scale * 10 < top:
        scale *= 10
    steps = (10, 15, 20, 25, 30, 40, 50, 60, 80, 100)
    return next(step * scale // 10 for step in steps if step * scale >= top * 10 and step * scale % 10 == 0)


def pixels(text: str) -> float:
    """How wide a label will be, rather too much than too little: the page's fonts are the reader's."""
    return sum(_WIDE_PX if char >= "\u1100" else _CHAR_PX for char in text)


def fit(text: str, width: float) -> str:
    """The text on one line of at most `width` pixels, with "…" where something was cut."""
    line = " ".join(text.split())
    if pixels(line) <= width:
        return line
    used, kept = _WIDE_PX, 0
    for char in line:
        used += pixels(char)
        if used > width:
            break
        kept += 1
    return line[:kept].rstrip() + "…"


def chart(recap: Recap, language: Language, utc_offset_s: int) -> str:
    """The whole picture as one `<svg>`; an empty string for a show without a minute."""
    axis = axis_of(recap, utc_offset_s)
    bins = bins_of(recap.minutes, axis)
    if not bins:
        return ""
    labels, y = prompt_lane(recap, axis)
    label_foot = y
    parts: list[str] = []
    if any(b.online is not None for b in bins):
        parts.append(_online(bins, axis, y, language))
        y += 190
    for panel in _panels(recap, language):
        if any(b.sums[name] is not None for b in bins for name in (panel.up, panel.down) if name):
            parts.append(_bars(panel, bins, axis, y, language))
            y += panel.height + 34
    foot = y - 12
    y = foot + 8
    names = {p.product: p.name for p in recap.products if p.name}
    for kinds, lane in ((("pin",), _pin_lane), (("offer", "violation", "pause"), _event_lane)):
        markers = sorted(
            (m for m in recap.markers if m.kind in kinds and m.at_ms <= axis.end_ms), key=lambda m: m.at_ms
        )
        if markers:
            parts.append(lane([_named(marker, names) for marker in markers], axis, y, language))
            y += 26
    grid, ticks = _time_axis(axis, label_foot, foot, y)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {y + 26}" role="img" aria-label="{escape(word("curve", language))}">'
        f"{grid}{''.join(parts)}{_prompt_lines(recap, axis, label_foot, foot)}{labels}{ticks}"
        f"{_tips(bins, axis, label_foot, foot, recap.currency, language)}</svg>"
    )


def _panels(recap: Recap, language: Language) -> list[Panel]:
    def amount(value: int | float | None) -> str:
        return money_short(round(value or 0), recap.currency, language)

    return [
        Panel(word("gmv", language), "gmv_paid", 84, amount),
        Panel(word("orders", language), "orders_paid", 64),
        Panel(word("flow", language), "joins", 84, down="leaves"),
        Panel(word("chats", language), "chats", 48),
    ]


# --- curves and bars


def _runs(bins: Iterable[Bin], bin_ms: int) -> list[list[Bin]]:
    """Neighbouring bins with a known online count: between runs the curve has a gap."""
    runs: list[list[Bin]] = []
    previous: Bin | None = None
    for b in bins:
        if b.online is None:
            continue
        if previous is None or b.at_ms - previous.at_ms > bin_ms:
            runs.append([])
        runs[-1].append(b)
        previous = b
    return runs


def _online(bins: Sequence[Bin], axis: Axis, top: int, language: Language) -> str:
    height = 150
    base = top + 22 + height
    ceiling = nice(max([1.0, *(b.online for b in bins if b.online is not None)]))
    middle = axis.bin_ms // 2

    def at(b: Bin) -> str:
        return f"{axis.x(b.at_ms + middle):.1f},{base - (b.online or 0) / ceiling * height:.1f}"

    parts = [_heading(word("online", language), top), _scale(ceiling, base, height, count)]
    for run in _runs(bins, axis.bin_ms):
        points = " ".join(at(b) for b in run)
        left, right = axis.x(run[0].at_ms + middle), axis.x(run[-1].at_ms + middle)
        if len(run) == 1:
            x, y = at(run[0]).split(",")
            parts.append(f'<circle class="online-dot" cx="{x}" cy="{y}" r="3.5"/>')
            continue
        parts.append(f'<polygon class="online-area" points="{left:.1f},{base} {points} {right:.1f},{base}"/>')
        parts.append(f'<polyline class="online-line" points="{points}"/>')
    best = max((b for b in bins if b.online is not None), key=lambda b: b.best or 0)
    x, y = at(best).split(",")
    text = f"{word('peak', language)} {count(best.best)}"
    middle_x = min(max(float(x), LEFT + pixels(text) / 2), WIDTH - RIGHT - pixels(text) / 2)
    parts.append(f'<circle class="online-dot" cx="{x}" cy="{y}" r="3.5"/>')
    parts.append(f'<text class="strong" x="{middle_x:.1f}" y="{float(y) - 8:.1f}" text-anchor="middle">')
    return "".join(parts) + f"{escape(text)}</text>"


def _bars(panel: Panel, bins: Sequence[Bin], axis: Axis, top: int, language: Language) -> str:
    size = axis.bin_ms // MINUTE_MS
    unit = word("per_minute", language) if size == 1 else word("per_bin", language, n=size)
    ceiling = nice(max([1, *(v for b in bins for n in (panel.up, panel.down) if n and (v := b.sums[n]) is not None)]))
    room = panel.height // 2 if panel.down else panel.height
    base = top + 22 + room
    parts = [_heading(f"{panel.title}  {unit}", top), _scale(ceiling, base, room, panel.text)]
    if panel.down:
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{base + room + 4}" text-anchor="end">')
        parts.append(f"{escape(panel.text(ceiling))}</text>")
    for b in bins:
        left, right = axis.x(b.at_ms), axis.x(b.at_ms + axis.bin_ms)
        width = max(1.0, min(right - left - 1, 60.0))
        x = (left + right - width) / 2
        for name, sign in ((panel.up, -1), (panel.down, 1)):
            value = b.sums[name] if name else None
            if value and value > 0:
                tall = max(1.0, value / ceiling * room)
                y = base - tall if sign < 0 else base
                parts.append(
                    f'<rect class="bar-{name}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{tall:.1f}"/>'
                )
    return "".join(parts)


def _heading(text: str, top: int) -> str:
    return f'<text class="heading" x="{LEFT}" y="{top + 12}">{escape(text)}</text>'


def _scale(ceiling: int, base: int, height: int, text: Text) -> str:
    """Lines at nought, half and full scale, labelled at the left."""
    parts = []
    for share in (0, 1, 2) if height >= 80 and ceiling > 1 and ceiling % 2 == 0 else (0, 2):
        y = base - share * height // 2
        parts.append(
            f'<line class="{"base" if not share else "grid"}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        )
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">')
        parts.append(f"{escape(text(ceiling * share // 2))}</text>")
    return "".join(parts)


# --- time


def tick_minutes(minutes: int) -> int:
    """Minutes between two labels, so that there are at most 12 of them."""
    return next((m for m in _BIN_MINUTES if minutes <= m * _TICKS_MAX), -(-minutes // _TICKS_MAX))


def _time_axis(axis: Axis, top: int, foot: int, y: int) -> tuple[str, str]:
    """Vertical grid lines behind the panels, and the labels under the lanes; labels stand on round local times."""
    step = tick_minutes((axis.end_ms - axis.start_ms) // MINUTE_MS) * MINUTE_MS
    shift = axis.utc_offset_s * 1000
    at = -(-(axis.start_ms + shift) // step) * step - shift
    grid, labels = [], []
    while at <= axis.end_ms:
        x = axis.x(at)
        grid.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{foot}"/>')
        labels.append(f'<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 5}"/>')
        labels.append(f'<text class="tick" x="{x:.1f}" y="{y + 19}" text-anchor="middle">')
        labels.append(f"{clock(at, axis.utc_offset_s)}</text>")
        at += step
    rule = f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return "".join(grid), rule + "".join(labels)


def _tips(bins: Sequence[Bin], axis: Axis, top: int, foot: int, currency: str, language: Language) -> str:
    """An unseen strip over each bar that tells its figures when pointed at."""
    parts = []
    for b in bins:
        left, right = axis.x(b.at_ms), axis.x(b.at_ms + axis.bin_ms)
        lines = [
            f"{clock(b.at_ms, axis.utc_offset_s)}–{clock(b.at_ms + axis.bin_ms, axis.utc_offset_s)}"
            f"  (+{(b.at_ms - axis.start_ms) // MINUTE_MS} {word('minute', language)})",
            f"{word('online', language)} {count(b.online)}  ({word('peak', language)} {count(b.peak)})",
        ]
        for name, label in (("joins", "joins"), ("leaves", "leaves"), ("chats", "chats"), ("clicks", "clicks"),
                            ("carts", "carts"), ("orders_paid", "orders")):  # fmt: skip
            lines.append(f"{word(label, language)} {count(b.sums[name])}")
        lines.append(f"{word('gmv', language)} {money(b.sums['gmv_paid'], currency)}")
        lines.append(f"{word('refunded', language)} {money(b.sums['refunded'], currency)}")
        tip = escape("\n".join(lines))
        parts.append(f'<rect class="tip" x="{left:.1f}" y="{top}" width="{max(1.0, right - left):.1f}" ')
        parts.append(f'height="{foot - top}"><title>{tip}</title></rect>')
    return "".join(parts)


# --- prompts, pins, events


def _prompt_marks(recap: Recap, axis: Axis) -> list[tuple[int, int, str, str]]:
    """(number, at_ms, title, state) of the prompts; the prompt markers where there are no rows."""
    rows = [(i, p.issued_ms, p.title or p.play, p.state) for i, p in enumerate(recap.prompts, 1)]
    if not rows:
        found = (m for m in recap.markers if m.kind == "prompt")
        rows = [(i, m.at_ms, m.label, "") for i, m in enumerate(found, 1)]
    return [row for row in rows if axis.holds(row[1])]


def prompt_lane(recap: Recap, axis: Axis) -> tuple[str, int]:
    """Numbered flags with titles above the panels, and where the panels may begin.

    A title that finds no place in three rows keeps its number; a number that finds none keeps its line.
    """
    ends = [0.0] * _LABEL_ROWS
    parts = []
    used = 0
    for number, at_ms, title, state in sorted(_prompt_marks(recap, axis), key=lambda mark: mark[1]):
        x, text = axis.x(at_ms), fit(title, _LABEL_PX)
        badge = 10 + 7 * len(str(number))
        for wide in (badge + 6 + pixels(text), badge + 1):
            left = min(x - badge / 2, WIDTH - wide)
            row = next((i for i, end in enumerate(ends) if left >= end), None)
            if row is not None:
                break
        else:
            continue
        ends[row] = left + wide + 5
        used = max(used, row + 1)
        y = 8 + row * 21
        full = wide > badge + 1
        parts.append(f'<g class="flag {_state_class(state)}"><title>{escape(f"#{number} {title}")}</title>')
        parts.append(f'<rect x="{left:.1f}" y="{y}" width="{badge}" height="16" rx="8"/>')
        parts.append(
            f'<text class="badge" x="{left + badge / 2:.1f}" y="{y + 12}" text-anchor="middle">{number}</text>'
        )
        if full:
            parts.append(f'<text class="label" x="{left + badge + 4:.1f}" y="{y + 12}">{escape(text)}</text>')
        parts.append("</g>")
    return "".join(parts), 8 + used * 21 + 4


def _prompt_lines(recap: Recap, axis: Axis, top: int, foot: int) -> str:
    marks = _prompt_marks(recap, axis)
    faint = " faint" if len(marks) > _LINES_MAX else ""
    return "".join(
        f'<line class="flag-line {_state_class(state)}{faint}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{foot}"/>'
        for x, state in ((axis.x(at), state) for _, at, _, state in marks)
    )


def _state_class(state: str) -> str:
    return {"done": "done", "shown": "open", "issued": "open"}.get(state, "open" if not state else "dropped")


def _named(marker: Marker, names: Mapping[str, str]) -> Marker:
    """The marker with the product's name in place of its id."""
    return replace(marker, label=names[marker.label]) if marker.label in names else marker


def _pin_lane(markers: Sequence[Marker], axis: Axis, y: int, language: Language) -> str:
    """A block from each pin to the next, or to the end; two neighbours differ in shade."""
    parts = [_lane_name(word("pitch", language), y)]
    stops = [m.at_ms for m in markers[1:]] + [axis.end_ms]
    for i, (marker, stop) in enumerate(list(zip(markers, stops, strict=True))[:_PINS_MAX]):
        left, right = axis.x(marker.at_ms), axis.x(stop)
        if right - left < 0.5:
            continue
        room = right - left - 10
        parts.append(
            f'<g class="pin{i % 2}"><title>{escape(f"{clock(marker.at_ms, axis.utc_offset_s)} {marker.label}")}</title>'
        )
        parts.append(f'<rect x="{left:.1f}" y="{y}" width="{right - left - 1:.1f}" height="20" rx="3"/>')
        if room >= 32:
            parts.append(
                f'<text class="label" x="{left + 5:.1f}" y="{y + 14}">{escape(fit(marker.label, room))}</text>'
            )
        parts.append("</g>")
    return "".join(parts)


def _event_lane(markers: Sequence[Marker], axis: Axis, y: int, language: Language) -> str:
    """Offers, violations and pauses, with a label where the next one leaves room for it."""
    parts = [_lane_name(word("events", language), y)]
    shown = [m for m in markers if axis.holds(m.at_ms)]
    xs = [axis.x(m.at_ms) for m in shown]
    for marker, x, end in zip(shown, xs, [*xs[1:], float(WIDTH)], strict=False):
        text = f"{word('k_' + marker.kind, language)} {marker.label}".strip()
        room = min(end - x - 16, 280.0)
        parts.append(f'<g class="event {marker.kind}"><title>')
        parts.append(f"{escape(f'{clock(marker.at_ms, axis.utc_offset_s)} {text}')}</title>")
        parts.append(f'<circle cx="{x:.1f}" cy="{y + 10}" r="4.5"/>')
        if room >= 24:
            parts.append(f'<text class="label" x="{x + 8:.1f}" y="{y + 14}">{escape(fit(text, room))}</text>')
        parts.append("</g>")
    return "".join(parts)


def _lane_name(text: str, y: int) -> str:
    return f'<text class="tick" x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(text)}</text>'
