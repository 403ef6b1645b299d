"""The gateway against a real broker and a real Redis: what is taken, what is refused and how, and who sees what."""

import asyncio
import gzip
import io
import json
import re
import socket
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
import redis
from yarl import URL

from agents import embedded, intake
from agents.gateway import MAX_BODIES
from agents.settings import Settings
from agents.topics import create_topics
from stream.errors import OperatorError
from stream.events import MAX_EVENT_BYTES
from tests.integration.gateways import RoomInRedis, records, serving

SHOW_MS = 1_760_000_000_000  # a recording's time: long past
EVENTS = "/v1/rooms/r/events"
EVENT = {"type": "chat", "room": "r", "ts": SHOW_MS, "text": "多少钱"}


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A gateway without tokens, ready."""
    with serving(settings) as address:
        asyncio.run(until_ready(address))
        yield address


@pytest.fixture
def room(settings: Settings) -> Iterator[RoomInRedis]:
    """A room that Redis knows, named as with a slash: an address must carry it."""
    writer = RoomInRedis(settings.redis, "主播/1", SHOW_MS)
    yield writer
    writer.close()


async def until_ready(url: str, timeout_s: float = 15.0) -> None:
    async with aiohttp.ClientSession() as client:
        deadline = time.monotonic() + timeout_s
        while True:
            async with client.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
                assert time.monotonic() < deadline, await answer.text()
            await asyncio.sleep(0.05)


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: Any


async def ask(method: str, url: str | URL, **options: Any) -> Answer:
    if isinstance(options.get("data"), bytes):
        options["data"] = io.BytesIO(options["data"])  # aiohttp warns of large bodies otherwise
    async with aiohttp.ClientSession() as client, client.request(method, url, **options) as answer:
        text = await answer.text()
        is_json = answer.content_type == "application/json"
        return Answer(answer.status, dict(answer.headers), json.loads(text) if is_json else text)


def post(url: str, body: Any, room: str = "r", **options: Any) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return asyncio.run(ask("POST", f"{url}/v1/rooms/{room}/events", data=data, **options))


def written(settings: Settings, wanted: int) -> list[Any]:
    return asyncio.run(records(settings.kafka, settings.events_topic, wanted))


def buried(settings: Settings, wanted: int) -> list[Any]:
    return asyncio.run(records(settings.kafka, settings.rejected_topic, wanted))


# --- taken


def test_events_without_an_id_get_one_of_their_request(url: str, settings: Settings) -> None:
    """A write that the client library repeats counts once; the same event sent twice counts twice."""
    event = {"type": "like", "ts": 1_760_000_000_000}
    for _ in range(2):
        assert post(url, [event, event]).status == 200
    ids = [json.loads(record.value)["id"] for record in written(settings, 4)]

    assert len(set(ids)) == 4


@pytest.mark.parametrize("shape", ["object", "array", "ndjson", "ndjson by type", "gzip", "pretty object"])
def test_every_shape_of_a_body_becomes_single_records_with_the_senders_bytes(
    url: str, settings: Settings, shape: str
) -> None:
    """One object, an array, NDJSON and gzip all end as one record an event, byte for byte, keyed by room."""
    one, two = (
        b'{"type": "chat",  "room":"r","id":"1","ts":1760000000000,"text":"a","x":1}',
        b'{"type":"like","room":"r","id":"2","ts":1760000000001}',
    )
    headers: dict[str, str] = {}
    match shape:
        case "object":
            body, expected = one, [one]
        case "pretty object":
            body = b'{\n "type": "chat",\n "room": "r",\n "id": "1",\n "ts": 1760000000000,\n "text": "a"\n}'
            expected = [body]
        case "array":
            body, expected = b" [" + one + b", \n" + two + b"]\n", [one, two]
        case "ndjson":
            body, expected = one + b"\r\n\n" + two + b"\n", [one, two]
        case "ndjson by type":
            body, expected, headers = one, [one], {"Content-Type": "application/x-ndjson"}
        case _:
            body, expected, headers = gzip.compress(one + b"\n" + two), [one, two], {"Content-Encoding": "gzip"}
    before_ms = time.time_ns() // 1_000_000
    answer = post(url, body, headers=headers)

    assert (answer.status, answer.body) == (200, {"accepted": len(expected), "rejected": []})
    found = written(settings, len(expected))
    assert [record.value for record in found] == expected
    assert {record.key for record in found} == {b"r"}
    assert all(before_ms <= record.timestamp <= time.time_ns() // 1_000_000 for record in found)


def test_a_missing_room_and_time_are_filled_and_nothing_else_is_touched(url: str, settings: Settings) -> None:
    """The address gives the room, the arrival the time, marked; long numbers and unknown fields stay as they are."""
    answer = post(url, b'{"type":"chat","text":"a","msg":7299999999999999999,"more":{"z":1.50}}')
    assert answer.status == 200
    (record,) = written(settings, 1)
    assert b"7299999999999999999" in record.value
    assert b"1.50" in record.value
    event = json.loads(record.value)
    assert event["room"] == "r"
    assert event["stamped"] is True
    assert 0 <= record.timestamp - event["ts"] < 5_000  # the broker stamps it a little later


def test_seconds_and_a_clock_that_runs_ahead_are_mended_at_the_edge(url: str, settings: Settings) -> None:
    """Every reader of the topic gets milliseconds, and no time of the future."""
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    post(url, [EVENT | {"ts": 1_760_000_000}, EVENT | {"ts": ahead}])
    seconds, future = (json.loads(record.value) for record in written(settings, 2))
    assert (seconds["ts"], seconds["stamped"]) == (SHOW_MS, True)
    assert future["ts"] < ahead - 3_000_000


def test_an_idempotency_key_names_the_events_that_have_no_id(url: str, settings: Settings) -> None:
    """The same body sent twice under one key gives the same ids, by place in the body; an own id stays."""
    body = [EVENT, EVENT | {"id": "mine"}, {"type": "nonsense"}, EVENT]
    for _ in range(2):
        post(url, body, headers={"Idempotency-Key": "batch-7"})
    ids = [json.loads(record.value)["id"] for record in written(settings, 6)]
    assert ids == ["batch-7#0", "mine", "batch-7#3"] * 2


def test_a_body_larger_than_a_kafka_batch_keeps_its_order(url: str, settings: Settings) -> None:
    """Three megabytes in one array arrive whole and in order."""
    body = [EVENT | {"id": str(i), "text": "长" * 300} for i in range(3_000)]
    answer = post(url, body)
    assert (answer.status, answer.body["accepted"]) == (200, 3_000)
    assert [json.loads(record.value)["id"] for record in written(settings, 3_000)] == [str(i) for i in range(3_000)]


# --- refused


def test_one_bad_event_spoils_no_other_and_is_buried_with_its_bytes(url: str, settings: Settings) -> None:
    """Each refused event is named with its place and reason, and written down as it came."""
    bad = [
        b'{"type":"chat","room":"other","ts":1760000000000,"text":"a"}',
        b'{"type":"chat","room":"r","ts":"soon","text":"a"}',
        b'{"type":"teleport","room":"r"}',
        b'{"type":"parcel.created","order":"o1"}',
        b"[1]",
        b'{"type":"chat","room":"r","text":',
        b"\xff\xfe\x00noise",
        b'{"type":"chat","room":"r","ts":99,"text":"a"}',
    ]
    good = json.dumps(EVENT).encode()
    answer = post(url, good + b"\n" + b"\n".join(bad) + b"\n" + good, headers={"Content-Type": "application/x-ndjson"})

    assert answer.status == 200
    assert answer.body["accepted"] == 2
    reasons = [
        "wrong_room",
        "invalid",
        "unknown_type",
        "unknown_type",
        "invalid",
        "malformed",
        "malformed",
        "absurd_time",
    ]
    assert [(r["index"], r["reason"]) for r in answer.body["rejected"]] == list(enumerate(reasons, start=1))
    assert "parcels" in answer.body["rejected"][3]["detail"]
    found = sorted(buried(settings, len(bad)), key=lambda record: bad.index(record.value))
    assert [record.value for record in found] == bad
    assert [dict(record.headers)["reason"].decode() for record in found] == reasons
    assert {dict(record.headers)["source"] for record in found} == {b"gateway"}
    assert {dict(record.headers)["room"] for record in found} == {b"r"}


@pytest.mark.parametrize(
    "body",
    [
        bytes(range(256)) * 40,
        b'[{"type":"chat","room":"r"},',
        b"null",
        b'{"type":"chat"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=["binary noise", "cut array", "null", "missing field", "deep array", "deep object"],
)
def test_a_body_without_a_usable_event_is_400_and_buried(url: str, settings: Settings, body: bytes) -> None:
    """Nothing usable is the sender's error: told, written down, and the gateway lives on."""
    answer = post(url, body)
    assert answer.status == 400
    assert answer.body["error"] == "all_rejected"
    assert answer.body["accepted"] == 0
    (letter,) = buried(settings, 1)
    assert letter.value == body
    assert post(url, EVENT).status == 200


def test_a_refused_event_is_buried_at_once_also_after_readiness_was_asked(url: str, settings: Settings) -> None:
    """Asking about one topic must not make the Kafka client forget the other: that cost five seconds and the letter."""
    for _ in range(2):
        asyncio.run(until_ready(url))
    began = time.monotonic()
    assert post(url, b"noise").status == 400
    assert time.monotonic() - began < 2
    assert len(buried(settings, 1)) == 1
    assert "dead_letters_lost_total 0.0" in asyncio.run(ask("GET", f"{url}/metrics")).body


def test_an_event_too_large_for_the_log_is_refused_alone_and_its_letter_cut(url: str, settings: Settings) -> None:
    """A video sent by mistake does not stop the chat beside it."""
    answer = post(url, [EVENT | {"x": "y" * MAX_EVENT_BYTES}, EVENT])
    assert answer.body["accepted"] == 1
    assert answer.body["rejected"][0]["reason"] == "too_large"
    (letter,) = buried(settings, 1)
    assert len(letter.value) == MAX_EVENT_BYTES
    assert int(dict(letter.headers)["truncated_from_bytes"]) > MAX_EVENT_BYTES


async def _chunks(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 65_536):
        yield b" " * 65_536


def test_bodies_over_the_limit_are_413_however_they_are_packed(url: str) -> None:
    """Ten megabytes, declared, in chunks, or out of a gzip bomb of 250 MB: refused, and the next body is taken."""
    pack = zlib.compressobj(wbits=31)
    bomb = b"".join(pack.compress(b" " * 1_000_000) for _ in range(250)) + pack.flush()
    address = f"{url}/v1/rooms/r/events"

    async def scenario() -> list[Answer]:
        return [
            await ask("POST", address, data=b" " * 10_000_000),
            await ask("POST", address, data=_chunks(10_000_000)),
            await ask("POST", address, data=bomb, headers={"Content-Encoding": "gzip"}),
            await ask("POST", address, data=b"{}\n" * (intake.MAX_EVENTS + 1)),
            await ask("POST", address, data=b"[" + b"{}," * intake.MAX_EVENTS + b"{}]"),
        ]

    answers = asyncio.run(scenario())
    assert [answer.status for answer in answers] == [413] * 5
    assert [answer.body["error"] for answer in answers] == ["too_large"] * 3 + ["too_many_events"] * 2
    assert post(url, EVENT).status == 200


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "error"),
    [
        ("POST", EVENTS, {"data": b""}, 400, "empty_body"),
        ("POST", EVENTS, {"data": b"{}", "headers": {"Content-Encoding": "gzip"}}, 400, "broken_body"),
        ("POST", EVENTS, {"data": b"{}", "headers": {"Content-Encoding": "zz"}}, 415, "unsupported_encoding"),
        ("POST", EVENTS, {"data": b"{}", "headers": {"Content-Type": "image/png"}}, 415, "unsupported_type"),
        ("POST", EVENTS, {"data": b"{}", "headers": {"Idempotency-Key": "k" * 200}}, 400, "bad_idempotency_key"),
        ("POST", f"/v1/rooms/{'r' * 200}/events", {"data": b"{}"}, 400, "bad_room"),
        ("GET", "/v1/rooms/r/events", {}, 405, "method_not_allowed"),
        ("GET", "/v1/rooms/nobody/numbers", {}, 404, "unknown_room"),
        ("GET", "/v1/rooms/nobody/prompts", {}, 404, "unknown_room"),
        ("GET", "/v1/rooms/nobody/offers", {}, 404, "unknown_room"),
        ("POST", "/v1/rooms/nobody/prompts/p/done", {}, 404, "unknown_room"),
        ("POST", "/v1/rooms/r/prompts/p/approve", {}, 404, "not_found"),
        ("GET", "/v1/rooms/r/prompts?audience=everyone", {}, 400, "bad_audience"),
        ("GET", "/assets/..%2Fgateway.py", {}, 404, "not_found"),
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/v1/rooms", {"headers": {"Host": "evil.example"}}, 403, "foreign_host"),
        ("POST", EVENTS, {"data": b"{}", "headers": {"Origin": "http://evil.example"}}, 403, "foreign_origin"),
    ],
)  # fmt: skip
def test_every_error_is_json_with_what_to_do(
    url: str, method: str, path: str, options: dict[str, Any], status: int, error: str
) -> None:
    """A program reads `error`, a person `hint`."""
    answer = asyncio.run(ask(method, URL(url + path, encoded=True), **options))
    assert (answer.status, answer.body["error"]) == (status, error)
    assert answer.body["hint"]


def test_more_bodies_than_may_be_in_flight_are_503(url: str) -> None:
    """Slow senders cannot take the memory; once they are gone, all is well again."""
    host, port = url.removeprefix("http://").split(":")
    head = b"POST /v1/rooms/r/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    slow = [socket.create_connection((host, int(port)), timeout=5) for _ in range(MAX_BODIES)]
    try:
        for connection in slow:
            connection.sendall(head)
        assert _eventually(lambda: post(url, EVENT), lambda a: a.status == 503).headers["Retry-After"]
    finally:
        for connection in slow:
            connection.close()
    assert _eventually(lambda: post(url, EVENT), lambda a: a.status == 200)


def _eventually(act: Callable[[], Answer], good: Callable[[Answer], bool], timeout_s: float = 15.0) -> Answer:
    deadline = time.monotonic() + timeout_s
    while True:
        answer = act()
        if good(answer):
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)


# --- who may


def test_tokens_part_writers_from_viewers(settings: Settings, room: RoomInRedis) -> None:
    """The write token writes, the view token reads and answers prompts, and neither does the other's."""
    guarded = msgspec.structs.replace(settings, token="write-me", view_token="see-me")
    writer = {"Authorization": "Bearer write-me"}
    viewer = {"Authorization": "Bearer see-me"}

    async def scenario(url: str) -> None:
        await until_ready(url)
        events, rooms = f"{url}/v1/rooms/r/events", f"{url}/v1/rooms"
        for headers, status in (({}, 401), (viewer, 401), ({"Authorization": "Bearer "}, 401), (writer, 200)):
            assert (await ask("POST", events, json=EVENT, headers=headers)).status == status
        for headers, status in (({}, 401), (writer, 401), (viewer, 200)):
            answer = await ask("GET", rooms, headers=headers)
            assert answer.status == status
        assert "LIVEROOM_VIEW_TOKEN" in (await ask("GET", rooms)).body["hint"]
        assert (await ask("GET", f"{rooms}?token=see-me")).status == 200
        assert (await ask("GET", f"{rooms}?token=wrong-é")).status == 401
        for path in ("/healthz", "/readyz", "/metrics", "/assets/host.js"):
            assert (await ask("GET", url + path)).status == 200

    with serving(guarded) as url:
        asyncio.run(scenario(url))


def test_a_page_opened_with_the_token_leaves_a_cookie_that_other_sites_cannot_use(
    settings: Settings, room: RoomInRedis
) -> None:
    """The cookie reads and answers without the token in the address, but not for a page of another site."""
    guarded = msgspec.structs.replace(settings, token="write-me", view_token="see-me")

    async def scenario(url: str) -> None:
        await until_ready(url)
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as client:
            async with client.get(f"{url}/host/x") as answer:
                assert answer.status == 401
            async with client.get(f"{url}/host/x?token=see-me") as answer:
                assert answer.status == 200
                policy = answer.headers["Content-Security-Policy"]
                cookie = answer.headers["Set-Cookie"]
            assert "unsafe" not in policy
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert "see-me" not in cookie
            done = f"{url}/v1/rooms/%E4%B8%BB%E6%92%AD%2F1/prompts/p~1/done"
            async with client.post(done, headers={"Origin": "http://evil.example"}) as answer:
                assert answer.status == 403
            async with client.post(done, headers={"Origin": url}) as answer:
                assert answer.status == 200, await answer.text()
            async with client.post(f"{url}/v1/rooms/r/events", json=EVENT) as answer:
                assert answer.status == 401

    with serving(guarded) as url:
        asyncio.run(scenario(url))


# --- reads


def test_numbers_come_in_the_one_record_shape(url: str, room: RoomInRedis) -> None:
    """Redis' fields become numbers by key, products by id and parts by kind and value, as published."""
    online = {"value": 341, "status": "ok", "num": None, "den": None}
    rate = {"value": 0.25, "status": "estimated", "num": 1, "den": 4}
    room.number("n:online", online)
    room.number("p:SKU:1", {"pay_rate_5m": rate})
    room.number("s:from=ads", {"joins_5m": online})
    room.number("worst", [{"key": "gpm_10m", "value": 1.0, "benchmark": 2.0, "share": 0.5}])

    numbers = asyncio.run(ask("GET", f"{url}/v1/rooms/%E4%B8%BB%E6%92%AD%2F1/numbers"))
    assert numbers.body == {
        "room": "主播/1",
        "at_ms": SHOW_MS,
        "numbers": {"online": online},
        "products": {"SKU:1": {"pay_rate_5m": rate}},
        "splits": {"from=ads": {"joins_5m": online}},
        "worst": [{"key": "gpm_10m", "value": 1.0, "benchmark": 2.0, "share": 0.5}],
        "worst_show": [],
    }
    rooms = asyncio.run(ask("GET", f"{url}/v1/rooms"))
    assert [known["room"] for known in rooms.body["rooms"]] == ["主播/1"]


@pytest.mark.parametrize("answer", ["shown", "done", "skipped"])
def test_an_answer_to_a_prompt_becomes_an_event_in_the_rooms_own_time(
    url: str, settings: Settings, room: RoomInRedis, answer: str
) -> None:
    """A replayed show lies in the past: an answer stamped with our time would throw its clock years ahead."""
    path = f"/v1/rooms/%E4%B8%BB%E6%92%AD%2F1/prompts/s~stock_low~12/{answer}"
    assert asyncio.run(ask("POST", url + path)).status == 200
    (record,) = written(settings, 1)
    event = json.loads(record.value)
    assert event["type"] == f"prompt.{answer}"
    assert event["prompt"] == "s~stock_low~12"
    assert event["room"] == "主播/1"
    assert SHOW_MS <= event["ts"] <= SHOW_MS + 60_000
    assert record.key == "主播/1".encode()


# --- streams


class Frame(msgspec.Struct):
    event: str
    id: str
    data: dict[str, Any]


Frames = Callable[[int], Awaitable[list[Frame]]]


@asynccontextmanager
async def listening(url: str, what: str = "prompts", last: str = "") -> AsyncIterator[Frames]:
    """A stream of the room; call it with a number to get so many frames other than clocks."""
    headers = {"Last-Event-ID": last} if last else {}
    address = f"{url}/v1/rooms/%E4%B8%BB%E6%92%AD%2F1/{what}"
    async with aiohttp.ClientSession() as client, client.get(address, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        frames = _frames(answer)

        async def take(wanted: int) -> list[Frame]:
            taken: list[Frame] = []
            async with asyncio.timeout(10):
                while len(taken) < wanted:
                    frame = await anext(frames)
                    if frame.event != "clock":
                        taken.append(frame)
            return taken

        yield take


async def _frames(answer: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    fields: dict[str, str] = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Frame(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


def test_a_new_host_gets_what_is_open_and_then_what_comes(url: str, room: RoomInRedis) -> None:
    """Closed and expired prompts and those that wait for approval are not on the screen."""
    room.prompt("closed")
    room.state("closed", "done")
    room.prompt("expired", expires_ms=SHOW_MS)
    room.prompt("unapproved", approve=True, state="waiting")
    room.prompt("producers", audience="producer")
    room.prompt("open")
    room.state("open", "shown")

    async def scenario() -> None:
        async with listening(url) as take:
            (first,) = await take(1)
            assert (first.event, first.data["id"], first.data["now_ms"]) == ("prompt", "open", SHOW_MS)
            room.prompt("unapproved", approve=True, state="issued")
            room.state("open", "superseded")
            approved, closed = await take(2)
            assert (approved.event, approved.data["id"], approved.data["state"]) == ("prompt", "unapproved", "issued")
            assert (closed.event, closed.data["id"], closed.data["state"]) == ("state", "open", "superseded")

    asyncio.run(scenario())


def test_the_producer_sees_what_waits_for_approval(url: str, room: RoomInRedis) -> None:
    """Prompts to the producer, and the host's that need a yes; not the host's own talk."""
    room.prompt("talk")
    room.prompt("wait", approve=True, state="waiting")
    room.prompt("mine", audience="producer")

    async def scenario() -> None:
        async with listening(url, "prompts?audience=producer") as take:
            assert [frame.data["id"] for frame in await take(2)] == ["wait", "mine"]

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_stream_resumes_after_the_last_entry_it_saw(url: str, room: RoomInRedis, how: str) -> None:
    """Whatever came while the line was down comes once, in order, and nothing of before."""

    async def scenario() -> None:
        async with listening(url) as take:
            room.prompt("one")
            (seen,) = await take(1)
        room.state("one", "done")
        room.prompt("two")
        what = "prompts" if how == "header" else f"prompts?last_event_id={seen.id}"
        async with listening(url, what, seen.id if how == "header" else "") as take:
            missed = await take(2)
            room.prompt("three")
            missed += await take(1)
        assert [(frame.event, frame.data["id"]) for frame in missed] == [
            ("state", "one"),
            ("prompt", "two"),
            ("prompt", "three"),
        ]
        assert len({frame.id for frame in missed}) == 3

    asyncio.run(scenario())


def test_nothing_is_lost_or_doubled_between_the_past_and_the_present(url: str, room: RoomInRedis) -> None:
    """Twenty clients that join while entries pour in each see a gapless run up to the last."""

    async def pour() -> None:
        for number in range(150):
            await asyncio.to_thread(room.prompt, f"p{number}")

    async def follow() -> list[int]:
        seen: list[int] = []
        async with listening(url) as take:
            while not seen or seen[-1] != 149:
                seen += [int(frame.data["id"][1:]) for frame in await take(1)]
        return seen

    async def scenario() -> list[list[int]]:
        pouring = asyncio.create_task(pour())
        following = []
        for _ in range(20):
            following.append(asyncio.create_task(follow()))
            await asyncio.sleep(0.005)
        await pouring
        return await asyncio.gather(*following)

    for seen in asyncio.run(scenario()):
        assert seen == list(range(150))


def test_the_overlay_hears_of_offers_and_of_nothing_else(url: str, room: RoomInRedis) -> None:
    """No prompt, no state and no stray field of an offer reaches the broadcast picture."""
    room.prompt("secret")
    room.offer("o1", sold=10)
    room.offer("over", state="ended")

    async def scenario() -> str:
        heard = b""
        address = f"{url}/v1/rooms/%E4%B8%BB%E6%92%AD%2F1/offers"
        async with aiohttp.ClientSession() as client, client.get(address) as answer, asyncio.timeout(10):
            while heard.count(b"event: clock") < 2:
                heard += await answer.content.readany()
            room.prompt("another secret")
            room.state("secret", "done")
            room.offer("o1", sold=80, cost=300, margin="thin")
            while b'"sold":80' not in heard:
                heard += await answer.content.readany()
        return heard.decode()

    heard = asyncio.run(scenario())
    assert set(re.findall(r"event: (\w+)", heard)) == {"clock", "offer"}
    assert "secret" not in heard
    assert "还剩" not in heard
    assert "over" not in heard
    assert "margin" not in heard
    assert '"sold":10' in heard


def test_the_rooms_clock_comes_every_second(url: str, room: RoomInRedis) -> None:
    """A countdown follows the room, not the wall."""

    async def scenario() -> list[int]:
        clocks: list[int] = []
        address = f"{url}/v1/rooms/%E4%B8%BB%E6%92%AD%2F1/prompts"
        async with aiohttp.ClientSession() as client, client.get(address) as answer:
            async with asyncio.timeout(10):
                async for frame in _frames(answer):
                    clocks.append(frame.data["now_ms"])
                    if len(clocks) == 2:
                        room.at(SHOW_MS + 7_000)
                    if clocks[-1] == SHOW_MS + 7_000:
                        return clocks
        return clocks

    assert asyncio.run(scenario())[-1] == SHOW_MS + 7_000


def test_a_slow_client_is_dropped_and_the_others_go_on(url: str, room: RoomInRedis) -> None:
    """A page that does not read holds a bounded queue, then nothing."""
    host, port = url.removeprefix("http://").split(":")
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect((host, int(port)))
    lazy.sendall(b"GET /v1/rooms/%E4%B8%BB%E6%92%AD%2F1/prompts HTTP/1.1\r\nHost: localhost\r\n\r\n")

    async def scenario() -> None:
        async with listening(url) as take:
            for number in range(900):
                await asyncio.to_thread(room.prompt, f"p{number}", say="长" * 4_000)
                (frame,) = await take(1)
                assert frame.data["id"] == f"p{number}"
            metrics = (await ask("GET", f"{url}/metrics")).body
            assert "liveroom_gateway_sse_dropped_total 1.0" in metrics

    try:
        asyncio.run(scenario())
    finally:
        lazy.close()


def test_a_stream_that_began_anew_ends_its_clients_so_that_they_begin_anew(
    url: str, settings: Settings, room: RoomInRedis
) -> None:
    """A room whose Redis was emptied and replayed from an older show does not leave its host waiting for ever."""

    async def scenario() -> None:
        async with listening(url) as take:
            last = room.prompt("new show")
            assert (await take(1))[0].id == last
            with redis.Redis.from_url(settings.redis) as client:
                client.delete("liveroom:prompts:主播/1")
            room.at(SHOW_MS - 86_400_000)
            with pytest.raises(StopAsyncIteration):
                await take(1000)
        room.prompt("old show")
        async with listening(url, last=last) as take:
            assert (await take(1))[0].data["id"] == "old show"

    asyncio.run(scenario())


def test_streams_are_counted_and_forgotten(url: str, room: RoomInRedis) -> None:
    """A page that was closed leaves nothing behind."""

    async def open_streams() -> float:
        text = (await ask("GET", f"{url}/metrics")).body
        found = re.search(r'sse_clients\{audience="host"\} (\S+)', text)
        return float(found[1]) if found else 0.0

    async def scenario() -> None:
        async with listening(url), listening(url):
            assert await open_streams() == 2
        async with asyncio.timeout(10):
            while await open_streams():
                await asyncio.sleep(0.1)

    asyncio.run(scenario())


def test_telemetry_counts_what_was_taken_and_refused(url: str) -> None:
    """Prometheus sees events, reasons, statuses and durations, and no `_created` series."""
    post(url, [EVENT, EVENT, {"type": "teleport", "room": "r"}])
    text = asyncio.run(ask("GET", f"{url}/metrics")).body
    assert "liveroom_gateway_events_accepted_total 2.0" in text
    assert 'liveroom_gateway_events_rejected_total{reason="unknown_type"} 1.0' in text
    assert 'liveroom_gateway_requests_total{method="POST",route="/v1/rooms/{room}/events",status="200"} 1.0' in text
    assert 'liveroom_gateway_request_seconds_count{route="/v1/rooms/{room}/events"} 1.0' in text
    assert "_created" not in text


# --- starting, and servers that go away


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gateway_host": "0.0.0.0"}, "LIVEROOM_TOKEN and LIVEROOM_VIEW_TOKEN"),
        ({"gateway_host": "0.0.0.0", "token": "t"}, "LIVEROOM_VIEW_TOKEN"),
        ({"redis": "redis://:pass@127.0.0.1:1/0"}, "LIVEROOM_REDIS"),
        ({"redis": "nonsense"}, "LIVEROOM_REDIS"),
        ({"kafka": "broker:port"}, "LIVEROOM_KAFKA"),
    ],
)
def test_what_the_operator_can_mend_is_said_at_the_start(redis_url: str, changes: dict[str, Any], says: str) -> None:
    """No start with an open door, and none with an address that cannot be right."""
    settings = msgspec.structs.replace(Settings(redis=redis_url, gateway_port=0), **changes)
    with pytest.raises(OperatorError, match=says) as caught, serving(settings):
        pass
    assert "pass@" not in str(caught.value)


def test_a_port_in_use_is_said_at_the_start(redis_url: str) -> None:
    """The message names the port and the setting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(redis=redis_url, gateway_port=port)
        with pytest.raises(OperatorError, match=rf"{port}.*LIVEROOM_GATEWAY_PORT"), serving(settings):
            pass


def test_without_a_broker_it_is_unready_and_finds_it_later(redis_url: str) -> None:
    """Events are answered with 503 and Retry-After until Kafka is there; then all is well, and again after a crash."""
    port = embedded.free_port()
    settings = Settings(redis=redis_url, kafka=f"127.0.0.1:{port}", gateway_port=0, partitions=2)
    with serving(settings) as url:
        assert asyncio.run(ask("GET", f"{url}/healthz")).status == 200
        ready = asyncio.run(ask("GET", f"{url}/readyz"))
        assert (ready.status, ready.body["redis"]) == (503, "ok")
        assert "no Kafka" in ready.body["kafka"]
        refused = post(url, [EVENT, EVENT])
        assert (refused.status, refused.body["error"], refused.body["taken"]) == (503, "kafka_unavailable", [])
        assert refused.headers["Retry-After"]

        with embedded.broker(port):
            asyncio.run(until_ready(url))
            assert post(url, EVENT).status == 200

        gone = post(url, [EVENT] * 20)
        assert (gone.status, gone.body["accepted"], gone.body["taken"]) == (503, 0, [])
        assert asyncio.run(ask("GET", f"{url}/readyz")).status == 503

        with embedded.broker(port):  # it keeps nothing: its topics are made again by whoever starts next
            asyncio.run(create_topics(settings.kafka, {settings.events_topic: 2, settings.rejected_topic: 1}))
            _eventually(lambda: post(url, EVENT), lambda answer: answer.status == 200, timeout_s=30)
            asyncio.run(until_ready(url))


def test_without_redis_reads_are_503_and_streams_come_back(tansu: embedded.Server) -> None:
    """Events are still taken while Redis is away; a stream that stayed open goes on when it is back."""
    port = embedded.free_port()
    room_name = "主播/1"
    with embedded.redis(port) as server:
        settings = Settings(redis=server.address, kafka=tansu.address, gateway_port=0, events_topic="away.events")
        serve: AbstractAsyncContextManager[Any] | Any = serving(settings)
        url = serve.__enter__()
    try:
        asyncio.run(_until_kafka(url))
        assert post(url, EVENT).status == 200
        away = asyncio.run(ask("GET", f"{url}/v1/rooms"))
        assert (away.status, away.body["error"]) == (503, "redis_unavailable")
        assert "no Redis" in asyncio.run(ask("GET", f"{url}/readyz")).body["redis"]
        with embedded.redis(port) as server:
            writer = RoomInRedis(server.address, room_name, SHOW_MS)
            writer.prompt("again")

            async def scenario() -> None:
                async with listening(url) as take:
                    assert (await take(1))[0].data["id"] == "again"

            asyncio.run(scenario())
            writer.close()
    finally:
        serve.__exit__(None, None, None)


async def _until_kafka(url: str, timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while (await ask("GET", f"{url}/readyz")).body["kafka"] != "ok":
            await asyncio.sleep(0.05)
