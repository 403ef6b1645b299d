"""A TCP proxy that can be slow, silent in one direction, or cut: for faults between two processes."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agents.embedded import LOOPBACK, free_port

START_TIMEOUT_S = 10.0


@dataclass
class Proxy:
    """Forwards `port` to `target`; change its fields at any time. `held`: answers wait, questions go through.

    With `hold_at`, answers wait from the moment that so many bytes were asked.
    """

    port: int
    target: int
    delay_s: float = 0.0
    held: bool = False
    cut: bool = False
    asked: int = 0  # bytes that went from clients to the server
    hold_at: int | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    def sever(self) -> None:
        """Cut every connection and take no new one."""
        self.cut = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._close)

    def mend(self) -> None:
        """Forward again, at once."""
        self.cut = self.held = False
        self.hold_at = None
        self.delay_s = 0.0

    def _close(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def _held(self) -> bool:
        return self.held or (self.hold_at is not None and self.asked >= self.hold_at)

    def _ask(self, size: int) -> None:
        self.asked += size

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.cut:
                return
            there, back = await asyncio.open_connection(LOOPBACK, self.target)
            self._writers.add(back)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, back, lambda: False, self._ask))
                    both.create_task(self._pump(there, writer, self._held, lambda _: None))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except (OSError, ExceptionGroup):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        held: Callable[[], bool],
        told: Callable[[int], None],
    ) -> None:
        while data := await reader.read(65_536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            while held() and not self.cut:
                await asyncio.sleep(0.02)
            writer.write(data)
            await writer.drain()
            told(len(data))
        raise ConnectionResetError


@contextlib.contextmanager
def proxy(target: int, port: int = 0) -> Iterator[Proxy]:
    """A proxy on loopback in a thread of its own while the block runs."""
    made = Proxy(port or free_port(), target)
    loop = asyncio.new_event_loop()
    made._loop = loop
    up, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(made._accept, LOOPBACK, made.port)
        up.set()
        await stop.wait()
        server.close()
        made._close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
            loop.run_until_complete(asyncio.sleep(0.05))  # for the cancelled to end
        finally:
            loop.close()

    thread = threading.Thread(target=work, name="proxy")
    thread.start()
    try:
        assert up.wait(START_TIMEOUT_S), "the proxy did not start"
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_TIMEOUT_S)
