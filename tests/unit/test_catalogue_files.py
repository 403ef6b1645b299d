"""Catalogues and rundowns as people write them: what is read, what survives, and every problem with its place."""

import contextlib
import csv
import io
import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import catalogue_cells as cells
from stream.catalogue import ID_MAX, Content, Offer, Product, RundownItem
from stream.catalogue_files import PROBLEMS_MAX, Parsed, Problem, products, rundown
from stream.catalogue_sheets import ROWS_MAX

WHOLE = """
currency = "CNY"

[[products]]
product = "p1"
sku = "red"
name = "云朵抱枕"
price = "29.90"
other_prices = ["9.9", 19.90, 25]
role = "traffic"
category = "家居"
stock = 3_000
opening_stock = 500
daily_sales = 40
segments = ["宝妈", "学生"]
tags = ["春"]
trust = ["质检报告"]
supplier = "甲"
backup = "乙"
lead_days = 5
answers = { "材质" = "棉", "尺码" = "均码" }

[[products.offers]]
offer = "o1"
price = 9.9
quantity = 100
per_person = 2
minutes = 3
text = "福利"

[[products]]
product = "bag"
role = "bag"
price = "39"
contents = [{ name = "袜子", odds = "1/3" }, { name = "帽子" }]

[[rundown]]
product = "p1"
minutes = 6
price = "9.9"
quantity = 100
"""
PILLOW = Product(
    product="p1",
    sku="red",
    name="云朵抱枕",
    price=2_990,
    other_prices=(990, 1_990, 2_500),
    role="traffic",
    category="家居",
    stock=3_000,
    opening_stock=500,
    daily_sales=40,
    segments=("宝妈", "学生"),
    tags=("春",),
    trust=("质检报告",),
    supplier="甲",
    backup="乙",
    lead_days=5,
    answers={"材质": "棉", "尺码": "均码"},
    offers=(Offer(offer="o1", price=990, quantity=100, per_person=2, minutes=3, text="福利"),),
)
BAG = Product(product="bag", role="bag", price=3_900, contents=(Content(name="袜子", odds="1/3"), Content(name="帽子")))


def sheet(*lines: str, newline: str = "\r\n") -> Parsed[Product]:
    """The products of a CSV file with these lines."""
    return products(newline.join([*lines, ""]).encode(), "csv")


def places(parsed: Parsed[Product] | Parsed[RundownItem]) -> list[tuple[int, str]]:
    """Where the problems are."""
    return [(problem.row, problem.column) for problem in parsed.problems]


# --- what is read


def test_every_field_of_a_product_is_read_from_toml() -> None:
    """Quoted and bare prices, lists, tables and the rundown in one file: each reader takes its own."""
    assert products(WHOLE.encode(), "toml") == ([PILLOW, BAG], [])
    assert rundown(WHOLE.encode(), "toml") == (
        [RundownItem(order=1, product="p1", minutes=6, price=990, quantity=100)],
        [],
    )


def test_every_field_of_a_product_is_read_from_csv() -> None:
    """Lists with semicolons, an offer in columns of its own, answers under `answer:` columns."""
    parsed = sheet(
        "product,sku,name,price,other_prices,role,category,stock,opening_stock,daily_sales,segments,tags,trust,"
        "supplier,backup,lead_days,answer:材质,answer:尺码,offer,offer_price,offer_quantity,offer_per_person,"
        "offer_minutes,offer_text,contents",
        'p1,red,云朵抱枕,29.90,9.9;19.90;25,traffic,家居,"3,000",500,40,宝妈;学生,春,质检报告,'
        "甲,乙,5,棉,均码,o1,9.9,100,2,3,福利,",
        "bag,,,39,,bag,,,,,,,,,,,,,,,,,,,袜子=1/3; 帽子",
    )

    assert parsed == ([PILLOW, BAG], [])


def test_chinese_headers_and_values_mean_the_same() -> None:
    """A back-office sheet in Chinese gives the same products as one in English."""
    chinese = sheet(
        "商品,规格,名称,价格,角色,开播库存,日销,福利价,福利数量,限购", "p1,红,抱枕,29.9,引流款,500,40,9.9,100,2"
    )
    english = sheet(
        "product,sku,name,price,role,opening stock,daily_sales,offer_price,offer_quantity,offer_per_person",
        "p1,红,抱枕,29.9,Traffic,500,40,9.9,100,2",
    )

    assert chinese.problems == []
    assert chinese == english


def test_a_rundown_without_order_counts_its_rows() -> None:
    """The first item is 1; with an order column each row must state its own."""
    assert [one.order for one in rundown(b"product\na\nb\n", "csv").rows] == [1, 2]
    parsed = rundown("顺序,商品,分钟\n2,a,6\n,b,6\n".encode(), "csv")
    assert [one.order for one in parsed.rows] == [2]
    assert places(parsed) == [(3, "order")]


def test_an_offer_without_id_is_named_after_its_product_and_kind() -> None:
    """Spreadsheets have no ids for offers; the name is the same each time the file is read."""
    parsed = sheet("product,sku,offer_price,offer_kind", "p1,red,9.9,预售", "p1,,9.9,")

    assert [one.offers[0].offer for one in parsed.rows] == ["p1-red-presale", "p1-flash"]


# --- prices


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("9.9", "CNY", 990),
        ("0.01", "CNY", 1),
        ("1,299.00", "CNY", 129_900),
        ("1299", "CNY", 129_900),
        ("  ９．９ ", "CNY", 990),
        ("１，２９９．００", "CNY", 129_900),
        ("￥9.9", "CNY", 990),
        ("¥ 9.9 元", "CNY", 990),
        ("CNY 9.90", "CNY", 990),
        ("1,299", "JPY", 1_299),
        ("980円", "JPY", 980),
        ("1.234", "KWD", 1_234),
        ("$4.50", "USD", 450),
    ],
)
def test_a_price_is_exact_minor_units(text: str, currency: str, minor: int) -> None:
    """Major units as text, in every spelling a spreadsheet gives, by the decimals of the currency."""
    assert cells.price(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("9.999", "CNY"), ("9.90", "JPY"), ("9,9", "CNY"), ("1.299,00", "CNY"), ("12,99", "CNY"), ("1,29,900", "CNY"),
        ("-9.9", "CNY"), ("9.9e1", "CNY"), ("1_000", "CNY"), ("nan", "CNY"), ("inf", "CNY"), ("9.", "CNY"),
        (".9", "CNY"), ("九块九", "CNY"), ("9.9-19.9", "CNY"), ("$9.9", "CNY"), ("9" * 19, "CNY"), ("", "CNY"),
        (True, "CNY"), (None, "CNY"), ([9], "CNY"), ({}, "CNY"), ("9.9", "yuan"), ("٩", "CNY"),
    ],
)  # fmt: skip
def test_what_is_no_price_is_refused(text: object, currency: str) -> None:
    """Nothing is guessed and nothing rounded: an ambiguous price is the author's to write again."""
    with pytest.raises(ValueError, match=r"price|decimals|decimal|currency|text"):
        cells.price(text, currency)


@given(st.integers(0, 10**12), st.sampled_from(["CNY", "JPY", "KWD"]), st.booleans(), st.booleans())
def test_prices_survive_being_written(minor: int, currency: str, grouped: bool, wide: bool) -> None:
    """Whatever amount is written out in major units, grouped or in full-width digits, is read back exactly."""
    places = cells.decimals(currency)
    major = Decimal(minor).scaleb(-places)
    text = f"{major:,.{places}f}" if grouped else f"{major:.{places}f}"
    if wide:
        text = text.translate({ord(a): ord(a) + 0xFEE0 for a in "0123456789.,"})

    assert cells.price(text, currency) == minor


@given(st.one_of(st.text(max_size=12), st.from_regex(r"[0-9.,]{1,8}"), st.integers(), st.floats(), st.binary()))
def test_any_cell_is_read_or_refused_in_words(raw: object) -> None:
    """No cell makes a reader of prices, counts, odds or ids fail in another way than ValueError."""
    for reader in (cells.price, cells.count, cells.odds, cells.identity, cells.contents, cells.words):
        with contextlib.suppress(ValueError):
            reader(raw)


# --- problems


def test_all_problems_are_told_at_once_with_line_and_column() -> None:
    """Six mistakes in one file are six problems; the good row in between is read."""
    parsed = sheet(
        "product,price,role,opening_stock,prcie",
        "p1,9.999,traffic,100,",
        "p2,9.9,trafic,10.5,",
        "",
        "p3,9.9,profit,100,",
        ",9.9,,,",
        "p3,8.8,,,",
    )

    assert [one.product for one in parsed.rows] == ["p3", "p3"]
    assert parsed.problems == [
        Problem(1, "prcie", "is no column that is known; do you mean price?"),
        Problem(2, "price", "'9.999' has 3 decimals, CNY has 2"),
        Problem(3, "role", "'trafic' is none of traffic, profit, bag, image; do you mean traffic?"),
        Problem(3, "opening_stock", "'10.5' is no whole number"),
        Problem(6, "product", "is missing"),
        Problem(7, "product", "is already in row 5"),
    ]


def test_problems_of_toml_name_the_table_and_the_key() -> None:
    """Tables are counted from 1, an offer's key is told with its place."""
    parsed = products(
        b"""
        surprise = 1
        [[products]]
        product = "p1"
        price = "9.9"
        price_minor = 990
        stock = -1
        colour = "red"
        [[products.offers]]
        price = "x"
        [[products.offers]]
        quantity = 5
        [[products]]
        name = 1.5
        segments = [true]
        answers = { a = 1 }
        offers = 7
        contents = [{ odds = "5%" }]
        """,
        "toml",
    )

    assert sorted(places(parsed)) == [
        (0, "surprise"),
        (1, "colour"),
        (1, "offers[1].price"),
        (1, "offers[2].price"),
        (1, "price_minor"),
        (1, "stock"),
        (2, "answers"),
        (2, "contents"),
        (2, "offers"),
        (2, "product"),
        (2, "segments"),
    ]
    assert parsed.rows == []


def test_a_variant_may_repeat_its_product_and_no_more() -> None:
    """(product, sku) is told apart by the variant; the same pair twice is refused, a missing variant is one too."""
    parsed = sheet("product,sku", "p1,", "p1,red", "p1,blue", "p1,red", "p1,")

    assert places(parsed) == [(5, "product"), (6, "product")]


def test_two_offers_never_share_an_id() -> None:
    """Variants may share one offer; another product's, or another price under the same id, is refused."""
    parsed = sheet("product,sku,offer,offer_price", "p1,red,o,9.9", "p1,blue,o,9.9", "p1,green,o,8.8", "p2,,o,9.9")

    assert places(parsed) == [(4, "offer"), (5, "offer")]


def test_two_places_of_a_rundown_are_never_the_same() -> None:
    """A product may come again, its place may not."""
    parsed = rundown(b"order,product\n1,a\n2,a\n2,b\n", "csv")

    assert places(parsed) == [(4, "order")]


@pytest.mark.parametrize("id_", ["7.2345E+18", "1E+17", "1.5e18"])
def test_an_id_that_the_spreadsheet_has_rounded_is_refused(id_: str) -> None:
    """A 19-digit id in a number column comes out as 7.2E+18; nobody can say which product that was."""
    parsed = sheet("product", id_)

    assert places(parsed) == [(2, "product")]


def test_long_ids_stay_as_they_are() -> None:
    """19 digits are text, in CSV and as a number of TOML."""
    assert sheet("product", "7299999999999999999").rows[0].product == "7299999999999999999"
    assert products(b"[[products]]\nproduct = 7299999999999999999\n", "toml").rows[0].product == "7299999999999999999"


@pytest.mark.parametrize(
    ("header", "cell", "problem"),
    [
        ("product", "x" * (ID_MAX + 1), "its length is to be <= 128"),
        ("price_minor", "1000000000001", "it is to be <= 1000000000000"),
        ("name", "x" * 4_001, "its length is to be <= 4000"),
        ("segments", "a;" + "x" * 4_001, "its length is to be <= 4000 (at ...)"),
        ("answer:q", "x" * 4_001, "its length is to be <= 4000"),
    ],
)
def test_what_an_event_could_not_carry_is_a_problem_of_its_cell(header: str, cell: str, problem: str) -> None:
    """The limits of the contract are told here, not by the worker."""
    parsed = sheet(
        f"product,{header}" if header != "product" else header, f"p1,{cell}" if header != "product" else cell
    )

    assert len(parsed.problems) == 1
    assert problem.partition(" (")[0] in parsed.problems[0].problem


def test_an_offer_id_made_of_a_long_product_id_is_refused() -> None:
    """The name we would give must fit the contract too."""
    assert places(sheet("product,offer_price", f"{'x' * ID_MAX},9.9")) == [(2, "offer")]


def test_a_wrong_file_does_not_drown_its_author() -> None:
    """Beyond a limit the number of problems is told instead of each."""
    parsed = sheet("product,price", *[f"p{n},x" for n in range(500)])

    assert len(parsed.problems) == PROBLEMS_MAX + 1
    assert parsed.problems[-1].problem == "and 300 problems more"


def test_a_file_of_too_many_rows_is_refused_as_a_whole() -> None:
    """The limit is named."""
    parsed = sheet("product", *map(str, range(ROWS_MAX + 1)))

    assert parsed.rows == []
    assert [str(ROWS_MAX) in problem.problem for problem in parsed.problems] == [True]


# --- spreadsheets and their quirks


@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_the_byte_order_mark_do_not_matter(newline: str, prefix: bytes) -> None:
    """Files of Windows, Linux and old Macs, with or without the mark."""
    text = newline.join(["商品,价格", "p1,9.9", ""])

    assert products(prefix + text.encode(), "csv").rows == [Product(product="p1", price=990)]


@pytest.mark.parametrize(
    ("delimiter", "mark"),
    [(",", False), (";", False), ("\t", False), ("，", False), (",", True), (";", True), ("\t", True)],
)
def test_delimiters_of_other_countries_are_seen(delimiter: str, mark: bool) -> None:
    """Semicolons, tabs and a Chinese keyboard's comma; a spreadsheet's `sep=` line is no row, but a line."""
    lines = [delimiter.join(line) for line in (["product", "name", "price"], ["p1", "a", "9.9"], ["p2", "b", "x"])]
    parsed = sheet(*([f"sep={delimiter}"] if mark else []), *lines)

    assert parsed.rows == [Product(product="p1", name="a", price=990)]
    assert places(parsed) == [(4 if mark else 3, "price")]


def test_empty_lines_and_cells_of_a_spreadsheet_are_nothing() -> None:
    """Trailing rows of commas, trailing empty columns, blank lines, and columns for people."""
    parsed = sheet("", "product,price,备注,,", "p1,9.9,补货中,,", ",,,,", "  ,,,,", "", ",,")

    assert parsed == ([Product(product="p1", price=990)], [])


def test_a_quoted_cell_keeps_commas_and_lines_and_the_count_of_lines() -> None:
    """A description over three lines does not shift the place of later problems."""
    parsed = sheet("product,name,price", 'p1,"a, b\nc\nd",9.9', "p2,,x")

    assert parsed.rows == [Product(product="p1", name="a, b\nc\nd", price=990)]
    assert places(parsed) == [(5, "price")]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (["product,price", "p1,1,299.00"], (2, "")),
        (["product,", "p1,9.9"], (2, "")),
        (["product,商品", "p1,p1"], (1, "商品")),
        (["product,price", 'p1,"9.9', "p2,9.9"], (2, "")),
        (["product,price", 'p1,"9"9'], (2, "")),
        (["price", "9.9"], (2, "product")),
        ([], (0, "")),
        (["product,price"], (0, "")),
    ],
)
def test_a_broken_sheet_is_told_where_it_breaks(lines: list[str], place: tuple[int, str]) -> None:
    """An unquoted comma, a nameless column, a column twice, an open quote, no rows at all."""
    parsed = sheet(*lines)

    assert place in places(parsed)


@pytest.mark.parametrize("form", ["csv", "toml"])
def test_other_encodings_are_refused_with_a_hint(form: str) -> None:
    """GBK and UTF-16 are recognised and named; nothing is read as wrong characters."""
    text = "商品,价格\n抱枕,9.9\n"

    def hint(data: bytes) -> tuple[int, str]:
        parsed = products(data, "csv" if form == "csv" else "toml")
        assert parsed.rows == []
        (problem,) = parsed.problems
        return problem.row, problem.problem

    assert hint(text.encode("gbk")) == (1, "the file is not UTF-8, it looks like GBK; save it as CSV UTF-8")
    assert hint(text.encode("utf-16"))[1] == "the file is UTF-16; save it as CSV UTF-8"
    assert hint(b"product\n\xff\xff\xff")[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        "[[products]\n", "products = 1", "[products]\na = 1", "currency = 'yuan'\n[[products]]\nproduct='a'",
        "a = " + "[" * 5_000, "", "[[rundown]]\nproduct='a'", "a = 2024-99-99", "currency = 1\n",
    ],
)  # fmt: skip
def test_a_broken_toml_file_is_one_problem_of_the_file(text: str) -> None:
    """Whatever is wrong with the whole is told as row 0, with the line where TOML has one."""
    parsed = products(text.encode(), "toml")

    assert parsed.rows == []
    assert [problem.row for problem in parsed.problems] == [0]


# --- properties

ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and not cells._ROUNDED_ID.fullmatch(text)
)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=20)
catalogues = st.lists(
    st.builds(
        Product,
        product=ids,
        sku=st.none() | ids,
        name=words,
        price=st.none() | st.integers(0, 10**12),
        role=st.sampled_from([None, "traffic", "profit", "bag", "image"]),
        opening_stock=st.none() | st.integers(0, 10**12),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: (one.product, one.sku),
)


@given(catalogues, st.sampled_from(["CNY", "JPY"]), st.booleans())
def test_a_catalogue_survives_a_spreadsheet(catalogue: list[Product], currency: str, mark: bool) -> None:
    """Written as CSV with major units and read again, every product is the same."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["product", "sku", "name", "price", "role", "opening_stock"])
    places = cells.decimals(currency)
    for one in catalogue:
        major = None if one.price is None else f"{Decimal(one.price).scaleb(-places):.{places}f}"
        writer.writerow([one.product, one.sku, one.name, major, one.role, one.opening_stock])
    data = out.getvalue().encode("utf-8-sig" if mark else "utf-8")

    assert products(data, "csv", currency) == (catalogue, [])


@given(catalogues)
def test_a_catalogue_survives_toml(catalogue: list[Product]) -> None:
    """Written as TOML with minor units and read again, every product is the same."""
    lines = []
    for one in catalogue:
        lines.append("[[products]]")
        for name, value in msgspec.to_builtins(one).items():
            if value is not None:
                key = "price_minor" if name == "price" else name
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")  # TOML's strings are JSON's
    data = "\n".join(lines).encode()

    assert products(data, "toml") == (catalogue, [])


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(["csv", "toml"]))
def test_any_bytes_are_read_or_refused(data: bytes, form: str) -> None:
    """No file makes the reader fail: it gives rows or problems."""
    for reader in (products, rundown):
        parsed = reader(data, "csv" if form == "csv" else "toml")
        assert parsed.rows or parsed.problems


@given(
    st.lists(
        st.lists(
            st.sampled_from(["product", "p1", "price", "9.9", "", '"', "a,b", "ｘ", "\n", "offer_price"]), max_size=5
        ),
        max_size=5,
    )
)
def test_any_sheet_is_read_or_refused(rows: list[list[str]]) -> None:
    """Almost-sheets too: every problem has a row of the file."""
    text = "\n".join(",".join(row) for row in rows)
    parsed = products(text.encode(), "csv")

    assert parsed.rows or parsed.problems
    assert all(0 <= problem.row <= text.count("\n") + 1 for problem in parsed.problems)
