"""Sends a dashboard, and marks on its curves, to a Grafana by its HTTP API.

Where Grafana runs from our docker-compose.yml it finds the dashboard by itself; this is for one that is already there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from grafana_api.grafana_api import GrafanaException  # type: ignore[import-untyped]  # the package has no types
from grafana_api.grafana_face import GrafanaFace  # type: ignore[import-untyped]

from dashboards.panels import Json
from stream.errors import OperatorError
from stream.recap import Recap

TIMEOUT_S = 10.0
TAG = "liveroom"  # the dashboard shows annotations with this tag and the room's


@dataclass(frozen=True, slots=True)
class Annotation:
    """A mark at `at_ms`, or a stretch `[at_ms, end_ms)`, on the curves of a room."""

    at_ms: int
    text: str
    tags: tuple[str, ...]
    end_ms: int | None = None


def publish(dashboard: Json, url: str, token: str, message: str = "") -> str:
    """Creates the dashboard, or replaces the one with its uid; its address. Raises OperatorError."""
    body = {"dashboard": {**dashboard, "id": None}, "overwrite": True, "message": message}
    answer = _call(url, lambda: _client(url, token).dashboard.update_dashboard(dashboard=body))
    return f"{_root(url)}{answer['url']}"


def annotate(annotations: Iterable[Annotation], url: str, token: str) -> int:
    """Writes the annotations one by one; how many. Raises OperatorError at the first that is refused."""
    grafana = _client(url, token)
    written = 0
    for note in annotations:
        _call(
            url,
            lambda note=note: grafana.annotations.add_annotation(  # type: ignore[misc]  # cannot infer the lambda
                time_from=note.at_ms, time_to=note.end_ms, tags=list(note.tags), text=note.text
            ),
        )
        written += 1
    return written


def annotations_of(recap: Recap) -> list[Annotation]:
    """A show's prompts and markers as annotations, in order of time."""
    notes = [
        Annotation(p.issued_ms, p.title or p.play, (TAG, recap.room, "prompt", p.play, p.audience, p.state), p.done_ms)
        for p in recap.prompts
    ]
    notes += [
        Annotation(m.at_ms, m.label or m.kind, (TAG, recap.room, m.kind)) for m in recap.markers if m.kind != "prompt"
    ]
    return sorted(notes, key=lambda note: note.at_ms)


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _client(url: str, token: str) -> GrafanaFace:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OperatorError(f"{url!r} is no address of a Grafana; give one such as http://127.0.0.1:3000")
    path = parts.path.strip("/")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return GrafanaFace(
        auth=token,
        host=host,
        port=parts.port,
        url_path_prefix=f"{path}/" if path else "",
        protocol=parts.scheme,
        timeout=TIMEOUT_S,
    )


def _call(url: str, ask: Callable[[], Json]) -> Json:
    try:
        return ask()
    except GrafanaException as error:
        hint = {401: "give a valid token", 403: "give a token of a role that may edit"}.get(
            error.status_code, "see its log"
        )
        raise OperatorError(f"Grafana at {url} refused: {error.message}; {hint}") from None
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; no JSON is a ValueError
        raise OperatorError(f"Grafana at {url} cannot be reached: {error}; check the address") from None
