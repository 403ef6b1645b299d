"""HTTP in, pages and server-sent events out. Stateless: any number may run side by side.

Events are answered once Kafka has them; every error is JSON with `error` and `detail` or `hint`.
Who may read or write is settled before anything is read; nothing but /healthz, /readyz, /metrics and assets is open.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from importlib.resources import files
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from redis.exceptions import RedisError

from agents import catalogues
from agents.access import RETRY_AFTER_S, Access, Problem, check_exposure
from agents.entries import Audience, parse_entry_id
from agents.eventlog import DeadLetter, EventLog, Written, check_bootstrap
from agents.feed import Feed, Full
from agents.intake import (
    MAX_BODY_BYTES,
    MAX_EVENTS,
    MAX_IDEMPOTENCY_KEY,
    Judged,
    Refusal,
    TooMany,
    judge,
    split,
)
from agents.settings import Settings
from stream.errors import OperatorError
from stream.events import MAX_EVENT_BYTES, PromptDone, PromptShown, PromptSkipped, encode

logger = logging.getLogger(__name__)

MAX_BODIES = 24  # in flight; 8 MiB each, decoded twice over, stays under half a gigabyte
JUDGE_SLICE = 1_000  # events judged before others get their turn: 2 ms
SHUTDOWN_S = 3.0
ANSWERS: Mapping[str, type[PromptShown | PromptDone | PromptSkipped]] = {
    "shown": PromptShown,
    "done": PromptDone,
    "skipped": PromptSkipped,
}
ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})
REFUSED_TYPES = ("multipart/", "image/", "audio/", "video/")
ASSETS = {
    "host.css": "text/css",
    "overlay.css": "text/css",
    "host.js": "text/javascript",
    "overlay.js": "text/javascript",
}
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def run(settings: Settings, stop: asyncio.Event, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until `stop`; `ready` is told the address (http://host:port) once requests are answered.

    Starts without Kafka (not ready, events answered with 503) and finds it later. Raises OperatorError without Redis,
    when the port is taken, and when a token is missing on an address others can reach.
    """
    check_exposure(settings)
    check_bootstrap(settings.kafka)
    telemetry = Telemetry()
    async with Feed(settings.redis, telemetry.sse_dropped.inc) as feed, EventLog(settings) as log:
        gateway = Gateway(settings, feed, log, telemetry)
        runner = web.AppRunner(gateway.application(), access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await _listen(runner, settings)
            host, port, *_ = runner.addresses[0]
            ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            await stop.wait()
        finally:
            feed.end_all()
            await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    host, port = settings.gateway_host, settings.gateway_port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise OperatorError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); "
            "stop what uses it, or set LIVEROOM_GATEWAY_HOST and LIVEROOM_GATEWAY_PORT to a free address"
        ) from None


class Telemetry:
    """What the gateway says about itself at /metrics, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there
        self.registry = registry = CollectorRegistry()
        name = "liveroom_gateway_"
        self.accepted = Counter(name + "events_accepted", "Events Kafka acknowledged.", registry=registry)
        self.rejected = Counter(name + "events_rejected", "Events refused, by reason.", ["reason"], registry=registry)
        self.lost_letters = Counter(
            name + "dead_letters_lost", "Refused events that could not be written down.", registry=registry
        )
        self.requests = Counter(
            name + "requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            name + "request_seconds", "Time to answer, streams apart.", ["route"], registry=registry
        )
        self.bodies = Gauge(name + "bodies_in_flight", "Bodies of events being read or written.", registry=registry)
        self.sse_clients = Gauge(name + "sse_clients", "Open event streams.", ["audience"], registry=registry)
        self.sse_dropped = Counter(name + "sse_dropped", "Event streams cut because too slow.", registry=registry)


class Gateway:
    """The handlers, and what they share."""

    def __init__(self, settings: Settings, feed: Feed, log: EventLog, telemetry: Telemetry) -> None:
        self._settings = settings
        self._feed = feed
        self._log = log
        self._telemetry = telemetry
        self._access = Access(settings)
        self._bodies = 0

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.post("/v1/rooms/{room}/events", self.post_events),
                web.put("/v1/rooms/{room}/{kind:catalogue|rundown}", self.put_file),
                web.post("/v1/rooms/{room}/prompts/{prompt}/{answer:shown|done|skipped}", self.post_answer),
                web.get("/v1/rooms", self.get_rooms),
                web.get("/v1/rooms/{room}/numbers", self.get_numbers),
                web.get("/v1/rooms/{room}/prompts", self.stream_prompts),
                web.get("/v1/rooms/{room}/offers", self.stream_offers),
                web.get("/host/{room}", self.page("host.html")),
                web.get("/overlay/{room}", self.page("overlay.html")),
                web.get("/assets/{name}", self.get_asset),
                web.get("/healthz", self.get_healthz),
                web.get("/readyz", self.get_readyz),
                web.get("/metrics", self.get_metrics),
            ]
        )
        return app

    # --- events in

    async def post_events(self, request: web.Request) -> web.Response:
        """Take one event, an array or NDJSON; answer when Kafka has them."""
        self._access.admit_writer(request)
        room = _room(request)
        # Events without an id get one of this request, so that a write repeated on a lost answer counts once.
        key = request.headers.get("Idempotency-Key", uuid4().hex)
        if not (0 < len(key) <= MAX_IDEMPOTENCY_KEY and key.isprintable()):
            raise Problem(400, "bad_idempotency_key", f"Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} characters")
        async with self._body(request) as body:
            arrived_ms = time.time_ns() // 1_000_000
            judged = await self._judge(body, request, room, arrived_ms, key)
            letters = [_dead_letter(refusal, room) for refusal in judged.refusals]
            written, lost = await asyncio.gather(
                self._log.write(room, judged.values, arrived_ms), self._log.bury(room, letters)
            )
        return self._report(judged, written, lost)

    async def _judge(self, body: bytes, request: web.Request, room: str, arrived_ms: int, key: str) -> Judged:
        lines = "ndjson" in request.content_type or "jsonl" in request.content_type
        try:
            elements = split(body, lines=lines)
        except TooMany:
            raise Problem(413, "too_many_events", f"a body has at most {MAX_EVENTS} events; split it") from None
        if not elements and body[:1] not in (b"[",):
            raise Problem(400, "empty_body", "send one event, an array of events, or one event a line")
        judged = Judged([], [], [])
        numbered = list(enumerate(elements))
        for start in range(0, len(numbered), JUDGE_SLICE):
            judge(iter(numbered[start : start + JUDGE_SLICE]), room, arrived_ms, key, judged)
            await asyncio.sleep(0)
        return judged

    def _report(self, judged: Judged, written: Written, lost: int) -> web.Response:
        self._telemetry.accepted.inc(len(written.taken))
        self._telemetry.lost_letters.inc(lost)
        for refusal in judged.refusals:
            self._telemetry.rejected.labels(refusal.reason).inc()
        refused = [{"index": r.place, "reason": r.reason, "detail": r.detail} for r in judged.refusals]
        outcome: dict[str, Any] = {"accepted": len(written.taken), "rejected": refused}
        if written.problem is not None:
            raise Problem(
                503,
                "kafka_unavailable",
                "send the whole body again later; with ids, or the same Idempotency-Key, nothing counts twice",
                retry=True,
                detail=written.problem,
                taken=[judged.indexes[position] for position in written.taken],
                **outcome,
            )
        if refused and not judged.values:
            raise Problem(400, "all_rejected", "see `detail` of each; nothing was taken", **outcome)
        return _json(outcome)

    @asynccontextmanager
    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        """The request's body, unpacked, while the block runs; it counts as in flight for so long."""
        if request.headers.get("Content-Encoding", "").lower() not in ENCODINGS:
            raise Problem(415, "unsupported_encoding", "send the body plain, or with Content-Encoding: gzip")
        if request.content_type.startswith(REFUSED_TYPES):
            raise Problem(415, "unsupported_type", "send application/json or application/x-ndjson")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise _too_large()
        if self._bodies >= MAX_BODIES:
            raise Problem(503, "busy", f"{MAX_BODIES} bodies are in flight; send it again later", retry=True)
        self._bodies += 1
        self._telemetry.bodies.set(self._bodies)
        try:
            yield await request.read()
        except web.RequestPayloadError as error:
            raise Problem(400, "broken_body", "the body ends early or is no valid gzip", detail=str(error)) from None
        finally:
            self._bodies -= 1
            self._telemetry.bodies.set(self._bodies)

    async def put_file(self, request: web.Request) -> web.Response:
        """Take a catalogue or a rundown as a file: one event of the room."""
        self._access.admit_writer(request)
        room, form = _room(request), catalogues.form_of(request.content_type)
        kind: catalogues.Kind = "catalogue" if request.match_info["kind"] == "catalogue" else "rundown"
        arrived_ms = time.time_ns() // 1_000_000
        async with self._body(request) as body:
            ts = await self._room_time(room, arrived_ms)
            event = await asyncio.to_thread(catalogues.event_of, kind, body, form, room, ts, request.query)
            written = await self._log.write(room, [event], arrived_ms)
        return self._report(Judged([0], [b""], []), written, 0)

    async def post_answer(self, request: web.Request) -> web.Response:
        """What the host did with a prompt, as an event of the room in the room's own time."""
        self._access.admit_viewer(request)
        room, prompt = _room(request), request.match_info["prompt"]
        if not prompt or len(prompt) > 1_000:
            raise Problem(400, "bad_prompt", "a prompt's id has 1 to 1000 characters")
        await self._known(room)
        arrived_ms = time.time_ns() // 1_000_000
        event = ANSWERS[request.match_info["answer"]](
            room=room,
            ts=await self._room_time(room, arrived_ms),
            stamped=True,
            prompt=prompt,
            source="host",
            id=prompt if len(prompt) <= 128 else None,  # the same answer from two screens, or retried, is one
        )
        written = await self._log.write(room, [encode(event)], arrived_ms)
        return self._report(Judged([0], [b""], []), written, 0)

    async def _room_time(self, room: str, arrived_ms: int) -> int:
        """The room's own clock: a recording that is replayed is in the past, and our time would throw it forward."""
        clock_ms = await self._feed.clock_ms(room)
        return arrived_ms if clock_ms is None else min(clock_ms + self._settings.lateness_ms, arrived_ms)

    # --- numbers and streams out

    async def get_rooms(self, request: web.Request) -> web.Response:
        """Every known room."""
        self._access.admit_viewer(request)
        return _json({"rooms": await self._feed.rooms()})

    async def get_numbers(self, request: web.Request) -> web.Response:
        """A room's latest numbers."""
        self._access.admit_viewer(request)
        room = _room(request)
        await self._known(room)
        return _json(await self._feed.numbers(room))

    async def stream_prompts(self, request: web.Request) -> web.StreamResponse:
        """The prompts of a room for its host (default) or its producer."""
        self._access.admit_viewer(request)
        match request.query.get("audience", "host"):
            case "host":
                return await self._stream(request, "host")
            case "producer":
                return await self._stream(request, "producer")
            case other:
                raise Problem(400, "bad_audience", f"audience is host or producer, not {other[:40]!r}")

    async def stream_offers(self, request: web.Request) -> web.StreamResponse:
        """What viewers may see: the progress of offers."""
        self._access.admit_viewer(request)
        return await self._stream(request, "public")

    async def _stream(self, request: web.Request, audience: Audience) -> web.StreamResponse:
        room = _room(request)
        await self._known(room)
        last = parse_entry_id(request.headers.get("Last-Event-ID") or request.query.get("last_event_id", ""))
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        gauge = self._telemetry.sse_clients.labels(audience)
        try:
            async with self._feed.client(room, audience, lambda: _abort(request)) as client:
                gauge.inc()
                try:
                    await response.prepare(request)
                    async with aclosing(self._feed.stream(client, last)) as frames:
                        async for frame in frames:
                            await response.write(frame)
                finally:
                    gauge.dec()
        except Full:
            raise Problem(503, "too_many_streams", "close a page, or start another gateway", retry=True) from None
        except ConnectionError:
            logger.debug("a %s client of room %r left", audience, room)
        except RedisError as error:
            if not response.prepared:
                raise
            logger.warning("stream of room %r ended, its client will come again: %s", room, error)
        return response

    async def _known(self, room: str) -> None:
        if not await self._feed.knows(room):
            raise Problem(404, "unknown_room", "a room is known from its first event on; GET /v1/rooms lists them")

    # --- pages

    def page(self, name: str) -> Handler:
        """A handler for one page; coming with the token leaves a cookie, so that it need not stand in every URL."""
        text = (files("agents.pages") / name).read_bytes()

        async def get_page(request: web.Request) -> web.Response:
            self._access.admit_viewer(request)
            response = web.Response(body=text, content_type="text/html", charset="utf-8", headers=PAGE_HEADERS)
            self._access.remember_viewer(request, response)
            return response

        return get_page

    async def get_asset(self, request: web.Request) -> web.Response:
        """Style and script of the pages; they hold nothing secret."""
        name = request.match_info["name"]
        if name not in ASSETS:
            raise web.HTTPNotFound
        body = (files("agents.pages") / name).read_bytes()
        headers = PAGE_HEADERS | {"Cache-Control": "no-cache"}
        return web.Response(body=body, content_type=ASSETS[name], charset="utf-8", headers=headers)

    # --- the gateway itself

    async def get_healthz(self, request: web.Request) -> web.Response:
        """The process is alive."""
        return _json({"status": "ok"})

    async def get_readyz(self, request: web.Request) -> web.Response:
        """Kafka and Redis can be reached; what cannot, says why."""
        kafka, redis = await asyncio.gather(self._log.trouble(), self._feed.trouble())
        return _json({"kafka": kafka or "ok", "redis": redis or "ok"}, status=503 if kafka or redis else 200)

    async def get_metrics(self, request: web.Request) -> web.Response:
        """Telemetry for Prometheus."""
        text = generate_latest(self._telemetry.registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    # --- what went wrong

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request: errors become JSON, and it is counted."""
        began = time.perf_counter()
        resource = request.match_info.route.resource
        route = "unknown" if resource is None else resource.canonical
        response: web.StreamResponse
        try:
            response = await handler(request)
        except Problem as problem:
            response = _json(problem.body, problem.status, problem.headers)
        except web.HTTPRequestEntityTooLarge:
            too_large = _too_large()
            response = _json(too_large.body, too_large.status)
        except web.HTTPException as error:
            hint = {404: "see README.md for the addresses", 405: "see the Allow header"}.get(error.status, error.text)
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            response = _json({"error": error.reason.lower().replace(" ", "_"), "hint": hint}, error.status, allow)
        except (RedisError, TimeoutError) as error:
            body = {"error": "redis_unavailable", "detail": str(error), "hint": "try again later"}
            response = _json(body, 503, {"Retry-After": str(RETRY_AFTER_S)})
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            response = _json({"error": "internal", "hint": "the gateway's log says more"}, 500)
        self._telemetry.requests.labels(route, request.method, str(response.status)).inc()
        if response.content_type != "text/event-stream":
            self._telemetry.seconds.labels(route).observe(time.perf_counter() - began)
        return response


def _room(request: web.Request) -> str:
    room = request.match_info["room"]
    if not 0 < len(room) <= 128:
        raise Problem(400, "bad_room", "a room's id has 1 to 128 characters")
    return room


def _too_large() -> Problem:
    return Problem(413, "too_large", f"a body has at most {MAX_BODY_BYTES} bytes, unpacked; split it")


def _dead_letter(refusal: Refusal, room: str) -> DeadLetter:
    headers = {"reason": refusal.reason, "detail": refusal.detail, "source": "gateway", "room": room}
    if len(refusal.raw) > MAX_EVENT_BYTES:
        headers["truncated_from_bytes"] = str(len(refusal.raw))
    encoded = [(name, value.encode(errors="replace")) for name, value in headers.items()]
    return DeadLetter(refusal.raw[:MAX_EVENT_BYTES], encoded)


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"} | dict(headers or {}),
    )


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
