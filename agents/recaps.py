"""The recap of a room out of Redis: the present show from its snapshot, an earlier one as it was kept."""

from collections.abc import Iterable

from redis.exceptions import RedisError

from agents.settings import Settings, load_playbook, room_config
from agents.store import Store, revive
from stream.errors import OperatorError
from stream.recap import Recap
from stream.room import RoomState


async def load(settings: Settings, room: str, show_ms: int | None = None) -> Recap:
    """The newest show of `room`, up to its last saved second, or the one that began at `show_ms`.

    Raises OperatorError for an unknown room or show, and when Redis does not answer.
    """
    store = Store(settings)
    try:
        blob = await store.snapshot(room)
        if blob is None:
            known = await store.rooms()
            raise OperatorError(f"no room {room!r} was saved; {_known('rooms', known)}")
        state = RoomState(room, load_playbook(settings), room_config(settings))
        revive(state, blob)
        state.finish()
        if state.show is not None and show_ms in (None, state.show.show_ms):
            return state.recap()
        recap = None if show_ms is None else await store.show(room, show_ms)
        if recap is None:
            raise OperatorError(f"room {room!r} has no such show; {_known('shows', map(str, await store.shows(room)))}")
        return recap
    except (RedisError, OSError) as error:
        raise OperatorError(
            f"no Redis answers at {settings.redis} ({error}); start it, or set LIVEROOM_REDIS to where it is"
        ) from None
    finally:
        await store.close()


def _known(what: str, names: Iterable[str]) -> str:
    held = list(names)
    return f"name one of the {what} {', '.join(held[:20])}" if held else f"there are no {what} yet"
