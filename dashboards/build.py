"""The producer's dashboard, as data: what is worst and what matters most stands on top, the pipeline below.

`python -m dashboards.build` writes the file that Grafana provisions; the same code gives the same bytes.
A number that is missing has no sample, and its panel says "–".
"""

import json
from pathlib import Path

from dashboards.panels import AMBER, BLUE, GREEN, RED, SOURCE, Json, Panel, Query, curves, panel_json, stat

FILE = Path(__file__).parent / "grafana" / "dashboards" / "producer.json"
UID = "liveroom-producer"
ROOM = '{room="$room"}'
# The benchmarks practitioners use; a show below one of them is read as a share of it.
BENCHMARKS = (
    ("dwell 60 s", "liveroom_dwell_seconds", "60"),
    ("interaction 5 %", "liveroom_interaction_ratio_5m", "0.05"),
    ("clickers who paid 3 %", "liveroom_pay_ratio_10m", "0.03"),
    ("cart rate 15 %", "liveroom_cart_ratio_10m", "0.15"),
    ("GPM 800", "liveroom_gpm_10m_minor", "800 * $minor"),
)


def room(metric: str) -> str:
    """The metric of the chosen room."""
    return metric + ROOM


def against_benchmarks() -> str:
    """Every number as a share of its benchmark, the worst first."""
    shares = (
        f'label_replace({room(metric)} / ({mark}), "number", "{name}", "", "")' for name, metric, mark in BENCHMARKS
    )
    return f"sort({' or '.join(shares)})"


def prompts_issued(window: str) -> str:
    """Where prompts were issued; a counter that is born with its first prompt rises from nothing."""
    by = f"sum by (play, audience) ({room('liveroom_prompts_total')})"
    before = f"sum by (play, audience) ({room('liveroom_prompts_total')} offset {window})"
    return f"({by} - {before} > 0) or ({by} unless {before})"


def on_air() -> list[Panel]:
    """What a producer reads in two seconds, and the curve."""
    share = ((None, RED), (0.8, AMBER), (1.0, GREEN))
    worst = Panel(
        "Against the benchmark, worst first",
        "bargauge",
        (Query(against_benchmarks(), "{{number}}", instant=True),),
        8,
        9,
        "percentunit",
        0,
        "Each number as a share of its usual benchmark. Red: below 80 % of it.",
        share,
        0,
        2,
        {
            "displayMode": "gradient",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": True,
        },
    )
    return [
        stat("Online", room("liveroom_online"), colours=((None, BLUE),)),
        stat("Joins a minute", room("liveroom_joins_per_minute"), colours=((None, BLUE),)),
        stat("Stayed 60 s", room("liveroom_retention_60s_ratio"), "percentunit", 1, colours=((None, BLUE),)),
        stat("GMV, show", f"{room('liveroom_gmv_paid_show_minor')} / $minor", "short", 2),
        stat("Orders a minute", room("liveroom_orders_per_minute")),
        stat("Clickers who paid, 10 min", room("liveroom_pay_ratio_10m"), "percentunit", 1, colours=share_of(0.03)),
        curves(
            "Online",
            (
                Query(room("liveroom_online"), "now"),
                Query(room("liveroom_online_1m"), "1-min mean"),
                Query(room("liveroom_viewers_5m"), "viewers, 5 min"),
            ),
            16,
            9,
        ),
        worst,
    ]


def share_of(benchmark: float) -> tuple[tuple[float | None, str], ...]:
    """Red below 80 % of the benchmark, green from it on."""
    return ((None, RED), (round(benchmark * 0.8, 6), AMBER), (benchmark, GREEN))


def audience() -> list[Panel]:
    """Who comes, who stays, who takes part."""
    return [
        curves(
            "Inflow and chats, a minute",
            (
                Query(room("liveroom_joins_per_minute"), "joins"),
                Query(room("liveroom_chats_per_minute"), "chats"),
            ),
            8,
            8,
        ),
        curves(
            "Retention",
            (
                Query(room("liveroom_retention_60s_ratio"), "60 s"),
                Query(room("liveroom_retention_300s_ratio"), "5 min"),
            ),
            8,
            8,
            "percentunit",
            high=1,
        ),
        curves("Average stay", (Query(room("liveroom_dwell_seconds"), "stay"),), 4, 8, "s"),
        curves(
            "Interaction, 5 min", (Query(room("liveroom_interaction_ratio_5m"), "interaction"),), 4, 8, "percentunit"
        ),
    ]


def conversion() -> list[Panel]:
    """From click to payment."""
    return [
        curves(
            "Conversion, 10 min",
            (
                Query(room("liveroom_cart_ratio_10m"), "clickers who added to cart"),
                Query(room("liveroom_pay_ratio_10m"), "clickers who paid"),
            ),
            12,
            8,
            "percentunit",
        ),
        curves(
            "Clicks and orders, a minute",
            (
                Query(room("liveroom_clicks_per_minute"), "clicks"),
                Query(room("liveroom_orders_per_minute"), "orders"),
            ),
            12,
            8,
        ),
    ]


def money() -> list[Panel]:
    """What was paid, and what is left to sell."""
    columns = {"Value #A": "Stock", "Value #B": "Minutes to sell-out", "product": "Product"}
    stock = Panel(
        "Stock: the pinned product and the lowest",
        "table",
        (
            Query(f"sum by (product) ({room('liveroom_product_stock')})", instant=True),
            Query(f"min by (product) ({room('liveroom_sell_out_minutes')})", instant=True),
        ),
        8,
        8,
        decimals=0,
        options={"showHeader": True, "sortBy": [{"displayName": "Stock", "desc": False}]},
        transformations=(
            {"id": "joinByField", "options": {"byField": "product", "mode": "outer"}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True, "Time 1": True, "Time 2": True},
                    "indexByName": {"product": 0, "Value #A": 1, "Value #B": 2},
                    "renameByName": columns,
                },
            },
        ),
    )
    return [
        curves(
            "Money",
            (
                Query(f"{room('liveroom_gmv_paid_5m_minor')} / $minor", "GMV, 5 min"),
                Query(f"{room('liveroom_gpm_10m_minor')} / $minor", "GPM, 10 min"),
            ),
            12,
            8,
        ),
        Panel(
            "Refunded, show",
            "stat",
            (Query(f"{room('liveroom_refunded_show_minor')} / $minor"),),
            4,
            8,
            decimals=2,
            colours=((None, BLUE),),
            options={
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "graphMode": "area",
                "colorMode": "value",
            },
        ),
        stock,
    ]


def prompts() -> list[Panel]:
    """What the room was told; the moments are also marks on every curve."""
    return [
        Panel(
            "Prompts since the worker took the room",
            "bargauge",
            (
                Query(
                    f"sort_desc(sum by (play, audience) ({room('liveroom_prompts_total')}))",
                    "{{play}} → {{audience}}",
                    instant=True,
                ),
            ),
            12,
            7,
            decimals=0,
            colours=((None, BLUE),),
            low=0,
            options={
                "displayMode": "basic",
                "orientation": "horizontal",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            },
        ),
        curves(
            "Room time behind the clock",
            (Query(f"time() - {room('liveroom_room_time_seconds')}", "behind"),),
            12,
            7,
            "s",
            description="How old the newest second of the room is. A replay stays as far behind as it is old.",
        ),
    ]


def pipeline() -> list[Panel]:
    """For whoever is on call: is it late, blind, losing or refusing anything?"""
    return [
        curves("Lag", (Query("liveroom_lag_records", "partition {{partition}}"),), 6, 7),
        curves("Freshness, the ten worst", (Query("topk(10, liveroom_freshness_seconds)", "{{room}}"),), 6, 7, "s"),
        curves(
            "Events a second",
            (
                Query("sum(rate(liveroom_events_total[$__rate_interval]))", "taken"),
                Query("sum(rate(liveroom_duplicates_total[$__rate_interval]))", "duplicates"),
                Query("sum(rate(liveroom_late_total[$__rate_interval]))", "late"),
            ),
            6,
            7,
        ),
        curves(
            "Rejected a second",
            (Query("sum by (reason) (rate(liveroom_rejected_total[$__rate_interval]))", "{{reason}}"),),
            6,
            7,
        ),
        curves(
            "Gateway, events a second",
            (
                Query("sum(rate(liveroom_gateway_events_accepted_total[$__rate_interval]))", "accepted"),
                Query("sum by (reason) (rate(liveroom_gateway_events_rejected_total[$__rate_interval]))", "{{reason}}"),
            ),
            6,
            7,
        ),
        curves(
            "Snapshots",
            (
                Query("max(liveroom_snapshot_age_seconds)", "age"),
                Query(
                    "histogram_quantile(0.99, sum by (le) (rate(liveroom_snapshot_seconds_bucket[$__rate_interval])))",
                    "99 % written within",
                ),
            ),
            6,
            7,
            "s",
        ),
        stat("Rooms", "sum(liveroom_rooms)", decimals=0, colours=((None, BLUE),)),
        stat("Open screens", "sum(liveroom_gateway_sse_clients)", decimals=0, colours=((None, BLUE),)),
        stat("Redis", "min(liveroom_redis_up)", decimals=0, colours=((None, RED), (1, GREEN))),
    ]


ROWS = (
    ("", on_air),
    ("Audience", audience),
    ("Conversion", conversion),
    ("Money and stock", money),
    ("Prompts", prompts),
    ("Pipeline", pipeline),
)


def layout() -> list[Json]:
    """Every panel with its place: left to right, a new line where the grid is full, a heading over each row."""
    made: list[Json] = []
    y = 0
    for title, panels in ROWS:
        if title:
            grid = {"h": 1, "w": 24, "x": 0, "y": y}
            made.append(
                {"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}
            )
            y += 1
        x = tallest = 0
        for panel in panels():
            if x + panel.width > 24:
                x, y, tallest = 0, y + tallest, 0
            made.append(panel_json(panel, len(made) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def annotations() -> list[Json]:
    """Prompts as the counters show them, and whatever was written by hand or by `publish`."""
    return [
        {
            "name": "Prompts",
            "datasource": SOURCE,
            "enable": True,
            "iconColor": "purple",
            "expr": prompts_issued("5s"),
            "step": "5s",
            "titleFormat": "{{play}}",
            "textFormat": "→ {{audience}}",
            "tagKeys": "play,audience",
        },
        {
            "name": "Notes",
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True,
            "iconColor": "blue",
            "target": {"type": "tags", "tags": ["liveroom", "$room"], "matchAny": False, "limit": 200},
        },
    ]


def variables() -> list[Json]:
    """The data source, the room, and how many minor units make one of the currency."""
    return [
        {
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
            "hide": 0,
            "refresh": 1,
        },
        {
            "name": "room",
            "label": "Room",
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": "label_values(liveroom_room_time_seconds, room)", "refId": "rooms"},
            "definition": "label_values(liveroom_room_time_seconds, room)",
            "current": {},
            "hide": 0,
            "includeAll": False,
            "multi": False,
            "refresh": 2,
            "sort": 1,
        },
        {
            "name": "minor",
            "label": "Minor units per unit",
            "type": "custom",
            "query": "100,1,1000",
            "current": {"text": "100", "value": "100", "selected": True},
            "options": [{"text": n, "value": n, "selected": n == "100"} for n in ("100", "1", "1000")],
            "hide": 0,
            "includeAll": False,
            "multi": False,
        },
    ]


def producer() -> Json:
    """The dashboard as Grafana stores it."""
    return {
        "id": None,
        "uid": UID,
        "title": "Live room",
        "description": "One live-shopping room on air: audience, conversion, money, prompts, pipeline.",
        "tags": ["liveroom"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "version": 1,
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "5s",
        "timepicker": {"refresh_intervals": ["1s", "5s", "10s", "30s", "1m"]},
        "templating": {"list": variables()},
        "annotations": {"list": annotations()},
        "links": [],
        "panels": layout(),
    }


def text(dashboard: Json) -> str:
    """The dashboard as the bytes of its file."""
    return json.dumps(dashboard, ensure_ascii=False, indent=2) + "\n"


def expressions(dashboard: Json) -> list[str]:
    """Every PromQL expression a dashboard asks, those of its annotations too."""
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return asked + [note["expr"] for note in dashboard["annotations"]["list"] if "expr" in note]


if __name__ == "__main__":
    FILE.write_text(text(producer()), encoding="utf-8")
