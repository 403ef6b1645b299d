"""How the process deals with memory: a worker packs large snapshots all day and should not grow by them.

And it holds millions of objects that live as long as their show: it should not stand still to look for cycles in them.
"""

import contextlib
import ctypes
import gc
import time

# glibc's names of what can be set, from malloc.h; other C libraries have no such setting and need none.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 4 * 1024 * 1024  # above any array of a fetch. By itself glibc raises its limit to 32 MiB as blocks are freed
_KEPT = 4 * _LARGE  # free at the end of the heap: to have memory back for every fetch costs a sixth of a worker's time
_ARENAS = 2  # one for the event loop, one for the consumer's thread
THAW_EVERY_S = 3_600.0  # to look at 2,000 rooms takes 0.4 s; what closed connections leave behind in an hour is little


def keep_small() -> None:
    """Blocks from _LARGE on are given back as soon as they are freed; of smaller ones, up to _KEPT are kept for use."""
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for what, value in ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _KEPT), (_ARENA_MAX, _ARENAS)):
            mallopt(what, value)


class Frost:
    """What a full collection has found to be in use is left out of the next ones, until it is thawed.

    What is frozen is freed as ever when nothing refers to it any more; only cycles have to wait for a thaw.
    """

    def __init__(self) -> None:
        self._thaw_at = time.monotonic() + THAW_EVERY_S

    def begin(self) -> None:
        """From now on."""
        gc.callbacks.append(self._collected)

    def end(self) -> None:
        """No more."""
        gc.callbacks.remove(self._collected)
        thaw()

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] != 2:
            return
        if phase == "stop":
            gc.freeze()
        elif time.monotonic() >= self._thaw_at:
            self._thaw_at = time.monotonic() + THAW_EVERY_S
            thaw()


def thaw() -> None:
    """Something large was in use and is not any more: the next full collection looks at everything."""
    gc.unfreeze()
