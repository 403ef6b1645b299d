"""Which currency a room's money is in: the first money of a show fixes it, and a new show may have another."""

from stream import events as e
from stream.errors import RejectedEvent
from stream.names import hashed


class Currencies:
    """Of the newest show and the one before, by their beginning; a show is known as soon as its start comes in."""

    __slots__ = ("_by_start", "terms")

    def __init__(self) -> None:
        self._stand([(0, None)])

    def _stand(self, by_start: list[tuple[int, str | None]]) -> None:
        self._by_start = by_start
        start_ms, currency = by_start[-1]
        # When the newest show began, and the hashes of its currency and of the last show's, 0 where none is known:
        # `judge` finds nothing to say of money in that currency, nor anything to learn from it.
        self.terms = start_ms, hashed(currency), hashed(by_start[0][1])

    def judge(self, event: e.RoomEvent) -> None:
        """A `room.start`, or money. Raises RejectedEvent for money in another currency than its show's."""
        newest_ms = self._by_start[-1][0]
        if isinstance(event, e.RoomStart):
            if event.ts > newest_ms:
                self._stand([self._by_start[-1], (event.ts, None)])
            return
        assert isinstance(event, e.MoneyEvent)
        at = -1 if event.ts >= newest_ms else 0
        start_ms, currency = self._by_start[at]
        if currency is None:
            self._by_start[at] = (start_ms, event.currency)
            self._stand(self._by_start)
        elif event.currency != currency:
            raise RejectedEvent("currency", f"{event.currency} in a show that counts {currency}")

    def of(self, show_ms: int) -> str | None:
        """The currency of the show that began at `show_ms`; None before any money."""
        return next((currency for start_ms, currency in reversed(self._by_start) if start_ms <= show_ms), None)

    def snapshot(self) -> list[tuple[int, str | None]]:
        """As plain data."""
        return self._by_start

    def restore(self, state: list[tuple[int, str | None]]) -> None:
        """As it stood when `state` was taken."""
        self._stand([(start_ms, currency) for start_ms, currency in state])
