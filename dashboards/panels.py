"""The kinds of panel the dashboards are made of, and how Grafana stores each."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and the name its series get."""

    expr: str
    legend: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel on Grafana's 24-column grid."""

    title: str
    kind: str
    queries: tuple[Query, ...]
    width: int
    height: int
    unit: str = "short"
    decimals: int | None = None
    description: str = ""
    # Lower bounds of the colours; the first begins at minus infinity.
    colours: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    low: float | None = None
    high: float | None = None
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    transformations: tuple[Json, ...] = ()


def stat(title: str, expr: str, unit: str = "short", decimals: int | None = None, **more: Any) -> Panel:
    """One number with its recent course behind it."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "graphMode": "area",
        "colorMode": "value",
        "textMode": "value",
        "justifyMode": "auto",
    }
    width = more.pop("width", 4)
    return Panel(title, "stat", (Query(expr),), width, 4, unit, decimals, options=options, **more)


def curves(title: str, queries: tuple[Query, ...], width: int, height: int, unit: str = "short", **more: Any) -> Panel:
    """Numbers over time; a gap stays a gap."""
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    custom = {
        "drawStyle": "line",
        "lineWidth": 2,
        "fillOpacity": 8,
        "showPoints": "never",
        "spanNulls": False,
        "lineInterpolation": "linear",
        "axisPlacement": "auto",
        "stacking": {"mode": "none", "group": "A"},
    }
    return Panel(title, "timeseries", queries, width, height, unit, options=options, custom=custom, low=0, **more)


def panel_json(panel: Panel, number: int, x: int, y: int) -> Json:
    """The panel as Grafana stores it, at column `x` and row `y`."""
    defaults: Json = {
        "unit": panel.unit,
        "noValue": "–",
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"color": c, "value": v} for v, c in panel.colours]},
        "custom": panel.custom,
    }
    for name, value in (("decimals", panel.decimals), ("min", panel.low), ("max", panel.high)):
        if value is not None:
            defaults[name] = value
    made: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": panel.options,
        "targets": [_target(query, i, panel.kind) for i, query in enumerate(panel.queries)],
    }
    if panel.description:
        made["description"] = panel.description
    if panel.transformations:
        made["transformations"] = list(panel.transformations)
    return made


def _target(query: Query, index: int, kind: str) -> Json:
    return {
        "refId": chr(ord("A") + index),
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": "table" if kind == "table" else "time_series",
    }
