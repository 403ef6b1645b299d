"""Everything that can be set, read once from the environment (`LIVEROOM_*`), validated, frozen."""

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stream.errors import OperatorError
from stream.numbers import KEYS
from stream.playbook import Playbook
from stream.room import RoomConfig
from stream.shelf_numbers import PRODUCT_KEYS
from stream.worst import benchmarks

Port = Annotated[int, Meta(ge=0, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field is one variable: `kafka` is LIVEROOM_KAFKA. Ports of 0 mean: any free one."""

    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, host:port, several with commas."""
    redis: str = "redis://127.0.0.1:6379/0"
    group: str = "liveroom"
    events_topic: str = "live.events"
    rejected_topic: str = "live.rejected"
    prompts_topic: str = "live.prompts"
    partitions: Positive = 4
    replication: Positive = 1
    session_timeout_s: Positive = 10
    rebalance_timeout_s: Positive = 6
    heartbeat_s: Positive = 2

    lateness_ms: Annotated[int, Meta(ge=0, le=60_000)] = 3_000
    """How long a second waits for stragglers before its numbers are published."""
    snapshot_s: Positive = 5
    publish_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    """How often the latest numbers go to Redis."""
    language: str = "zh"
    """Language of the prompts: zh or en."""
    playbook: str = ""
    """A TOML file that changes or adds plays; empty: the one that ships."""
    online_source: str = ""
    """Of two feeds that disagree about the online count, the one to believe."""
    sources: str = ""
    """Sources that must not fall silent, with commas."""

    benchmarks: str = ""
    """What the worst number is measured by: name=value,name=value over the defaults, money in minor units."""

    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9101
    token: str = ""
    """Who may write: POST of events, answers to prompts. Empty: only on a loopback address."""
    view_token: str = ""
    """Who may read numbers, prompts and pages. Empty: only on a loopback address."""


def from_env(env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from `LIVEROOM_*` variables, `overrides` on top. Raises OperatorError naming the variable."""
    env = os.environ if env is None else env
    prefix = "LIVEROOM_"
    known = {field.encode_name for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    for variable, value in env.items():
        if variable.startswith(prefix):
            name = variable.removeprefix(prefix).lower()
            if name not in known:
                raise OperatorError(f"{variable} is no setting; remove it, or see the settings in README.md")
            values[name] = value
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise OperatorError(f"{error}; set the LIVEROOM_ variable of that name to a valid value") from None


def room_config(settings: Settings, line_every_s: int = 0) -> RoomConfig:
    """What rooms do not learn from their events. Raises OperatorError."""
    try:
        against = benchmarks(settings.benchmarks)
    except ValueError as error:
        raise OperatorError(f"{error}; set LIVEROOM_BENCHMARKS to name=value,name=value") from None
    return RoomConfig(
        lateness_ms=settings.lateness_ms,
        language=settings.language,
        online_source=settings.online_source or None,
        sources=frozenset(filter(None, map(str.strip, settings.sources.split(",")))),
        line_every_s=line_every_s,
        benchmarks=against,
    )


def load_playbook(settings: Settings) -> Playbook:
    """The playbook that ships, with the changes of `settings.playbook` if any. Raises OperatorError."""
    shipped = resources.files("stream").joinpath("playbook.toml").read_text("utf-8")
    playbook = Playbook.load(shipped, room=KEYS, product=PRODUCT_KEYS)
    if settings.language not in playbook.languages:
        known = ", ".join(sorted(playbook.languages))
        raise OperatorError(f"no play speaks {settings.language!r}; set LIVEROOM_LANGUAGE to one of {known}")
    if not settings.playbook:
        return playbook
    try:
        return playbook.override(Path(settings.playbook).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"cannot read the playbook {settings.playbook}: {error}; set LIVEROOM_PLAYBOOK to a TOML file in UTF-8"
        ) from None
