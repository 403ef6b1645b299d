"""Plain Python over arrays of whole numbers, compiled by Numba when it is first called.

What was compiled once is kept on disk and made anew only when its own file changes: so a compiled function calls none
of another module. Numba takes a third of a second and 60 MiB to load, and is loaded only by who needs it.

Numba counts references to arrays at every call from one loop to another, and takes most of that away again only where
arrays do not come in tuples. Here only who makes arrays counts (`_nrt`, numba/numba#2345): that is a fifth of all time.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MAKERS = frozenset({"empty", "empty_like", "zeros", "full", "cumsum", "array_equal"})
_waiting: list[Callable[..., Any]] = []


def compiled(function: F) -> F:
    """The function as machine code from its first call on. Call it by `module.name`: there the machine code is put."""
    _waiting.append(function)

    @wraps(function)
    def first(*args: Any) -> Any:
        _compile()
        return function.__globals__[function.__name__](*args)

    return first  # type: ignore[return-value]


def _compile() -> None:
    """Put compiled functions in the places of all; each is translated, or found on disk, when it is called."""
    import numba

    while _waiting:
        function = _waiting.pop()
        counting: dict[str, Any] = {"_nrt": _makes_arrays(function)}
        try:
            machine = numba.njit(function, cache=True, **counting)
        except RuntimeError:  # neither beside its file nor in a home of the user's may anything be kept
            machine = numba.njit(function, **counting)
        function.__globals__[function.__name__] = machine


def _makes_arrays(function: Callable[..., Any]) -> bool:
    """Whether it makes arrays or returns some, so that references are counted; what _MAKERS lacks is not compiled."""
    return not _MAKERS.isdisjoint(function.__code__.co_names) or "ndarray" in repr(function.__annotations__["return"])
