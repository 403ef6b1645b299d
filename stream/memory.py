"""Memory as the system gives it; nothing here is a file."""

import mmap

import numpy as np

from stream.loops import Ints


def lazy_zeros(rows: int, columns: int) -> Ints:
    """Zeros of which a page takes memory once it is written. Of np.zeros that holds only as the allocator pleases,
    and of what processes may share a page takes memory once it is read.
    """
    size = rows * columns * np.dtype(np.int64).itemsize
    held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(held, np.int64).reshape(rows, columns)
