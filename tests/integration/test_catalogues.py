"""Catalogues and rundowns through the real gateway and broker: a file becomes one event, or a list of mistakes."""

import asyncio
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from agents.catalogues import MAX_FILE_BYTES
from agents.settings import Settings
from stream.catalogue import Product, RundownItem
from stream.events import CatalogueSet, RundownSet, decode
from tests.integration.gateways import RoomInRedis, records, serving

SHOW_MS = 1_760_000_000_000
CSV = {"Content-Type": "text/csv; charset=utf-8"}
TOML = {"Content-Type": "application/toml"}
SHEET = "\ufeff商品,价格,角色\r\np1,9.9,引流款\r\np2,39,\r\n,,\r\n".encode()
READY_TIMEOUT_S = 15.0


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A gateway that can write."""
    with serving(settings) as address:
        asyncio.run(_ready(address))
        yield address


async def _ready(url: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    async with aiohttp.ClientSession() as client:
        while True:
            async with client.get(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
                assert time.monotonic() < deadline, await answer.text()
            await asyncio.sleep(0.05)


def put(address: str, data: bytes, headers: dict[str, str], **query: str) -> tuple[int, Any]:
    """The status and body the gateway answers."""

    async def ask() -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as client,
            client.put(address, data=io.BytesIO(data), headers=headers, params=query) as answer,
        ):
            return answer.status, await answer.json()

    return asyncio.run(ask())


def written(settings: Settings, wanted: int) -> list[Any]:
    return asyncio.run(records(settings.kafka, settings.events_topic, wanted))


def test_a_sheet_becomes_one_event_of_its_room(url: str, settings: Settings) -> None:
    """Both kinds, both formats: one record each, keyed by room, that the core can decode."""
    before_ms = time.time_ns() // 1_000_000
    assert put(f"{url}/v1/rooms/r/catalogue", SHEET, CSV, by="小王") == (200, {"accepted": 1, "rejected": []})
    toml = b"[[rundown]]\nproduct = 'p2'\nminutes = 6\nprice = '980'\n"
    assert put(f"{url}/v1/rooms/r/rundown", toml, TOML, currency="JPY")[0] == 200

    found = written(settings, 2)
    assert {record.key for record in found} == {b"r"}
    catalogue, rundown = (decode(record.value, record.key) for record in found)
    assert isinstance(catalogue, CatalogueSet)
    assert catalogue.products == (Product(product="p1", price=990, role="traffic"), Product(product="p2", price=3_900))
    assert catalogue.by == "小王"
    assert before_ms <= catalogue.ts <= time.time_ns() // 1_000_000
    assert isinstance(rundown, RundownSet)
    assert rundown.items == (RundownItem(order=1, product="p2", minutes=6, price=980),)


def test_a_file_comes_in_the_time_of_its_room(url: str, settings: Settings) -> None:
    """A recording that is replayed is in the past; an upload does not throw it forward."""
    room = RoomInRedis(settings.redis, "r", SHOW_MS)
    try:
        assert put(f"{url}/v1/rooms/r/catalogue", SHEET, CSV)[0] == 200
    finally:
        room.close()

    (record,) = written(settings, 1)
    assert json.loads(record.value)["ts"] == SHOW_MS + settings.lateness_ms


def test_every_mistake_is_answered_and_nothing_is_written(url: str, settings: Settings) -> None:
    """A file with mistakes is refused whole: the log holds only the good one sent afterwards."""
    status, body = put(f"{url}/v1/rooms/r/catalogue", b"product,price\np1,9.999\n,1\n", CSV)

    assert status == 400
    assert body["error"] == "bad_catalogue"
    assert body["problems"] == [
        {"row": 2, "column": "price", "problem": "'9.999' has 3 decimals, CNY has 2"},
        {"row": 3, "column": "product", "problem": "is missing"},
    ]
    assert put(f"{url}/v1/rooms/r/catalogue", SHEET, CSV)[0] == 200
    assert len(written(settings, 1)) == 1


@pytest.mark.parametrize(
    ("path", "data", "headers", "query", "status", "error"),
    [
        ("catalogue", SHEET, {"Content-Type": "application/json"}, {}, 415, "unsupported_type"),
        ("catalogue", SHEET, {"Content-Type": "application/octet-stream"}, {}, 415, "unsupported_type"),
        ("catalogue", "商品\n抱枕".encode("gbk"), CSV, {}, 400, "bad_catalogue"),
        ("catalogue", b"", CSV, {}, 400, "bad_catalogue"),
        ("catalogue", SHEET, CSV, {"currency": "yuan"}, 400, "bad_catalogue"),
        ("catalogue", SHEET, CSV, {"by": "x" * 200}, 400, "bad_by"),
        ("catalogue", b" " * (MAX_FILE_BYTES + 1), CSV, {}, 413, "too_large"),
        ("rundown", SHEET, TOML, {}, 400, "bad_rundown"),
        ("prices", SHEET, CSV, {}, 404, "not_found"),
    ],
)
def test_what_is_no_catalogue_is_refused_in_words(
    url: str, path: str, data: bytes, headers: dict[str, str], query: dict[str, str], status: int, error: str
) -> None:
    """Wrong types, encodings, currencies and sizes each have their answer."""
    answered, body = put(f"{url}/v1/rooms/r/{path}", data, headers, **query)

    assert (answered, body["error"]) == (status, error)


def test_a_sheet_that_grows_beyond_one_event_is_refused(url: str) -> None:
    """The worker would have buried it; the author hears of it at once."""
    sheet = "product,name\n" + "".join(f"p{n},{'x' * 120}\n" for n in range(8_000))
    status, body = put(f"{url}/v1/rooms/r/catalogue", sheet.encode(), CSV)

    assert (status, body["error"]) == (413, "too_large")


def test_only_who_may_write_may_upload(settings: Settings) -> None:
    """The token that reads is not enough."""
    guarded = Settings(
        **{field: getattr(settings, field) for field in settings.__struct_fields__} | {"token": "s3cret"}
    )
    with serving(guarded) as url:
        asyncio.run(_ready(url))
        assert put(f"{url}/v1/rooms/r/catalogue", SHEET, CSV)[0] == 401
        assert put(f"{url}/v1/rooms/r/catalogue", SHEET, CSV | {"Authorization": "Bearer s3cret"})[0] == 200
