"""Plain Python over arrays of whole numbers, compiled by Numba when it is first called.

What was compiled once is kept on disk and made anew only when its own file changes: so a compiled function calls none
of another module. Numba takes a third of a second and 60 MiB to load, and is loaded only by who needs it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

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
        try:
            machine = numba.njit(function, cache=True)
        except RuntimeError:  # neither beside its file nor in a home of the user's may anything be kept
            machine = numba.njit(function)
        function.__globals__[function.__name__] = machine
