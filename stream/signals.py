"""What plays look at: the numbers of the room and of its products, and comparisons with a little earlier.

Signals are numbers too (value and status), but are not published.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from stream.catalogue import Product, RundownItem
from stream.numbers import Number
from stream.sifting import Floats

ROOM_SIGNALS: Mapping[str, str] = {
    "show_s": "seconds since the show began",
    "online_1m_3m_ago": "online_1m as it was 3 minutes ago",
    "online_drop_z": "two-sample z of that fall: (then - now) / sqrt(then + now); negative when it rose",
    "retention_60s_10m": "retention_60s over all cohorts of the last 10 minutes",
    "retention_60s_cohort": "viewers in the cohort of retention_60s",
    "orders_now": "orders in the last minute (created; paid where creations are not sent)",
    "orders_median_10m": "median of orders a minute over the ten minutes before the last one",
    "joins_median_10m": "median of joins a minute over the ten minutes before the last one",
    "organic_joins_3m": "joins of the last 3 minutes that did not come from ads",
    "organic_joins_base": "3 times the median of such joins a minute in minutes -15 to -5",
    "ads_joins_3m": "joins of the last 3 minutes from ads",
    "ads_joins_base": "3 times the median of such joins a minute in minutes -15 to -5",
    "speech_age_s": "seconds since the host last spoke; missing without captions",
    "order_age_s": "seconds since the last order line; missing before the first",
    "scene_quiet": "1 in a scene marked quiet, else 0",
    "reactions_1m": "chats and like messages in the last minute",
    "reactions_expected_1m": "median of that a minute over the ten minutes before the last one",
    "pin_age_s": "seconds since the pinned product was pinned; missing when none is",
}
PRODUCT_SIGNALS: Mapping[str, str] = {
    "stock": "pieces left, all variants",
    "stock_age_s": "seconds since the last stock reading",
    "opening_stock": "stock when the show began: the catalogue's, else the first reading",
    "stock_before_zero": "pieces at the last reading above 0; missing if there was none",
    "zero_for_s": "seconds since the stock became 0; missing while it is not",
    "orders_since_stock": "order lines since the stock was last above 0 and rising, or since the first reading",
    "refills": "how often the stock rose",
    "sell_out_min": "minutes to sell-out at the present velocity",
    "velocity": "units a minute, the larger of the 1-minute and the 5-minute rate",
    "units_5m": "units ordered in the last 5 minutes",
    "pinned": "1 for the pinned product, else 0",
}


class SilentSource(Protocol):
    """A declared source from which nothing has come for longer than it may."""

    @property
    def source(self) -> str: ...
    @property
    def silent_s(self) -> int: ...
    @property
    def since_ms(self) -> int: ...


class Signals(Protocol):
    """The room at the end of the second just closed, computed when asked."""

    at_ms: int

    def number(self, name: str) -> Number:
        """A number of the room by its key (`online`, `gmv_paid_5m`), or one of ROOM_SIGNALS."""
        ...

    def seen(self, names: tuple[str, ...]) -> Floats:
        """The values behind names of the room, NaN for those that are missing or stale."""
        ...

    def product_number(self, product: str, name: str) -> Number:
        """The same of a product: its own keys, or one of PRODUCT_SIGNALS."""
        ...

    def products(self) -> Iterable[str]:
        """Products the room has seen a stock reading, click, cart or order of, in order of appearance."""
        ...

    def silent(self) -> Iterable[SilentSource]: ...

    @property
    def catalogue(self) -> Mapping[str, Product]: ...

    @property
    def rundown(self) -> tuple[RundownItem, ...]: ...

    @property
    def pinned(self) -> str | None: ...

    @property
    def show_ms(self) -> int:
        """When the show began."""
        ...
