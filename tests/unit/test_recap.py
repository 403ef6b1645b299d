"""The recap: exact money, no formula and no markup of a stranger's, the same record back from its own file."""

import csv
import io
import re
from decimal import Decimal
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import export
from stream.errors import OperatorError
from stream.numbers import BY_KEY, Number
from stream.recap import Marker, Minute, ProductRow, PromptRow, Recap, parse, summary
from stream.recap_chart import axis_of, bins_of, chart, fit, nice, pixels, tick_minutes
from stream.recap_csv import guard, minutes_csv, products_csv, prompts_csv
from stream.recap_page import TILES, funnel_steps, page, show_key
from stream.recap_text import digits_of, escape, figure, major, money, unit_of

START = 1_795_250_833_000
ATTACKS = (
    "<script>alert(1)</script>",
    "</title></style></svg><img src=x onerror=alert(1)>",
    "\"><b onmouseover='x'>",
    "&lt;script&gt;",
    "a\x00b\x1b[31m\ud800",
    '=HYPERLINK("http://x")',
)
texts = st.one_of(st.sampled_from(ATTACKS), st.text(max_size=30))
counts = st.none() | st.integers(0, 10**7)


@st.composite
def recaps(draw: st.DrawFn) -> Recap:
    """Any show: some minutes, some missing, rows with hostile texts."""
    length = draw(st.integers(0, 40))
    minutes = [
        Minute(
            at_ms=START // 60_000 * 60_000 + i * 60_000,
            online=draw(counts),
            joins=draw(counts),
            leaves=draw(counts),
            chats=draw(counts),
            orders_paid=draw(counts),
            gmv_paid=draw(counts),
        )
        for i in range(length)
        if draw(st.booleans())
    ]
    ahead = st.integers(-(10**7), 10**8)
    return Recap(
        room=draw(texts),
        show_ms=START,
        ended_ms=draw(st.none() | st.integers(START, START + 60_000 * max(1, length))),
        at_ms=START + 60_000 * length,
        title=draw(texts),
        host=draw(texts),
        platform=draw(texts),
        currency=draw(st.sampled_from(["CNY", "JPY", "KWD", "<b>"])),
        numbers={
            draw(st.sampled_from(sorted(BY_KEY)) | texts): Number(
                draw(st.none() | st.integers(0, 10**9) | st.floats(0, 1e9)),
                draw(st.sampled_from(["ok", "estimated", "missing", "stale"])),
            )
            for _ in range(draw(st.integers(0, 4)))
        },
        minutes=minutes,
        products=[
            ProductRow(
                product=draw(texts), name=draw(texts), gmv=draw(counts), stock=draw(counts), pinned_s=draw(counts)
            )
            for _ in range(draw(st.integers(0, 3)))
        ],
        prompts=[
            PromptRow(
                id=draw(texts),
                play=draw(texts),
                audience=draw(texts),
                class_=draw(texts),
                issued_ms=START + draw(ahead),
                state=draw(texts),
                title=draw(texts),
                say=draw(texts),
                why=draw(texts),
            )
            for _ in range(draw(st.integers(0, 3)))
        ],
        markers=[
            Marker(
                at_ms=START + draw(ahead),
                kind=draw(st.sampled_from(["pin", "offer", "violation", "prompt", "start", "end", "pause"])),
                label=draw(texts),
            )
            for _ in range(draw(st.integers(0, 4)))
        ],
        warnings=draw(st.lists(texts, max_size=2)),
    )


def show(minutes: int) -> Recap:
    """A plain show of so many minutes with a prompt and a pin in the middle."""
    middle = START + minutes * 30_000
    return Recap(
        room="r",
        show_ms=START,
        ended_ms=START + minutes * 60_000,
        at_ms=START + minutes * 60_000,
        minutes=[
            Minute(at_ms=START // 60_000 * 60_000 + i * 60_000, online=100 + i % 7, joins=3, leaves=2, gmv_paid=990)
            for i in range(minutes)
        ],
        prompts=[
            PromptRow(
                id="p", play="flash_drop", audience="host", issued_ms=middle, state="done", title="上100件9.9元福利"
            )
        ],
        markers=[Marker(at_ms=middle, kind="pin", label="小白鞋")],
    )


class Tags(HTMLParser):
    """What a browser would see as elements and attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.crossed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)


OURS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "div", "span", "p", "h1",
    "h2", "dl", "dt", "dd", "ul", "li", "b", "strong", "small", "i", "table", "thead", "tbody", "tfoot", "tr", "th",
    "td", "details", "summary", "svg", "g", "line", "rect", "circle", "text", "polyline", "polygon",
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(recaps(), st.sampled_from(["zh", "en"]))
def test_no_text_becomes_markup(recap: Recap, language: str) -> None:
    """Whatever the feed wrote, the page holds only our elements, no handler, no address, and every tag is closed."""
    seen = Tags(page(recap, language, 28_800))

    assert seen.tags <= OURS
    assert not {name for name in seen.attributes if name.startswith("on") or name in ("href", "src", "xlink:href")}
    assert seen.crossed == []
    assert seen.open == []


def test_the_markup_check_can_fail() -> None:
    """The reader used above sees an unescaped element and a handler."""
    seen = Tags(page(show(3), "zh", 0).replace("小白鞋", "<script></script><b onclick=x></b>"))

    assert "script" in seen.tags
    assert "onclick" in seen.attributes


@given(st.text())
def test_escape_keeps_the_text(text: str) -> None:
    """Escaped text holds no markup character and reads as before, control characters aside."""
    escaped = escape(text)

    assert not set("<>\"'") & set(escaped)
    shown = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_data = shown.append  # type: ignore[method-assign]
    parser.feed(escaped)
    parser.close()
    assert "".join(shown) == "".join(c if c >= " " or c in "\n\t" else " " for c in text)


@given(recaps())
def test_the_summary_reads_back(recap: Recap) -> None:
    """`summary.json` is the record: reading it gives an equal one."""
    clean = parse(summary(msgspec.convert(_without_surrogates(msgspec.to_builtins(recap)), Recap)))

    assert parse(summary(clean)) == clean
    assert msgspec.json.decode(summary(clean))["version"] == 1


def _without_surrogates(plain: object) -> object:
    if isinstance(plain, str):
        return plain.encode("utf-8", "replace").decode()
    if isinstance(plain, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in plain.items()}
    if isinstance(plain, list):
        return [_without_surrogates(v) for v in plain]
    return plain


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version":2}', '{"version":1}', '{"version":1,"room":3}', "nul"])
def test_what_is_no_summary_is_refused(text: str) -> None:
    """Anything else than a summary is a ValueError."""
    with pytest.raises(ValueError, match="summary"):
        parse(text)


# --- CSV


@given(texts)
def test_no_cell_is_a_formula(text: str) -> None:
    """A guarded cell starts with nothing a spreadsheet runs, and gives the text back when the guard is taken off."""
    cell = guard(text)

    assert not cell or cell[0] == "'" or (cell[0] not in "=+-@|%＝＋－＠\t\r\n" and not cell[0].isspace())
    assert (cell[1:] if cell.startswith("'") else cell) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "|cmd", "7312345678901234567", "007"]
)
def test_risky_cells_are_guarded(text: str) -> None:
    """Formulas, and digits a spreadsheet would round or strip, get an apostrophe."""
    assert guard(text) == "'" + text


@pytest.mark.parametrize("text", ["", "9.9 元", "a=b", "双十一-福利", "42", "2026-11-22 09:31:00"])
def test_plain_cells_stay(text: str) -> None:
    """Ordinary text is left alone."""
    assert guard(text) == text


@settings(deadline=None)
@given(recaps())
def test_every_table_reads_back(recap: Recap) -> None:
    """A CSV reader finds as many lines and cells as there are rows and columns, and the texts themselves."""
    for text, rows in (
        (minutes_csv(recap, 0), recap.minutes),
        (products_csv(recap, 0), recap.products),
        (prompts_csv(recap, 0), recap.prompts),
    ):
        head, *lines = csv.reader(io.StringIO(text, newline=""))
        assert len(lines) == len(rows)
        assert all(len(line) == len(head) for line in lines)
    _, *lines = csv.reader(io.StringIO(prompts_csv(recap, 0), newline=""))
    assert [line[11] for line in lines] == [guard(p.say) for p in recap.prompts]


def test_unknown_is_an_empty_cell_and_money_is_in_major_units() -> None:
    """None is not 0, and 990 fen are 9.90."""
    recap = Recap(room="r", show_ms=0, at_ms=0, minutes=[Minute(at_ms=60_000, joins=0, gmv_paid=990)])

    head, line = csv.reader(io.StringIO(minutes_csv(recap, 0)))
    row = dict(zip(head, line, strict=True))
    assert (row["joins"], row["leaves"], row["gmv_paid"], row["refunded"]) == ("0", "", "9.90", "")
    assert (row["minute"], row["time"]) == ("1", "1970-01-01 00:01:00")


# --- money and numbers


@given(st.integers(-(10**15), 10**15), st.sampled_from(["CNY", "JPY", "KWD", "CLF", "XYZ"]))
def test_money_is_exact(minor: int, currency: str) -> None:
    """Major units are the minor ones over a power of ten, with exactly the currency's digits."""
    text = major(minor, currency)

    assert Decimal(text).scaleb(digits_of(currency)) == minor
    assert len(text.partition(".")[2]) == digits_of(currency)
    assert Decimal(re.sub(r"[^\d.]", "", money(minor, currency))) == abs(Decimal(text))


@pytest.mark.parametrize(
    ("key", "number", "shown"),
    [
        ("gmv_paid_show", Number(1_234_567, "ok"), "¥12,345.67"),
        ("gpm_show", Number(80_050.5, "ok"), "¥800.50"),
        ("view_pay_rate_show", Number(0.0312, "ok"), "3.1%"),
        ("dwell_s_show", Number(187.4, "estimated"), "≈ 3:07"),
        ("buyers_show", Number(0, "ok"), "0"),
        ("buyers_show", Number(None, "missing"), "–"),
        ("buyers_show", None, "–"),
        ("buyers_show", Number(7, "stale"), "7 (stale)"),
        ("inflow_per_min_5m", Number(12.345, "ok"), "12.35"),
        ("not_ours", Number(5, "ok"), "5"),
    ],
)
def test_a_number_is_written_by_its_unit_and_status(key: str, number: Number | None, shown: str) -> None:
    """Units and statuses each have their own form; a 0 is a 0 and missing is a dash."""
    assert figure(key, number, "CNY", "en") == shown


def test_every_tile_is_a_number_we_make() -> None:
    """Each tile and its unit exist among the definitions."""
    assert all(unit_of(show_key(name)) for name in TILES)


def test_payment_is_measured_from_the_click() -> None:
    """Who pays without a cart does not make more than everybody: the rates are those of the definitions."""
    recap = Recap(
        room="r",
        show_ms=0,
        at_ms=0,
        numbers={
            "carters_show": Number(50, "ok"),
            "buyers_show": Number(60, "ok"),
            "pay_rate_show": Number(0.6, "ok", 60, 100),
        },
    )
    text = page(recap, "en", 0)

    assert "60.0%" in text
    assert "60 / 100" in text
    assert "120.0%" not in text


def test_a_pin_is_named_after_its_product() -> None:
    """A marker carries the product's id; the picture shows the name where it is known."""
    products = [ProductRow(product="p1", name="小白鞋")]
    markers = [Marker(at_ms=START, kind="pin", label="p1"), Marker(at_ms=START + 900_000, kind="pin", label="p2")]
    svg = chart(msgspec.structs.replace(show(30), products=products, markers=markers), "zh", 0)

    assert "小白鞋</text>" in svg
    assert "p2</text>" in svg
    assert "p1" not in svg


def test_the_funnel_takes_a_count_from_a_ratio_where_it_must() -> None:
    """People come from the count, else from the ratio that holds them, else they are unknown."""
    recap = Recap(
        room="r",
        show_ms=0,
        at_ms=0,
        numbers={"viewers_show": Number(200, "ok"), "enter_rate_show": Number(0.1, "ok", 200, 2000)},
    )

    assert [people for _, people, _ in funnel_steps(recap)] == [2000, 200, None, None, None, None]


# --- the picture


@pytest.mark.parametrize("minutes", [1, 2, 73, 900, 5000])
def test_shows_of_any_length_are_drawn(minutes: int) -> None:
    """From a minute to days: a picture of bounded size with a curve, bars and the prompt."""
    svg = chart(show(minutes), "zh", 28_800)

    assert len(svg) < 400_000
    assert "online-dot" in svg
    assert "bar-gmv_paid" in svg
    assert "上100件9.9元福利" in svg
    assert "nan" not in svg
    assert not re.search(r'(width|height)="-', svg)


def test_an_empty_show_is_a_page_without_a_picture() -> None:
    """Nothing known: no picture, every tile a dash."""
    text = page(Recap(room="r", show_ms=START, at_ms=START), "en", 0)

    assert "<svg" not in text
    assert text.count("<strong>–</strong>") == len(TILES)


@given(st.integers(1, 3000))
def test_bars_keep_every_sum(minutes: int) -> None:
    """Joining minutes into bars loses nothing and makes at most 240 of them."""
    recap = show(minutes)
    axis = axis_of(recap, 0)
    bins = bins_of(recap.minutes, axis)

    assert sum(b.sums["gmv_paid"] or 0 for b in bins) == 990 * minutes
    assert len(bins) <= 240


def test_minutes_after_the_end_do_not_stretch_the_axis() -> None:
    """A refund a week later belongs to the table, not to the picture."""
    recap = show(60)
    late = Minute(at_ms=START + 7 * 86_400_000, refunded=990)
    axis = axis_of(msgspec.structs.replace(recap, minutes=[*recap.minutes, late]), 0)

    assert axis.end_ms - axis.start_ms <= 62 * 60_000


def test_an_unknown_minute_is_a_gap() -> None:
    """Where online is unknown, the curve is cut in two and no nought is drawn."""
    recap = show(10)
    gap = [msgspec.structs.replace(m, online=None) if i == 5 else m for i, m in enumerate(recap.minutes)]

    assert chart(recap, "zh", 0).count("<polyline") == 1
    assert chart(msgspec.structs.replace(recap, minutes=gap), "zh", 0).count("<polyline") == 2


@given(st.floats(0, 1e12))
def test_scales_hold_their_values(top: float) -> None:
    """A scale reaches its highest value and wastes at most half of the height."""
    assert top <= nice(top) <= max(1, 2 * top)


@given(st.integers(1, 100_000))
def test_an_axis_has_at_most_thirteen_labels(minutes: int) -> None:
    """12 steps, hence 13 labels at most."""
    assert minutes <= 12 * tick_minutes(minutes)


@given(st.text(), st.floats(20, 300))
def test_labels_fit(text: str, width: float) -> None:
    """A fitted label is one line no wider than its room."""
    label = fit(text, width)

    assert pixels(label) <= width
    assert "\n" not in label


# --- files


def test_the_files_are_written_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Five files, the page last, tables with the mark Excel needs, nothing else left behind."""
    folder = tmp_path_factory.mktemp("out") / "new" / "folder"
    paths = export.write(show(3), folder, "zh")

    assert paths[-1].name == "recap.html"
    assert {p.name for p in folder.iterdir()} == {p.name for p in paths}
    assert len(paths) == 5
    assert all(p.read_bytes().startswith(b"\xef\xbb\xbf") for p in paths if p.suffix == ".csv")
    assert parse((folder / "summary.json").read_bytes()) == show(3)


def test_a_folder_that_cannot_be_written_is_the_operators(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file where the folder should be: OperatorError that says what to do."""
    file = tmp_path_factory.mktemp("out") / "file"
    file.write_text("")

    with pytest.raises(OperatorError, match="name a directory"):
        export.write(show(1), file, "zh")


def test_a_half_written_file_leaves_the_old_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a name cannot be replaced, no temporary file stays."""
    folder = tmp_path_factory.mktemp("out")
    (folder / "recap.html").mkdir()

    with pytest.raises(OperatorError):
        export.write(show(1), folder, "zh")
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("zone", "currency", "offset"),
    [("", "CNY", 28_800), ("", "USD", 0), ("Asia/Tokyo", "CNY", 32_400), ("America/St_Johns", "USD", -12_600)],
)
def test_times_are_those_of_the_show(zone: str, currency: str, offset: int) -> None:
    """A named zone, else China's for yuan, else UTC."""
    recap = Recap(room="r", show_ms=START, at_ms=START, currency=currency)

    assert export.utc_offset_s(recap, zone) == offset


@pytest.mark.parametrize(("zone", "language"), [("Mars/Base", "zh"), ("../etc", "zh"), ("", "de")])
def test_an_unknown_zone_or_language_is_the_operators(zone: str, language: str) -> None:
    """Both say what to set."""
    with pytest.raises(OperatorError):
        export.files(show(1), language, zone)
