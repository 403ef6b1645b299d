"""A catalogue or a rundown as people write it, in TOML or in CSV out of a spreadsheet, read into products and items.

Every problem is told with its row and column, all at once: the author mends the file in one go.
Columns may have Chinese names; prices are text in major units, or whole minor units in a column `…_minor`.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from stream import catalogue_cells as cells
from stream.catalogue import ID_MAX, Offer, Product, RundownItem, Text
from stream.catalogue_sheets import Format, Problem, Row, Sheet, Unreadable, read

T = TypeVar("T", Product, RundownItem)
Read = Callable[[Any], Any]

PROBLEMS_MAX = 200  # a person mends so many before looking again; a wrong file has them in every cell

_ROLES = {
    "traffic": "traffic", "引流": "traffic", "引流款": "traffic", "福利款": "traffic",
    "profit": "profit", "利润": "profit", "利润款": "profit",
    "bag": "bag", "福袋": "bag", "盲袋": "bag",
    "image": "image", "形象": "image", "形象款": "image",
}  # fmt: skip
_KINDS = {
    "flash": "flash", "秒杀": "flash", "限时": "flash", "限量": "flash",
    "bundle": "bundle", "组合": "bundle", "满减": "bundle",
    "coupon": "coupon", "优惠券": "coupon", "券": "coupon",
    "gift": "gift", "赠品": "gift",
    "bag": "bag", "福袋": "bag",
    "presale": "presale", "预售": "presale",
}  # fmt: skip
_PRODUCT_ALIASES = {
    "商品": "product", "商品id": "product", "商品编号": "product", "链接": "product",
    "规格": "sku", "款式": "sku", "variant": "sku",
    "名称": "name", "商品名称": "name", "品名": "name",
    "价格": "price", "售价": "price", "直播价": "price",
    "其他价格": "other_prices", "其他有效价": "other_prices",
    "角色": "role", "定位": "role",
    "类目": "category", "品类": "category",
    "库存": "stock", "开播库存": "opening_stock", "上架库存": "opening_stock",
    "日销": "daily_sales", "日销量": "daily_sales", "日均销量": "daily_sales",
    "人群": "segments", "标签": "tags",
    "信任": "trust", "信任素材": "trust", "背书": "trust",
    "供应商": "supplier", "备用供应商": "backup", "备选供应商": "backup",
    "交期": "lead_days", "交期天数": "lead_days", "补货天数": "lead_days",
    "内容": "contents", "袋内商品": "contents",
    "福利": "offer", "活动": "offer",
    "福利类型": "offer_kind", "活动类型": "offer_kind",
    "福利价": "offer_price", "活动价": "offer_price",
    "福利数量": "offer_quantity", "活动数量": "offer_quantity",
    "限购": "offer_per_person", "每人限购": "offer_per_person",
    "福利分钟": "offer_minutes", "活动分钟": "offer_minutes",
    "福利说明": "offer_text", "活动说明": "offer_text",
}  # fmt: skip
_RUNDOWN_ALIASES = {
    "顺序": "order", "序号": "order", "商品": "product", "商品id": "product", "商品编号": "product", "链接": "product",
    "分钟": "minutes", "时长": "minutes", "讲解分钟": "minutes",
    "价格": "price", "直播价": "price", "数量": "quantity", "件数": "quantity",
}  # fmt: skip
_ANSWER_PREFIXES = ("answer:", "回答:", "答:")  # a CSV column for one question
_NOTES = frozenset({"note", "notes", "备注", "说明"})  # columns for people, not for us
_PRODUCT_TABLES = ("products", "product", "catalogue")
_RUNDOWN_TABLES = ("rundown", "items", "item")


class Parsed(NamedTuple, Generic[T]):
    """The rows that can be used, and what is wrong with the others; take them only where nothing is wrong."""

    rows: list[T]
    problems: list[Problem]


class _Columns(NamedTuple):
    """Which column feeds which field, and how it is read; `aliases` are other names, in lower case."""

    reads: Mapping[str, tuple[str, Read]]
    aliases: Mapping[str, str]

    def canonical(self, name: str) -> str | None:
        """The column's own name, None for one that is not known."""
        plain = cells.plain(name).lower()
        plain = self.aliases.get(plain, plain.replace(" ", "_"))
        return plain if plain in self.reads else None


def products(data: bytes, form: Format, currency: str = "CNY") -> Parsed[Product]:
    """The catalogue in `data`; prices are of `currency` unless a TOML file states its own.

    >>> parsed = products("商品,价格\\r\\np1,9.9\\r\\np2,abc\\r\\n".encode(), "csv")
    >>> [(one.product, one.price) for one in parsed.rows], parsed.problems[0].row, parsed.problems[0].column
    ([('p1', 990)], 3, '价格')
    """
    problems: list[Problem] = []
    rows: list[tuple[int, Product]] = []
    try:
        sheet = read(data, form, _PRODUCT_TABLES, frozenset(_RUNDOWN_TABLES), problems)
        paid_in = _currency(sheet.currency or currency)
        own, offer, offer_table = _product_columns(paid_in), _offer_columns(paid_in, "offer_"), _offer_columns(paid_in)
        problems.extend(_header_problems(sheet, own, offer))
        for row in sheet.rows:
            product = _product(_known(row, sheet, own, offer), own, offer, offer_table, problems)
            if product is not None:
                rows.append((row.number, product))
    except Unreadable as unreadable:
        problems.append(unreadable.problem)
    problems.extend(_twins(rows, "product", lambda one: (one.product, one.sku)))
    problems.extend(_clashes(rows))
    return Parsed([one for _, one in rows], _limited(problems))


def rundown(data: bytes, form: Format, currency: str = "CNY") -> Parsed[RundownItem]:
    """The running order in `data`; in a file without any `order` the rows count themselves."""
    problems: list[Problem] = []
    rows: list[tuple[int, RundownItem]] = []
    try:
        sheet = read(data, form, _RUNDOWN_TABLES, frozenset(_PRODUCT_TABLES), problems)
        columns = _rundown_columns(_currency(sheet.currency or currency))
        problems.extend(_header_problems(sheet, columns))
        ordered = any(columns.canonical(name) == "order" for row in sheet.rows for name in row.cells)
        for place, row in enumerate(sheet.rows, 1):
            known = _known(row, sheet, columns)
            values = _fields(known, columns, RundownItem, problems, {} if ordered else {"order": place})
            if values is not None:
                rows.append((row.number, RundownItem(**values)))
    except Unreadable as unreadable:
        problems.append(unreadable.problem)
    problems.extend(_twins(rows, "order", lambda one: one.order))
    return Parsed([one for _, one in rows], _limited(problems))


def _limited(problems: list[Problem]) -> list[Problem]:
    found = sorted(problems, key=lambda problem: problem.row)
    more = len(found) - PROBLEMS_MAX
    return found if more <= 0 else [*found[:PROBLEMS_MAX], Problem(0, "", f"and {more} problems more")]


def _twins(rows: list[tuple[int, T]], column: str, key: Callable[[T], Hashable]) -> Iterator[Problem]:
    """Rows that say who they are in the same words as an earlier one."""
    first: dict[Hashable, int] = {}
    for number, one in rows:
        before = first.setdefault(key(one), number)
        if before != number:
            yield Problem(number, column, f"is already in row {before}")


def _currency(raw: Any) -> str:
    try:
        currency = cells.plain(raw).upper()
        cells.decimals(currency)
    except ValueError as error:
        raise Unreadable(0, str(error)) from None
    return currency


# --- columns


def _product_columns(currency: str) -> _Columns:
    price, prices = partial(cells.price, currency=currency), partial(cells.prices, currency=currency)
    return _Columns(
        {
            "product": ("product", cells.identity),
            "sku": ("sku", cells.identity),
            "name": ("name", cells.text),
            "price": ("price", price),
            "price_minor": ("price", cells.count),
            "other_prices": ("other_prices", prices),
            "other_prices_minor": ("other_prices", cells.counts),
            "role": ("role", partial(cells.choice, names=_ROLES)),
            "category": ("category", cells.text),
            "stock": ("stock", cells.count),
            "opening_stock": ("opening_stock", cells.count),
            "daily_sales": ("daily_sales", cells.count),
            "segments": ("segments", cells.words),
            "tags": ("tags", cells.words),
            "trust": ("trust", cells.words),
            "supplier": ("supplier", cells.text),
            "backup": ("backup", cells.text),
            "lead_days": ("lead_days", cells.count),
            "contents": ("contents", cells.contents),
        },
        _PRODUCT_ALIASES,
    )


def _offer_columns(currency: str, prefix: str = "") -> _Columns:
    """Of an offer's own table, or with the prefix `offer_` of the columns beside its product."""
    reads: dict[str, tuple[str, Read]] = {
        "kind": ("kind", partial(cells.choice, names=_KINDS)),
        "price": ("price", partial(cells.price, currency=currency)),
        "price_minor": ("price", cells.count),
        "quantity": ("quantity", cells.count),
        "per_person": ("per_person", cells.count),
        "minutes": ("minutes", cells.count),
        "text": ("text", cells.text),
    }
    own = {prefix + name: read for name, read in reads.items()}
    return _Columns(own | {"offer": ("offer", cells.identity)}, _PRODUCT_ALIASES)


def _rundown_columns(currency: str) -> _Columns:
    return _Columns(
        {
            "order": ("order", cells.count),
            "product": ("product", cells.identity),
            "minutes": ("minutes", cells.count),
            "price": ("price", partial(cells.price, currency=currency)),
            "price_minor": ("price", cells.count),
            "quantity": ("quantity", cells.count),
        },
        _RUNDOWN_ALIASES,
    )


def _header_problems(sheet: Sheet, *columns: _Columns) -> Iterator[Problem]:
    """Columns of a CSV file that nobody knows, or that stand there twice."""
    first: dict[str, str] = {}
    for name in filter(None, sheet.header):
        known = _canonical(name, columns)
        if known is None:
            if cells.plain(name).lower() not in _NOTES:
                yield Problem(sheet.header_row, name, _unknown(name, columns))
        elif known in first:
            yield Problem(sheet.header_row, name, f"is the same column as {first[known]}")
        else:
            first[known] = name


def _canonical(name: str, columns: tuple[_Columns, ...]) -> str | None:
    if len(columns) > 1 and _question(name) is not None:
        return cells.plain(name)
    return next(filter(None, (one.canonical(name) for one in columns)), None)


def _unknown(name: str, columns: tuple[_Columns, ...]) -> str:
    known = [column for one in columns for column in (*one.reads, *one.aliases)]
    nearest = get_close_matches(cells.plain(name).lower(), known, n=1)
    return "is no column that is known" + (f"; do you mean {nearest[0]}?" if nearest else "")


def _known(row: Row, sheet: Sheet, *columns: _Columns) -> Row:
    """A row of a CSV file without the columns its header was told of; a TOML table has no header and stays."""
    if not sheet.header:
        return row
    return Row(row.number, {name: cell for name, cell in row.cells.items() if _canonical(name, columns)})


def _question(name: str) -> str | None:
    """The question of a column such as `answer:size`."""
    plain = cells.plain(name)
    for prefix in _ANSWER_PREFIXES:
        if plain.lower().startswith(prefix):
            return plain[len(prefix) :].strip() or None
    return None


# --- rows into records


def _product(
    row: Row, own: _Columns, offer: _Columns, offer_table: _Columns, problems: list[Problem]
) -> Product | None:
    before = len(problems)
    mine: dict[str, Any] = {}
    beside: dict[str, Any] = {}  # an offer in columns of its product's row
    answers: dict[str, str] = {}
    for name, cell in row.cells.items():
        question = _question(name)
        if question is not None:
            answers |= _answers(row.number, {question: cell}, problems)
        elif own.canonical(name) is None and offer.canonical(name) is not None:
            beside[name] = cell
        else:
            mine[name] = cell
    tables = mine.pop("offers", [])
    answers |= _answers(row.number, mine.pop("answers", {}), problems)
    values = _fields(Row(row.number, mine), own, Product, problems)
    unnamed = "-".join(str(mine[name]) for name in mine if own.canonical(name) in ("product", "sku"))
    offers = [_offer(Row(row.number, beside), offer, unnamed, problems)] if beside else []
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(Problem(row.number, "offers", "is no list of tables; write [[products.offers]]"))
    else:
        for n, table in enumerate(tables, 1):
            offers.append(_offer(Row(row.number, table), offer_table, unnamed, problems, f"offers[{n}]."))
    if values is None or len(problems) > before:
        return None
    return Product(**values, offers=tuple(filter(None, offers)), answers=answers)


def _answers(row: int, raw: Any, problems: list[Problem]) -> dict[str, str]:
    try:
        return msgspec.convert(raw, dict[str, Text])
    except msgspec.ValidationError as error:
        problems.append(Problem(row, "answers", f'{_in_words(error)}; write each as question = "answer"'))
        return {}


def _offer(row: Row, columns: _Columns, product: str, problems: list[Problem], prefix: str = "") -> Offer | None:
    values = _fields(row, columns, Offer, problems, {"offer": ""}, prefix)
    if values is None:
        return None
    if not values["offer"]:  # unnamed: after its product and kind
        values["offer"] = f"{product}-{values.get('kind', 'flash')}"
        if len(values["offer"]) > ID_MAX:
            problems.append(
                Problem(row.number, prefix + "offer", "is missing, and the product's id is too long for it")
            )
            return None
    return Offer(**values)


def _clashes(rows: list[tuple[int, Product]]) -> Iterator[Problem]:
    """Offers with one id that are not one offer; variants of a product may share theirs."""
    first: dict[str, tuple[int, str, Offer]] = {}
    for number, product in rows:
        for offer in product.offers:
            row, owner, before = first.setdefault(offer.offer, (number, product.product, offer))
            if before is not offer and (row == number or (owner, before) != (product.product, offer)):
                yield Problem(number, "offer", f"{offer.offer} is another offer's id in row {row}")


def _fields(
    row: Row,
    columns: _Columns,
    kind: type[msgspec.Struct],
    problems: list[Problem],
    given: Mapping[str, Any] = {},
    prefix: str = "",
) -> dict[str, Any] | None:
    """The fields of a `kind` in a row, `given` where it does not say; None where one is wrong or missing."""
    types = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = dict(given)
    named: dict[str, str] = {}
    before = len(problems)

    def tell(column: str, problem: str) -> None:
        problems.append(Problem(row.number, prefix + column, problem))

    for name, cell in row.cells.items():
        canonical = columns.canonical(name)
        if canonical is None:
            tell(name, _unknown(name, (columns,)))
            continue
        field, read_cell = columns.reads[canonical]
        if field in named:
            tell(name, f"says the same as {named[field]}; leave one of them out")
            continue
        named[field] = name
        try:
            values[field] = msgspec.convert(read_cell(cell), types[field].type)
        except msgspec.ValidationError as error:
            tell(name, _in_words(error))
        except ValueError as error:
            tell(name, str(error))
    for name, info in types.items():
        if info.required and name not in named and name not in given:
            tell(name, "is missing")
    return None if len(problems) > before else values


def _in_words(error: msgspec.ValidationError) -> str:
    """What msgspec says of a value, for someone who never heard of it."""
    said, _, place = str(error).partition(" - at `$")
    said = said.replace("Expected `str` of length", "its length is to be").replace("Expected `int`", "it is to be")
    return said.replace("`", "") + (f" (at {place.strip('`[]')})" if place else "")
