"""How the process gives memory back: a worker packs large snapshots all day and should not grow by them."""

import contextlib
import ctypes

# glibc's names of what can be set, from malloc.h; other C libraries have no such setting and need none.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 128 * 1024  # glibc's own first choice, which it otherwise raises to 32 MiB as large blocks are freed
_ARENAS = 2  # one for the event loop, one for the consumer's thread


def keep_small() -> None:
    """Blocks from _LARGE on are given back as soon as they are freed."""
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for what, value in ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE), (_ARENA_MAX, _ARENAS)):
            mallopt(what, value)
