"""The rules of the house that a machine can hold: who imports whom, what the pure core never touches, and sizes.

Every finding is a sentence that names the file and line; the scan itself is tried on a sample that breaks each rule.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream import admitting, loops, scanning

ROOT = Path(__file__).parents[1]
LAYERS = ("stream", "agents", "dashboards")

MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
VAGUE = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}

# What each layer may import of the others.
BELOW = {"stream": {"stream"}, "agents": {"stream", "agents"}, "dashboards": {"stream", "dashboards"}}

# The pure core: arithmetic, data and text. What reaches the world outside is not for it.
CORE_PACKAGES = {"msgspec", "numpy", "rule_engine", "xxhash"}
ONLY_IN = {
    "numba": "stream/compiling.py",  # a third of a second and 60 MiB, for who needs it
    "mmap": "stream/memory.py",  # anonymous memory; files are no business of the core
}
OF_COMPILED = {"stream.compiling.compiled", "stream.loops.Ints"}  # all that a module of loops may know of the others
BANNED = {
    "asyncio", "concurrent", "ctypes", "fileinput", "getpass", "glob", "http", "importlib", "io", "logging",
    "multiprocessing", "os", "pathlib", "pickle", "platform", "queue", "random", "sched", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "syslog",
    "tempfile", "threading", "time", "urllib", "uuid", "warnings", "zoneinfo",
}  # fmt: skip
BANNED_CALLS = {"open", "print", "input", "eval", "exec", "__import__"}
BANNED_ATTRIBUTES = {"now", "utcnow", "today"}  # of datetime and date: the clock is an argument
BANNED_NUMPY = {"random", "fromfile", "load", "loadtxt", "save", "savetxt"}

# In agents a module stands alone but for these hubs; the others are put together by those named here.
HUBS = {"settings", "telemetry", "store", "app"}
ANY = "*"
PUT_TOGETHER = {
    "__main__": {"cli"},
    "cli": {ANY},  # one command, one module
    "demo": {ANY},  # the whole system in one process
    "app": {"eventlog", "fetched", "outbox", "rooms", "topics", "transport"},  # the worker's parts
    "rooms": {"fetched", "heap", "outbox", "partition", "published", "shares", "ticks", "transport"},  # its parts
    "transport": {"fetched"},  # how records come out of the client
    "fetched": {"layout"},  # how records lie in the bytes
    "partition": {"published"},  # what it remembers of a room
    "outbox": {"partition"},
    "shares": {"partition"},  # what a tick is
    "ticks": {"partition"},  # whom it is told
    "verify": {"partition"},  # what a tick is
    "gateway": {"access", "catalogues", "entries", "eventlog", "feed", "intake"},  # the gateway's parts
    "catalogues": {"access"},  # how the gateway says no
    "feed": {"entries"},  # what it streams
    "replay": {"batches"},  # its way into the log
    "batches": {"idempotence"},  # what it asks of a producer
    "eventlog": {"topics", "idempotence"},  # the same; and waits until they have leaders
}


def imported(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a module imports; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = [*above, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*stem, alias.name])) for alias in node.names)


def import_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """Imports against the direction of the layers, or of what the core may not know."""
    parts = path.removesuffix(".py").split("/")
    layer, module = parts[0], parts[1]
    names = [*imported(tree, ".".join(parts[:-1]))]
    compiled = any(name == "stream.compiling.compiled" for _, name in names)
    for line, name in names:
        top, second = name.split(".")[0], [*name.split("."), ""][1]
        if top in LAYERS and top not in BELOW[layer]:
            yield f"{path}:{line} imports {name}: {layer} may not know {top}"
        if compiled and top == "stream" and name not in OF_COMPILED:
            yield f"{path}:{line} imports {name}: what was compiled of this file would not be compiled anew with that"
        if path != ONLY_IN.get(top, path):
            yield f"{path}:{line} imports {name}: only {ONLY_IN[top]} may"
        elif layer == "stream" and top not in LAYERS:
            if top in BANNED:
                yield f"{path}:{line} imports {top}: the core has no world outside"
            elif top not in sys.stdlib_module_names and top not in CORE_PACKAGES | ONLY_IN.keys():
                yield f"{path}:{line} imports {top}: the core is made of {', '.join(sorted(CORE_PACKAGES))} only"
        if layer == top == "agents" and not {second, ANY} & (
            HUBS | {module, "pages"} | PUT_TOGETHER.get(module, set())
        ):
            yield f"{path}:{line} imports agents.{second}: modules of agents stand alone but for {sorted(HUBS)}"


def core_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """Calls of the core that read the clock, the disk or chance, and public things without a word about them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            yield f"{path}:{node.lineno} calls {node.func.id}()"
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).split(".")[-1]
            if node.attr in BANNED_ATTRIBUTES and owner in ("datetime", "date"):
                yield f"{path}:{node.lineno} reads the clock: {owner}.{node.attr}"
            if node.attr in BANNED_NUMPY and owner in ("np", "numpy"):
                yield f"{path}:{node.lineno} uses {owner}.{node.attr}"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A record of the event union is described by the contract's table, its tag is its name there.
            tagged = isinstance(node, ast.ClassDef) and any(keyword.arg == "tag" for keyword in node.keywords)
            if not node.name.startswith("_") and not tagged and ast.get_docstring(node) is None:
                yield f"{path}:{node.lineno} {node.name} has no docstring"


def shape_faults(path: str, text: str, tree: ast.Module) -> Iterator[str]:
    """Names and sizes."""
    stem = Path(path).stem
    if stem in VAGUE or Path(path).parent.name in VAGUE:
        yield f"{path} is named {stem}: a module is a noun and holds that thing"
    if ast.get_docstring(tree) is None:
        yield f"{path} has no docstring"
    if stem == "__init__" and len(tree.body) > 1:
        yield f"{path} holds more than its docstring"
    lines = len(text.splitlines())
    if lines > MODULE_LINES_MAX:
        yield f"{path} has {lines} lines, at most {MODULE_LINES_MAX}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            long = (node.end_lineno or node.lineno) - node.lineno + 1
            if long > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno} {node.name} has {long} lines, at most {FUNCTION_LINES_MAX}"


def faults(path: str, text: str) -> list[str]:
    """Every broken rule of one module; `path` is relative to the repository."""
    tree = ast.parse(text)
    found = [*import_faults(path, tree), *shape_faults(path, text, tree)]
    return found + (list(core_faults(path, tree)) if path.startswith("stream/") else [])


def modules() -> list[str]:
    """Every module of the three layers."""
    return sorted(str(p.relative_to(ROOT)) for layer in LAYERS for p in (ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("path", modules())
def test_the_rules_are_kept(path: str) -> None:
    """No module breaks a rule of the house."""
    assert faults(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_all_modules_are_looked_at() -> None:
    """The scan sees the layers: an empty list would pass every test."""
    assert {"stream/events.py", "stream/__init__.py", "agents/settings.py", "dashboards/build.py"} <= set(modules())


BROKEN = (
    ("stream/a.py", "import agents.settings", "may not know agents"),
    ("stream/a.py", "from dashboards import build", "may not know dashboards"),
    ("stream/a.py", "from .. import agents", "may not know agents"),
    ("agents/a.py", "from dashboards.build import text", "may not know dashboards"),
    ("dashboards/a.py", "import agents", "may not know agents"),
    *(("stream/a.py", f"import {name}", "no world outside") for name in sorted(BANNED)),
    ("stream/a.py", "from os.path import join", "no world outside"),
    ("stream/a.py", "def f():\n    import socket", "no world outside"),
    ("stream/a.py", "import redis", "the core is made of"),
    ("stream/a.py", "from aiokafka.errors import KafkaError", "the core is made of"),
    ("stream/a.py", "import faust", "the core is made of"),
    ("stream/a.py", "import requests", "the core is made of"),
    ("stream/a.py", "import numba", "only stream/compiling.py may"),
    ("stream/a.py", "from stream.compiling import compiled\nfrom stream.loops import shift", "compiled anew"),
    ("stream/windows.py", "from numba.typed import Dict", "only stream/compiling.py may"),
    ("agents/a.py", "def f():\n    from numba import njit", "only stream/compiling.py may"),
    ("stream/compiling.py", "import llvmlite", "the core is made of"),
    ("agents/a.py", "from agents.gateway import run", "stand alone"),
    ("agents/a.py", "from agents import gateway", "stand alone"),
    ("agents/feed.py", "from agents.entries import a\nfrom agents.rooms import b", "imports agents.rooms"),
    *(("stream/a.py", f"{call}('x')", f"calls {call}()") for call in sorted(BANNED_CALLS)),
    ("stream/a.py", "import datetime\nx = datetime.datetime.now()", "reads the clock"),
    ("stream/a.py", "from datetime import date\nx = date.today()", "reads the clock"),
    ("stream/a.py", "import numpy as np\nx = np.random.rand()", "uses np.random"),
    ("stream/a.py", "def public():\n    return 1", "public has no docstring"),
    ("stream/a.py", "class Public:\n    x = 1", "Public has no docstring"),
    ("stream/a.py", "", "has no docstring"),
    ("agents/__init__.py", '"""Map."""\nfrom agents.settings import Settings', "more than its docstring"),
    *((f"agents/{name}.py", '"""It."""', "a module is a noun") for name in sorted(VAGUE)),
    ("agents/utils/a.py", '"""It."""', "a module is a noun"),
    ("agents/a.py", '"""It."""\n' + "x = 1\n" * MODULE_LINES_MAX, "lines, at most 450"),
    ("agents/a.py", '"""It."""\ndef f():\n' + "    x = 1\n" * FUNCTION_LINES_MAX, "f has 71 lines"),
)  # fmt: skip


@pytest.mark.parametrize(("path", "text", "finding"), BROKEN)
def test_a_broken_rule_is_found(path: str, text: str, finding: str) -> None:
    """Each rule, broken in a sample, is named by the scan."""
    assert any(finding in fault for fault in faults(path, text))


KEPT = (
    ("stream/a.py", '"""It."""\nimport math\nimport numpy as np\nfrom stream.events import decode\nx = math.pi'),
    ("stream/a.py", '"""It."""\nfrom datetime import UTC, datetime\nx = datetime.fromtimestamp(0, UTC)'),
    ("stream/a.py", '"""It."""\nclass Tagged(Event, tag="like"):\n    pass\ndef _own():\n    pass'),
    ("agents/a.py", '"""It."""\nimport os\nfrom agents.settings import Settings\nfrom stream.events import decode'),
    ("agents/cli.py", '"""It."""\nfrom agents import gateway, rooms'),
    ("agents/gateway.py", '"""It."""\nfrom importlib.resources import files\nimport agents.pages'),
    ("dashboards/a.py", '"""It."""\nfrom stream.recap import Recap\nfrom dashboards.build import text'),
    ("stream/compiling.py", '"""It."""\nimport numba\nimport numpy as np\nfrom numba import njit'),
    ("stream/__init__.py", '"""Map."""'),
)


@pytest.mark.parametrize(("path", "text"), KEPT)
def test_what_is_allowed_is_not_found(path: str, text: str) -> None:
    """The scan is silent about a module that keeps the rules."""
    assert faults(path, text) == []


def test_every_folder_of_modules_is_packaged() -> None:
    """The wheel's list of packages equals the folders that hold modules."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {str(Path(path).parent).replace("/", ".") for path in modules()}

    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_the_visible_top_level_is_the_one_agreed() -> None:
    """Nothing is in the repository's top level but what the layout names, files that start with a dot aside."""
    agreed = {"pyproject.toml", "stream", "agents", "dashboards", "tests", "docker-compose.yml", "README.md"}
    made_here = {"build", "dist", "out", "liveroom.egg-info"}  # by builds and runs; git does not see them

    assert {p.name for p in ROOT.iterdir() if not p.name.startswith(".")} - made_here <= agreed


def test_the_door_and_the_scan_mean_the_same() -> None:
    """Columns and flags that two modules of loops state, since one may not know the other."""
    names = ("TS", "KIND", "USER", "WHAT", "SOURCE", "ID", "ROOM", "FLAGS", "CURRENCY", "MORE", "STAMPED", "TAKEN")

    assert {name: getattr(admitting, name) for name in names} == {name: getattr(scanning, name) for name in names}
    assert [getattr(loops, name) for name in names[:5]] == [getattr(scanning, name) for name in names[:5]]
