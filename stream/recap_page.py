"""The recap as one HTML page that needs nothing else: no script, no font, no picture from anywhere.

It works in light and dark, on a phone and on paper; every text that is not ours is escaped where it enters.
"""

from collections.abc import Iterable, Sequence

from stream.numbers import WINDOWLESS, Number
from stream.recap import ProductRow, PromptRow, Recap
from stream.recap_chart import chart
from stream.recap_style import STYLE
from stream.recap_text import (
    UNKNOWN,
    Language,
    check_language,
    clock,
    count,
    escape,
    figure,
    money,
    span,
    stamp,
    stem,
    word,
    zone_name,
)

# What a producer asks first, most important first.
TILES = (
    "gmv_paid", "orders_paid", "buyers", "viewers", "peak_online", "view_pay_rate", "aov", "gpm",
    "dwell_s", "interaction_rate", "follow_rate", "refunded",
)  # fmt: skip
# The steps of the funnel: its word, the number that counts its people, the ratio that leads to it, and the ratio that
# holds the count where that is absent (True: as its denominator). To the cart and to payment both lead from the click.
FUNNEL = (
    ("exposed_room", "exposures", "", "enter_rate", True),
    ("entered", "viewers", "enter_rate", "expose_rate", True),
    ("exposed", "exposed", "expose_rate", "expose_rate", False),
    ("clicked", "clickers", "click_rate", "click_rate", False),
    ("carted", "carters", "cart_rate", "cart_rate", False),
    ("paid", "buyers", "pay_rate", "pay_rate", False),
)
PLATFORMS = {
    "douyin": "抖音", "kuaishou": "快手", "taobao": "淘宝直播", "wechat": "视频号", "xiaohongshu": "小红书",
    "tiktok": "TikTok", "shopify": "Shopify", "twitch": "Twitch", "bilibili": "哔哩哔哩",
}  # fmt: skip


def page(recap: Recap, language: str, utc_offset_s: int) -> str:
    """The page in `language` (zh or en), its times at `utc_offset_s` seconds east of Greenwich.

    Raises ValueError for another language.
    """
    lang = check_language(language)
    title = f"{recap.title or recap.room} · {word('recap', lang)}"
    sections = (
        _header(recap, lang, utc_offset_s),
        _warnings(recap.warnings, lang),
        _tiles(recap, lang),
        _section("curve", chart(recap, lang, utc_offset_s) or _empty("no_minutes", lang), lang, wide=True),
        _section("funnel", _funnel(recap, lang), lang),
        _section("products", _products(recap, lang, utc_offset_s), lang),
        _section("prompts", _prompts(recap.prompts, lang, utc_offset_s), lang),
        _all_numbers(recap, lang),
    )
    return (
        f'<!doctype html>\n<html lang="{"zh-CN" if lang == "zh" else "en"}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # Were an escape ever missed, the browser still loads and runs nothing.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + f"\n<footer>{escape(word('legend', lang))} · {escape(word('local', lang, zone=zone_name(utc_offset_s)))}"
        " · liveroom</footer>\n</main>\n</body>\n</html>\n"
    )


def _header(recap: Recap, lang: Language, offset: int) -> str:
    start = stamp(recap.show_ms, offset)
    if recap.ended_ms is None:
        end = f"{word('on_air', lang)} {clock(recap.at_ms, offset, seconds=True)}"
        length = span((recap.at_ms - recap.show_ms) // 1000)
    else:
        ended = stamp(recap.ended_ms, offset)
        end = ended if ended[:10] != start[:10] else ended[11:]
        length = span((recap.ended_ms - recap.show_ms) // 1000)
    facts = [
        (word("host", lang), recap.host),
        (word("platform", lang), PLATFORMS.get(recap.platform, recap.platform) if lang == "zh" else recap.platform),
        (word("room", lang), recap.room),
        (word("time", lang), f"{start[:16]} – {end}  ({length})"),
    ]
    shown = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts if v)
    return (
        f'<header><p class="eyebrow">{escape(word("recap", lang))}</p>'
        f"<h1>{escape(recap.title or recap.room)}</h1><dl>{shown}</dl></header>"
    )


def _warnings(warnings: Sequence[str], lang: Language) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in warnings)
    return f'<section class="warnings"><h2>{escape(word("warnings", lang))}</h2><ul>{items}</ul></section>'


def show_key(name: str) -> str:
    """The key of the number of the whole show, or of the one that has no window."""
    return name if name in WINDOWLESS else f"{name}_show"


def _tiles(recap: Recap, lang: Language) -> str:
    tiles = []
    for name in TILES:
        key = show_key(name)
        number = recap.numbers.get(key)
        text = figure(key, number, recap.currency, lang)
        basis = _basis(number) if name.endswith("_rate") else ""
        tiles.append(
            f'<div class="tile{" unknown" if text == UNKNOWN else ""}"><b>{escape(word(name, lang))}</b>'
            f"<strong>{escape(text)}</strong><small>{escape(basis)}</small></div>"
        )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _basis(number: Number | None) -> str:
    if number is None or number.value is None or number.num is None or number.den is None:
        return ""
    return f"{count(number.num)} / {count(number.den)}"


def _section(name: str, body: str, lang: Language, wide: bool = False) -> str:
    inner = f'<div class="scroll">{body}</div>' if wide else body
    return f'<section class="card {name}"><h2>{escape(word(name, lang))}</h2>{inner}</section>'


def _empty(key: str, lang: Language) -> str:
    return f'<p class="empty">{escape(word(key, lang))}</p>'


def _table(head: Iterable[str], rows: Iterable[str], foot: str = "") -> str:
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"{f'<tfoot>{foot}</tfoot>' if foot else ''}</table></div>"
    )


# --- funnel


def funnel_steps(recap: Recap) -> list[tuple[str, int | None, str]]:
    """(word, people, status) of each step; people None where the show did not tell."""
    steps: list[tuple[str, int | None, str]] = []
    for label, name, _, ratio, denominator in FUNNEL:
        number, held = recap.numbers.get(show_key(name)), recap.numbers.get(show_key(ratio))
        people = None if number is None or number.value is None else round(number.value)
        status: str = number.status if number is not None else "missing"
        if people is None and held is not None and held.status != "missing":
            people, status = (held.den if denominator else held.num), held.status
        steps.append((label, people, status))
    return steps


def _funnel(recap: Recap, lang: Language) -> str:
    steps = funnel_steps(recap)
    known = [people for _, people, _ in steps if people is not None]
    if not known:
        return _empty("empty", lang)
    top = max([1, *known])
    rows = []
    for (label, people, status), (_, _, rate, _, _) in zip(steps, FUNNEL, strict=True):
        mark = "≈ " if status == "estimated" and people is not None else ""
        number = recap.numbers.get(show_key(rate)) if rate else None
        share = escape(figure(show_key(rate), number, recap.currency, lang)) if rate else ""
        rows.append(
            f"<tr><th>{escape(word(label, lang))}</th><td class=n>{mark}{count(people)}</td>"
            f"<td class=n>{share}</td><td class=n><small>{_basis(number)}</small></td>"
            f"<td class=wide>{_meter(people, top)}</td></tr>"
        )
    head = [word(key, lang) for key in ("step", "people", "step_rate", "basis")]
    return _table([*head, ""], rows)


def _meter(value: int | None, top: int) -> str:
    """A bar as long as the value's share of `top`."""
    if not value or value < 0:
        return ""
    return f'<span class="meter"><i style="width:{min(100, max(1, value * 100 // max(1, top)))}%"></i></span>'


# --- products


def _products(recap: Recap, lang: Language, offset: int) -> str:
    if not recap.products:
        return _empty("empty", lang)
    rows = sorted(recap.products, key=lambda p: (-(p.gmv or 0), -(p.orders or 0), -(p.clicks or 0), p.product))
    top = max([1, *(p.gmv for p in rows if p.gmv is not None)])
    head = [word(k, lang) for k in ("product", "clicks", "carts", "orders", "units", "gmv", "refunded", "stock")]
    head += [word(k, lang) for k in ("first_pin", "pinned", "per_pitch")]
    body = [_product(p, recap.currency, top, offset) for p in rows]
    sums = [_sum(getattr(p, name) for p in rows) for name in ("clicks", "carts", "orders", "units")]
    amounts = [_sum(getattr(p, name) for p in rows) for name in ("gmv", "refunded")]
    foot = (
        f"<tr><th>{escape(word('total', lang))}</th>"
        + "".join(f"<td class=n>{count(s)}</td>" for s in sums)
        + "".join(f"<td class=n>{escape(money(a, recap.currency))}</td>" for a in amounts)
        + f"<td></td><td></td><td class=n>{span(_sum(p.pinned_s for p in rows))}</td><td></td></tr>"
    )
    return _table(head, body, foot)


def _product(p: ProductRow, currency: str, top: int, offset: int) -> str:
    stock = count(p.stock) if p.opening_stock is None else f"{count(p.stock)} / {count(p.opening_stock)}"
    pitch = p.gmv * 60 // p.pinned_s if p.gmv is not None and p.pinned_s else None
    ident = f"<small>{escape(p.product)}</small>" if p.name else ""
    out = " out" if p.stock == 0 else ""
    return (
        f"<tr><th><span>{escape(p.name or p.product)}</span>{ident}</th>"
        + "".join(f"<td class=n>{count(value)}</td>" for value in (p.clicks, p.carts, p.orders, p.units))
        + f"<td class=n>{escape(money(p.gmv, currency))}{_meter(p.gmv, top)}</td>"
        f"<td class=n>{escape(money(p.refunded, currency))}</td><td class='n{out}'>{stock}</td>"
        f"<td class=n>{UNKNOWN if p.first_pin_ms is None else clock(p.first_pin_ms, offset)}</td>"
        f"<td class=n>{span(p.pinned_s)}</td><td class=n>{escape(money(pitch, currency))}</td></tr>"
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


# --- prompts


def _prompts(prompts: Sequence[PromptRow], lang: Language, offset: int) -> str:
    if not prompts:
        return _empty("empty", lang)
    head = ["#"] + [word(k, lang) for k in ("time", "prompt", "audience", "state", "answered", "why")]
    return _table(head, (_prompt(i, p, lang, offset) for i, p in enumerate(prompts, 1)))


def _prompt(i: int, p: PromptRow, lang: Language, offset: int) -> str:
    answered = None if p.done_ms is None else (p.done_ms - (p.shown_ms or p.issued_ms)) // 1000
    audience = word(f"aud_{p.audience}", lang) if p.audience in ("host", "producer") else p.audience
    state = word(f"st_{p.state}", lang)
    tone = {"done": "done", "issued": "open", "shown": "open"}.get(p.state, "dropped")
    say = f'<p class="say">{escape(p.say)}</p>' if p.say else ""
    about = " · ".join(text for text in (p.play, p.class_, p.product, p.offer) if text)
    return (
        f"<tr><td class=n>{i}</td><td class=n>{clock(p.issued_ms, offset, seconds=True)}</td>"
        f"<th><span>{escape(p.title or p.play)}</span>{say}<small>{escape(about)}</small></th>"
        f"<td>{escape(audience)}</td><td><span class='state {tone}'>{escape(state.removeprefix('st_'))}</span></td>"
        f"<td class=n>{span(answered)}</td><td class=why>{escape(p.why)}</td></tr>"
    )


# --- every number


def _all_numbers(recap: Recap, lang: Language) -> str:
    """All numbers of the show, folded; a missing one is listed too, since that it is missing is a finding."""
    rows = [
        f"<tr><th><span>{escape(word(stem(key), lang))}</span><small>{escape(key)}</small></th>"
        f"<td class=n>{escape(figure(key, number, recap.currency, lang))}</td><td class=n>{_basis(number)}</td>"
        f"<td>{escape(word('status_' + number.status, lang))}</td></tr>"
        for key, number in sorted(recap.numbers.items())
        if key.endswith("_show") or key in WINDOWLESS
    ]
    if not rows:
        return ""
    table = _table([word(k, lang) for k in ("number", "value", "basis", "status")], rows)
    return (
        f'<section class="card"><details><summary>{escape(word("numbers", lang))} ({len(rows)})</summary>'
        f"{table}</details></section>"
    )
