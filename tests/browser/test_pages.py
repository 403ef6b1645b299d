"""The pages in a real Chromium, fed through a real Redis by a real gateway, and what they send found in the log."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from agents.settings import Settings
from tests.browser.conftest import apart
from tests.integration.gateways import RoomInRedis, records, serving

pytestmark = pytest.mark.browser

SHOW_MS = 1_760_000_000_000  # a recording's time: long past
ROOM = "主播/1"
Picture = Callable[..., dict[str, Any]]
LAPTOP = ViewportSize(width=1280, height=800)
TABLET = ViewportSize(width=768, height=1024)
TITLE, SAY = (
    "上100件9.9元福利",
    ("云朵抱枕，9.9元，一共100件，每人限2件，到20:15或拍完为止，链接价格已经改好，现在可以拍。"),
)
WHY = "在线 1分钟均值 312，3分钟前 431（−28%）；60秒留存 21%，近10分钟 29%"

PIXELS = """async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  let clear = 0, bright = 0, dark = 0;
  const box = [image.width, image.height, -1, -1];
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] === 0) { clear++; continue; }
    const x = (i / 4) % image.width, y = Math.floor(i / 4 / image.width);
    box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x); box[3] = Math.max(box[3], y);
    const light = (data[i] * 2 + data[i + 1] * 5 + data[i + 2]) / 8;
    if (light > 150) bright++;
    if (light < 48) dark++;
  }
  const all = data.length / 4;
  return { clear: clear / all, bright: bright / all, dark: dark / all, box };
}"""


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as address:
        yield address


@pytest.fixture
def room(settings: Settings) -> Iterator[RoomInRedis]:
    writer = RoomInRedis(settings.redis, ROOM, SHOW_MS)
    yield writer
    writer.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own context; what goes wrong in it, and what it asks others for, is a failure."""
    context = browser.new_context(viewport=LAPTOP, reduced_motion="reduce")
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    opened.on("request", lambda request: None if _is_ours(request.url) else faults.append(request.url))
    yield opened
    context.close()
    assert not faults


def _is_ours(address: str) -> bool:
    return address.startswith(("http://127.0.0.1:", "data:,"))


def host(url: str, query: str = "") -> str:
    return f"{url}/host/{quote(ROOM, safe='')}{query}"


def overlay(url: str, query: str = "") -> str:
    return f"{url}/overlay/{quote(ROOM, safe='')}{query}"


@pytest.fixture
def picture(browser: Browser, page: Page, tmp_path: Path) -> Picture:
    """Take a screenshot, keep it, and measure it: which shares are clear, bright, dark; the box that is not clear."""

    def take(name: str, clear: bool = False) -> dict[str, Any]:
        shot = page.screenshot(path=tmp_path / f"{name}.png", omit_background=clear)
        blank = browser.new_page()  # the page itself may load no picture
        try:
            measured: dict[str, Any] = blank.evaluate(
                PIXELS, "data:image/png;base64," + base64.b64encode(shot).decode()
            )
            return measured
        finally:
            blank.close()

    return take


def sent(settings: Settings, wanted: int) -> list[dict[str, Any]]:
    found = apart(records(settings.kafka, settings.events_topic, wanted))
    return [json.loads(record.value) for record in sorted(found, key=lambda record: record.offset)]


def awaiting(page: Page) -> None:
    """The prompt has stood long enough to be answered."""
    expect(page.locator("#answers")).to_have_class("ready")


def connected(page: Page) -> None:
    expect(page.locator("#link")).to_have_attribute("data-state", "live", timeout=15_000)


# A line of Chinese type is higher than its line box by design, so lines are measured across only.
OVERFLOW = """() => [...document.querySelectorAll("body, header, main, #prompt, #title, #say, #why, footer, button")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 ||
    (e.scrollHeight > e.clientHeight + 1 && !["title", "say", "why"].includes(e.id)))
  .map((e) => `${e.tagName}#${e.id} ${e.scrollWidth}x${e.scrollHeight} in ${e.clientWidth}x${e.clientHeight}`)"""


@pytest.mark.parametrize("viewport", [LAPTOP, TABLET], ids=["laptop", "tablet"])
@pytest.mark.parametrize(
    "words",
    [
        (TITLE, SAY, WHY),
        ("来人了", "", ""),
        ("停讲，已售罄" * 6, SAY * 6, WHY * 3),
        ("Unbreakable" * 12, "https://example.invalid/" + "x" * 300, ""),
    ],
    ids=["usual", "short", "long", "one word"],
)
def test_a_prompt_is_large_and_whole_on_the_screen(
    page: Page, url: str, room: RoomInRedis, picture: Picture, viewport: ViewportSize, words: tuple[str, str, str]
) -> None:
    """Whatever its length, headline and talk track stand on the screen, nothing is cut, nothing scrolls."""
    title, say, why = words
    page.set_viewport_size(viewport)
    page.goto(host(url))
    connected(page)
    room.prompt("p~1", title=title, say=say, why=why, **{"class": "offer"})
    expect(page.locator("#title")).to_have_text(title)
    expect(page.locator("#title")).to_be_in_viewport(ratio=1)
    for part, text in (("#say", say), ("#why", why)):
        if text:
            expect(page.locator(part)).to_be_in_viewport(ratio=1)
    assert page.evaluate(OVERFLOW) == []
    if title == TITLE:
        height = page.evaluate("() => parseFloat(getComputedStyle(document.getElementById('title')).fontSize)")
        assert height >= 0.08 * min(viewport["width"], viewport["height"])
    awaiting(page)
    seen = picture("host")
    assert seen["dark"] > 0.5
    assert 0.01 < seen["bright"] < 0.4


def test_the_calm_screen_says_where_it_must_not_be_seen_and_that_it_is_connected(
    page: Page, url: str, room: RoomInRedis, picture: Picture
) -> None:
    """Without a prompt: one quiet line, the mark, the room, the state of the line."""
    page.goto(host(url))
    connected(page)
    expect(page.locator("#mark")).to_have_text("仅主播可见 · 勿入镜")
    expect(page.locator("#room")).to_have_text(ROOM)
    expect(page.locator("#calm")).to_be_visible()
    expect(page.locator("#answers")).to_be_hidden()
    seen = picture("calm")
    assert seen["dark"] > 0.9
    assert seen["bright"] > 0.0001
    page.goto(host(url, "?lang=en"))
    expect(page.locator("#mark")).to_have_text("Host only · keep out of the picture")
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize(
    ("act", "event"),
    [
        (lambda page: page.keyboard.press("Space"), "prompt.done"),
        (lambda page: page.keyboard.press("Enter"), "prompt.done"),
        (lambda page: page.keyboard.press("Escape"), "prompt.skipped"),
        (lambda page: page.keyboard.press("s"), "prompt.skipped"),
        (lambda page: page.locator("#done").click(), "prompt.done"),
        (lambda page: page.locator("#skip").click(), "prompt.skipped"),
    ],
    ids=["space", "enter", "escape", "s", "tap done", "tap skip"],
)
def test_one_key_or_tap_answers_and_the_answer_is_in_the_log(
    page: Page, url: str, settings: Settings, room: RoomInRedis, act: Callable[[Page], None], event: str
) -> None:
    """Painted, the prompt is told as shown; answered, it leaves the screen, and both are events of the room."""
    page.goto(host(url))
    connected(page)
    room.prompt("demo~1760000000000~stock_low~12")
    expect(page.locator("#prompt")).to_be_visible()
    assert sent(settings, 1)[0]["type"] == "prompt.shown"
    awaiting(page)
    act(page)
    expect(page.locator("#prompt")).to_be_hidden()
    shown, answer = sent(settings, 2)
    assert answer["type"] == event
    assert {shown["prompt"], answer["prompt"]} == {"demo~1760000000000~stock_low~12"}
    assert {shown["room"], answer["room"]} == {ROOM}
    page.reload()
    connected(page)
    expect(page.locator("#calm")).to_be_visible()


def test_a_key_meant_for_the_last_prompt_does_not_answer_the_next(page: Page, url: str, room: RoomInRedis) -> None:
    """A prompt that has just taken another's place cannot be answered in its first moment."""
    page.goto(host(url))
    connected(page)
    room.prompt("first", title="一")
    expect(page.locator("#title")).to_have_text("一")
    page.evaluate(
        """() => new MutationObserver(() => dispatchEvent(new KeyboardEvent("keydown", { key: " " })))
          .observe(document.getElementById("title"), { childList: true, characterData: true })"""
    )
    room.state("first", "superseded")
    room.prompt("second", title="二")
    expect(page.locator("#title")).to_have_text("二")
    expect(page.locator("#prompt")).to_be_visible()


def test_the_countdown_follows_the_room_and_an_expired_prompt_leaves_by_itself(
    page: Page, url: str, room: RoomInRedis
) -> None:
    """Seconds run down without a word from the worker; a room clock that jumps takes them along; then it is over."""
    page.goto(host(url))
    connected(page)
    room.prompt("p", expires_ms=SHOW_MS + 60_000)
    left = page.locator("#left b")
    expect(left).to_have_text("59", timeout=5_000)
    expect(left).to_have_text("58", timeout=5_000)
    room.at(SHOW_MS + 52_000)
    expect(page.locator("#time")).to_have_class("soon", timeout=5_000)
    width = page.evaluate("() => document.getElementById('bar').getBoundingClientRect().width")
    assert width < 0.2 * page.evaluate("() => document.getElementById('track').clientWidth")
    expect(page.locator("#prompt")).to_be_hidden(timeout=12_000)
    expect(page.locator("#calm")).to_be_visible()


def test_one_prompt_at_a_time_and_a_grave_one_first(page: Page, url: str, room: RoomInRedis) -> None:
    """Compliance stands before talk, whichever came last; when it is closed, the other is there again."""
    page.goto(host(url))
    connected(page)
    room.prompt("grave", title="改口", **{"class": "compliance"})
    room.prompt("talk", title="接话", **{"class": "talk"})
    expect(page.locator("#title")).to_have_text("改口")
    expect(page.locator("body")).to_have_attribute("data-class", "compliance")
    room.state("grave", "withdrawn")
    expect(page.locator("#title")).to_have_text("接话")


def test_what_an_event_says_is_text_and_nothing_else(page: Page, url: str, room: RoomInRedis) -> None:
    """Markup in a prompt is shown as it is written, and no script of it runs."""
    markup = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    page.goto(host(url))
    connected(page)
    room.prompt("p", title=markup, say=markup, why=markup)
    expect(page.locator("#title")).to_have_text(markup)
    assert page.locator("#prompt img, #prompt script").count() == 0
    assert page.title().startswith("主播提示")


def test_the_prompt_stands_while_the_gateway_is_away_and_the_line_comes_back(
    page: Page, settings: Settings, room: RoomInRedis
) -> None:
    """A restart is seen in the corner, not on the prompt; what came meanwhile is there afterwards."""
    with serving(settings) as url:
        page.goto(host(url))
        connected(page)
        room.prompt("one", title="一")
        expect(page.locator("#title")).to_have_text("一")
    expect(page.locator("#link")).to_have_attribute("data-state", "off", timeout=10_000)
    expect(page.locator("#title")).to_have_text("一")
    room.state("one", "done")
    room.prompt("two", title="二")
    with serving(settings):
        connected(page)
        expect(page.locator("#title")).to_have_text("二", timeout=10_000)
        room.prompt("three", title="三")
        expect(page.locator("#title")).to_have_text("三", timeout=10_000)


def test_a_page_opened_before_the_show_waits_for_it(page: Page, url: str, settings: Settings) -> None:
    """An unknown room is no error to a host who is early; the page finds it once it exists."""
    page.goto(host(url))
    expect(page.locator("#link")).to_have_attribute("data-state", "waiting", timeout=10_000)
    writer = RoomInRedis(settings.redis, ROOM, SHOW_MS)
    try:
        connected(page)
        writer.prompt("p", title="开始")
        expect(page.locator("#title")).to_have_text("开始")
    finally:
        writer.close()


def test_numbers_that_stop_are_said(page: Page, url: str, room: RoomInRedis) -> None:
    """A line that is up while the worker is not looks different."""
    page.goto(host(url))
    connected(page)
    expect(page.locator("#link")).to_have_attribute("data-state", "stale", timeout=15_000)
    room.at(SHOW_MS + 60_000)
    connected(page)


def test_the_token_leaves_the_address_and_the_cookie_goes_on(page: Page, settings: Settings, room: RoomInRedis) -> None:
    """The link is opened once with its token; a picture of the screen or a reload needs none."""
    guarded = msgspec.structs.replace(settings, token="write-me", view_token="see-me")
    with serving(guarded) as url:
        page.goto(host(url, "?token=see-me&lang=en"))
        connected(page)
        assert page.url == host(url, "?lang=en")
        page.reload()
        connected(page)
        room.prompt("p", title="still here")
        expect(page.locator("#title")).to_have_text("still here")
        awaiting(page)
        page.keyboard.press("Enter")
        assert {event["type"] for event in sent(settings, 2)} == {"prompt.shown", "prompt.done"}


def test_the_overlay_is_empty_while_a_prompt_is_live(page: Page, url: str, room: RoomInRedis, picture: Picture) -> None:
    """No pixel of a prompt reaches the broadcast picture."""
    room.prompt("p", title="秘密")
    page.goto(overlay(url))
    room.prompt("q", title="秘密")
    room.offer("soon", state="ready")
    page.wait_for_timeout(2_500)
    assert "秘密" not in page.content()
    assert picture("overlay-empty", clear=True)["clear"] == 1


def test_the_overlay_shows_the_offers_progress_and_leaves_the_rest_of_the_picture_free(
    page: Page, url: str, room: RoomInRedis, picture: Picture
) -> None:
    """Price, name, how many of how many, how long; one corner; gone soon after the end."""
    page.set_viewport_size(ViewportSize(width=1920, height=1080))
    page.goto(overlay(url))
    room.offer("o", sold=10)
    expect(page.locator("#sold")).to_have_text("已拍 10/100", timeout=10_000)
    room.offer("o", sold=80)
    expect(page.locator("#sold")).to_have_text("已拍 80/100")
    expect(page.locator("#price")).to_have_text("9.9元福利")
    expect(page.locator("#name")).to_have_text("云朵抱枕")
    page.wait_for_timeout(600)
    seen = picture("overlay", clear=True)
    assert seen["clear"] > 0.9
    left, top, right, bottom = seen["box"]
    assert left < right < 1920 / 2
    assert 1080 / 2 < top < bottom
    room.offer("o", sold=100, state="ended")
    expect(page.locator("#time")).to_have_text("已拍完")
    expect(page.locator("#offer")).to_be_hidden(timeout=10_000)


def test_an_overlay_that_hears_nothing_shows_nothing(page: Page, settings: Settings, room: RoomInRedis) -> None:
    """An old count in the picture would be a wrong count."""
    with serving(settings) as url:
        page.goto(overlay(url))
        room.offer("o", sold=10)
        expect(page.locator("#offer")).to_be_visible(timeout=10_000)
    began = time.monotonic()
    expect(page.locator("#offer")).to_be_hidden(timeout=25_000)
    assert time.monotonic() - began < 25
