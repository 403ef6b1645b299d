"""Settings out of LIVEROOM_ variables: read, checked, and refused in words that name what to set."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.settings import Settings, from_env, load_playbook, room_config
from stream.errors import OperatorError, PlaybookError

FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


def test_without_variables_the_defaults_hold() -> None:
    """And whatever is not ours is left alone."""
    assert from_env({"PATH": "/bin", "LIVEROOMS": "x", "KAFKA": "y"}) == Settings()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_is_a_variable(name: str) -> None:
    """Numbers are read as numbers, text as it stands; the name is the field's in capitals."""
    default = getattr(Settings(), name)
    value: Any = default + 1 if isinstance(default, int) else "any text, with commas"
    settings = from_env({f"LIVEROOM_{name.upper()}": str(value)})

    assert getattr(settings, name) == value
    assert settings == msgspec.structs.replace(Settings(), **{name: value})


def test_overrides_stand_above_variables_and_none_is_no_override() -> None:
    """What a command line says counts more than the environment."""
    env = {"LIVEROOM_PARTITIONS": "3", "LIVEROOM_GROUP": "a"}

    assert from_env(env, partitions=7, group=None) == Settings(partitions=7, group="a")


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("LIVEROOM_KAFKAS", "a:1", "LIVEROOM_KAFKAS"),
        ("LIVEROOM_", "", "LIVEROOM_"),
        ("LIVEROOM_PARTITIONS", "0", "partitions"),
        ("LIVEROOM_PARTITIONS", "four", "partitions"),
        ("LIVEROOM_PARTITIONS", "", "partitions"),
        ("LIVEROOM_PARTITIONS", "1.5", "partitions"),
        ("LIVEROOM_LATENESS_MS", "60001", "lateness_ms"),
        ("LIVEROOM_LATENESS_MS", "-1", "lateness_ms"),
        ("LIVEROOM_PUBLISH_MS", "99", "publish_ms"),
        ("LIVEROOM_GATEWAY_PORT", "65536", "gateway_port"),
        ("LIVEROOM_METRICS_PORT", "-1", "metrics_port"),
    ],
)
def test_a_wrong_variable_is_the_operators_error_and_named(variable: str, value: str, named: str) -> None:
    """A misspelt name is refused as well: it would silently change nothing."""
    with pytest.raises(OperatorError) as caught:
        from_env({variable: value})

    assert named in str(caught.value)


def test_a_secret_is_never_in_the_message() -> None:
    """Whatever else is wrong."""
    with pytest.raises(OperatorError) as caught:
        from_env({"LIVEROOM_TOKEN": "s3cret", "LIVEROOM_VIEW_TOKEN": "s3cret", "LIVEROOM_PARTITIONS": "0"})

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("sources", "declared"),
    [
        ("", set()),
        ("douyin", {"douyin"}),
        ("douyin,shop", {"douyin", "shop"}),
        (" douyin, shop ,, ", {"douyin", "shop"}),
    ],
)
def test_sources_are_names_with_commas(sources: str, declared: set[str]) -> None:
    """The space people write after a comma is no part of a name."""
    assert room_config(Settings(sources=sources)).sources == declared


def test_a_room_is_set_as_the_settings_say() -> None:
    """An empty preferred feed is none."""
    config = room_config(Settings(lateness_ms=1_000, language="en", online_source="douyin"), line_every_s=10)

    assert (config.lateness_ms, config.language, config.online_source, config.line_every_s) == (
        1_000,
        "en",
        "douyin",
        10,
    )
    assert room_config(Settings()).online_source is None


def test_wrong_benchmarks_are_the_operators_error() -> None:
    """The message names the variable."""
    with pytest.raises(OperatorError, match="LIVEROOM_BENCHMARKS"):
        room_config(Settings(benchmarks="nonsense=1"))


# --- the playbook


def test_the_playbook_that_ships_is_valid_in_every_language_it_speaks() -> None:
    """Both of them."""
    for language in ("zh", "en"):
        assert language in load_playbook(Settings(language=language)).languages


def test_a_language_no_play_speaks_is_refused() -> None:
    """The message lists those that can be set."""
    with pytest.raises(OperatorError, match="LIVEROOM_LANGUAGE to one of en, zh"):
        load_playbook(Settings(language="fr"))


def test_an_operators_playbook_changes_the_one_that_ships(tmp_path: Path) -> None:
    """An empty file changes nothing; a broken one is told with its play."""
    file = tmp_path / "mine.toml"
    file.write_text("", encoding="utf-8")
    assert load_playbook(Settings(playbook=str(file))).languages == load_playbook(Settings()).languages

    file.write_text('[plays.flash_drop]\nwhen = "no_such_number > 1"\n', encoding="utf-8")
    with pytest.raises(PlaybookError):
        load_playbook(Settings(playbook=str(file)))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_playbook_is_the_operators_error(tmp_path: Path, content: bytes | None) -> None:
    """Not there, or not UTF-8: the path and the variable are named."""
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(OperatorError, match=r"mine\.toml.*LIVEROOM_PLAYBOOK"):
        load_playbook(Settings(playbook=str(file)))
