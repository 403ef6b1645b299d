"""How the recap writes things: money, counts, rates, times and words, in Chinese and English.

Money is written from whole minor units with exactly the currency's digits, never by way of a float.
Unknown is "–", estimated is marked "≈".
"""

import html
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from stream.numbers import BY_KEY, WINDOWLESS, Number

Language = Literal["zh", "en"]
UNKNOWN = "–"
_LANGUAGES: dict[str, Language] = {"zh": "zh", "en": "en"}

# ISO 4217: the currencies whose minor unit is not a hundredth.
_NO_DIGITS = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
_DIGITS = {
    **dict.fromkeys(_NO_DIGITS, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
_SIGNS = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "KRW": "₩", "THB": "฿", "VND": "₫", "INR": "₹"}

_WORDS: dict[str, tuple[str, str]] = {
    "recap": ("直播复盘", "Show recap"),
    "on_air": ("直播中，数据截至", "On air; as of"),
    "as_of": ("数据截至", "Figures as of"),
    "host": ("主播", "Host"),
    "room": ("直播间", "Room"),
    "platform": ("平台", "Platform"),
    "time": ("时间", "Time"),
    "warnings": ("数据提醒", "About these figures"),
    "curve": ("分钟曲线", "Minute by minute"),
    "funnel": ("转化漏斗", "Funnel"),
    "products": ("商品", "Products"),
    "prompts": ("提示与执行", "Prompts"),
    "numbers": ("全场指标", "All numbers of the show"),
    "empty": ("暂无数据", "No data"),
    "no_minutes": ("本场没有分钟数据", "This show has no minutes yet"),
    "online": ("在线人数", "Online"),
    "peak": ("峰值", "peak"),
    "flow": ("进入 / 离开", "Joins / leaves"),
    "joins": ("进入", "Joins"),
    "leaves": ("离开", "Leaves"),
    "chats": ("评论", "Chats"),
    "likes": ("点赞", "Likes"),
    "carts": ("加购", "Cart adds"),
    "clicks": ("商品点击", "Clicks"),
    "orders": ("支付订单", "Orders paid"),
    "units": ("件数", "Units"),
    "gmv": ("成交额", "GMV"),
    "refunded": ("退款", "Refunded"),
    "pitch": ("讲解", "On pin"),
    "events": ("事件", "Events"),
    "per_bin": ("每{n}分钟", "per {n} min"),
    "per_minute": ("每分钟", "per minute"),
    "minute": ("分钟", "min"),
    "local": ("时间为 {zone}", "Times in {zone}"),
    "legend": ("“–” 表示缺数据，“≈” 表示估算", "“–” is unknown, “≈” is estimated"),
    "step": ("环节", "Step"),
    "people": ("人数", "People"),
    "step_rate": ("转化率", "Rate"),
    "exposed_room": ("直播间曝光", "Room exposures"),
    "entered": ("进入直播间", "Entered"),
    "exposed": ("商品曝光", "Saw a product"),
    "clicked": ("商品点击", "Clicked a product"),
    "carted": ("加购", "Added to cart"),
    "paid": ("支付", "Paid"),
    "product": ("商品", "Product"),
    "stock": ("库存", "Stock left"),
    "first_pin": ("首次讲解", "First pinned"),
    "pinned": ("讲解时长", "Pinned for"),
    "per_pitch": ("每讲解分钟成交", "GMV per pinned min"),
    "total": ("合计", "Total"),
    "prompt": ("提示", "Prompt"),
    "audience": ("对象", "To"),
    "state": ("结果", "Outcome"),
    "answered": ("响应", "Answered in"),
    "why": ("依据", "Why"),
    "number": ("指标", "Number"),
    "value": ("数值", "Value"),
    "basis": ("分子 / 分母", "Of"),
    "status": ("状态", "Status"),
    "stale": ("（已过时）", " (stale)"),
    "aud_host": ("主播", "host"),
    "aud_producer": ("场控", "producer"),
    "st_issued": ("未显示", "issued"),
    "st_shown": ("已显示", "shown"),
    "st_done": ("已执行", "done"),
    "st_skipped": ("已跳过", "skipped"),
    "st_expired": ("已过期", "expired"),
    "st_superseded": ("被替换", "superseded"),
    "st_withheld": ("未发（对照）", "withheld"),
    "st_withdrawn": ("已撤回", "withdrawn"),
    "st_waiting": ("待批准", "waiting"),
    "status_ok": ("正常", "ok"),
    "status_estimated": ("估算", "estimated"),
    "status_missing": ("缺失", "missing"),
    "status_stale": ("已过时", "stale"),
    "k_offer": ("福利", "Offer"),
    "k_violation": ("违规", "Violation"),
    "k_pause": ("暂停", "Pause"),
    "k_start": ("开播", "Start"),
    "k_end": ("下播", "End"),
    "k_pin": ("讲解", "Pin"),
    "k_prompt": ("提示", "Prompt"),
    "gmv_paid": ("成交额", "GMV paid"),
    "gmv_created": ("下单额", "GMV created"),
    "orders_paid": ("支付订单", "Orders paid"),
    "orders_created": ("下单数", "Orders created"),
    "units_paid": ("支付件数", "Units paid"),
    "buyers": ("支付人数", "Buyers"),
    "viewers": ("观看人数", "Viewers"),
    "views": ("观看次数", "Views"),
    "peak_online": ("最高在线", "Peak online"),
    "dwell_s": ("人均停留", "Average stay"),
    "over_1min_rate": ("停留超 1 分钟", "Stayed over 1 min"),
    "interaction_rate": ("互动率", "Interaction"),
    "follow_rate": ("转粉率", "Follow rate"),
    "view_pay_rate": ("观看-成交率", "Viewers who paid"),
    "click_rate": ("商品点击率", "Click rate"),
    "cart_rate": ("加购率", "Cart rate"),
    "pay_rate": ("点击-成交率", "Clickers who paid"),
    "gpm": ("千次观看成交", "GPM"),
    "aov": ("客单价", "Average per buyer"),
    "uv_value": ("UV 价值", "Value per viewer"),
    "refund_rate": ("退款率", "Refund rate"),
    "inflow_per_min": ("流速（人/分）", "Joins per minute"),
    "chats_per_min": ("评论（条/分）", "Chats per minute"),
    "chat_density": ("评论密度", "Chats per 100 online"),
    "chatters": ("评论人数", "People who chatted"),
    "follows": ("关注", "Follows"),
    "shares": ("分享", "Shares"),
    "fanclub_joins": ("加粉丝团", "Fan-club joins"),
    "fanclub_rate": ("加团率", "Fan-club rate"),
    "gifts": ("礼物", "Gifts"),
    "gift_value": ("礼物价值（平台币）", "Gift value (coins)"),
    "exposures": ("直播间曝光", "Room exposures"),
    "exposes": ("商品曝光次数", "Product exposures"),
    "clickers": ("点击人数", "People who clicked"),
    "carters": ("加购人数", "People who added to cart"),
    "creators": ("下单人数", "People who ordered"),
    "units_created": ("下单件数", "Units ordered"),
    "refunds": ("退款订单", "Orders refunded"),
    "private_joins": ("加入私域", "Private joins"),
    "enter_rate": ("曝光-进入率", "Enter rate"),
    "expose_rate": ("商品曝光率", "Product exposure rate"),
    "create_rate": ("点击-下单率", "Clickers who ordered"),
    "per_order": ("单均价", "Average per order"),
    "per_unit": ("件单价", "Average per unit"),
    "online_1m": ("近 1 分钟在线", "Online, 1-min mean"),
    "retention_30s": ("30 秒留存", "Stayed 30 s"),
    "retention_60s": ("60 秒留存", "Stayed 60 s"),
    "retention_180s": ("3 分钟留存", "Stayed 3 min"),
    "retention_300s": ("5 分钟留存", "Stayed 5 min"),
}


def check_language(language: str) -> Language:
    """The language, if the recap speaks it. Raises ValueError."""
    if language not in _LANGUAGES:
        raise ValueError(f"the recap speaks {' and '.join(_LANGUAGES)}, not {language!r}")
    return _LANGUAGES[language]


def word(key: str, language: Language, **values: object) -> str:
    """The recap's word for `key`; a key without one is its own word."""
    zh, en = _WORDS.get(key, (key, key))
    return (zh if language == "zh" else en).format(**values) if values else (zh if language == "zh" else en)


def escape(text: str) -> str:
    """The text as HTML and SVG content or attribute: markup quoted, characters no page may hold replaced."""
    clean = "".join(c if c >= " " or c in "\n\t" else " " for c in text)
    return html.escape(clean.encode("utf-8", "replace").decode(), quote=True)


# --- money


def digits_of(currency: str) -> int:
    """Digits of the minor unit (ISO 4217); 2 for a currency we do not know."""
    return _DIGITS.get(currency.upper(), 2)


def major(minor: int, currency: str) -> str:
    """Minor units as plain digits in major units.

    >>> major(990, "CNY"), major(-5, "USD"), major(990, "JPY"), major(1234567, "KWD")
    ('9.90', '-0.05', '990', '1234.567')
    """
    digits = digits_of(currency)
    sign, text = "-" if minor < 0 else "", str(abs(minor)).zfill(digits + 1)
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def money(minor: int | None, currency: str) -> str:
    """Money for people: sign of the currency, thousands grouped, every digit.

    >>> money(123456789, "CNY"), money(-990, "JPY"), money(1500, "CHF"), money(None, "CNY")
    ('¥1,234,567.89', '-¥990', 'CHF 15.00', '–')
    """
    if minor is None:
        return UNKNOWN
    whole, dot, fraction = major(abs(minor), currency).partition(".")
    sign = _SIGNS.get(currency.upper(), f"{currency} ")
    return f"{'-' if minor < 0 else ''}{sign}{int(whole):,}{dot}{fraction}"


def money_short(minor: int, currency: str, language: Language) -> str:
    """A round amount for the scale of a chart: no digits that are nought, thousands and ten thousands as words.

    >>> money_short(5_000_000, "CNY", "zh"), money_short(800_000_000, "CNY", "en"), money_short(250, "CNY", "en")
    ('¥5万', '¥8M', '¥2.50')
    """
    unit = 10 ** digits_of(currency)
    steps = ((10**8, "亿"), (10**4, "万")) if language == "zh" else ((10**9, "B"), (10**6, "M"), (10**3, "k"))
    for size, name in steps:
        if minor >= size * unit and minor * 10 % (size * unit) == 0:
            tenths = minor * 10 // (size * unit)
            whole = f"{tenths // 10:,}" + (f".{tenths % 10}" if tenths % 10 else "")
            return _SIGNS.get(currency.upper(), f"{currency} ") + whole + name
    text = money(minor, currency)
    return text if minor % unit else text.split(".")[0]


# --- numbers


def count(value: int | float | None) -> str:
    """A count with thousands grouped; a mean is rounded to a whole."""
    return UNKNOWN if value is None else f"{round(value):,}"


def percent(value: float | None) -> str:
    """A ratio of 0…1 in percent."""
    return UNKNOWN if value is None else f"{value * 100:.1f}%"


def span(seconds: int | float | None) -> str:
    """A time span as m:ss or h:mm:ss.

    >>> span(75), span(3675), span(None)
    ('1:15', '1:01:15', '–')
    """
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def stem(key: str) -> str:
    """The name of a number without its window: `gmv_paid_show` is a `gmv_paid`."""
    return BY_KEY[key][0].name if key in BY_KEY else key


def unit_of(key: str) -> str:
    """The unit its definition gives a number; "" for a key without one."""
    if key in WINDOWLESS:
        return WINDOWLESS[key][0]
    return BY_KEY[key][0].unit if key in BY_KEY else ""


def figure(key: str, number: Number | None, currency: str, language: Language) -> str:
    """A number as the recap shows it: "–" where missing, "≈" before an estimate, marked where stale."""
    if number is None or number.value is None or number.status == "missing":
        return UNKNOWN
    value = number.value
    match unit_of(key):
        case "minor":
            # gpm and its kin are quotients of minor units: rounded to a whole one, half to even
            text = money(int(Decimal(str(value)).to_integral_value(ROUND_HALF_EVEN)), currency)
        case "ratio":
            text = percent(value)
        case "seconds":
            text = span(value)
        case "per minute":
            text = f"{value:,.2f}"
        case _:
            text = count(value)
    return {"estimated": "≈ " + text, "stale": text + word("stale", language)}.get(number.status, text)


# --- times


def _local(at_ms: int, utc_offset_s: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC) + timedelta(seconds=utc_offset_s)


def stamp(at_ms: int, utc_offset_s: int) -> str:
    """Date and time at `utc_offset_s` seconds east of Greenwich.

    >>> stamp(1_767_225_600_000, 8 * 3600)
    '2026-01-01 08:00:00'
    """
    return _local(at_ms, utc_offset_s).strftime("%Y-%m-%d %H:%M:%S")


def clock(at_ms: int, utc_offset_s: int, seconds: bool = False) -> str:
    """The time of day."""
    return _local(at_ms, utc_offset_s).strftime("%H:%M:%S" if seconds else "%H:%M")


def zone_name(utc_offset_s: int) -> str:
    """
    >>> zone_name(8 * 3600), zone_name(-12600), zone_name(0)
    ('UTC+8', 'UTC-3:30', 'UTC')
    """
    if not utc_offset_s:
        return "UTC"
    hours, rest = divmod(abs(utc_offset_s) // 60, 60)
    return f"UTC{'+' if utc_offset_s > 0 else '-'}{hours}{f':{rest:02}' if rest else ''}"
