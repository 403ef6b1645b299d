"""Windows that slide over panes of one second: the same few lines for every engine that only folds seconds well."""

from collections.abc import Collection

from contract import START_S, WINDOWS_S, conversion

Unnamed = tuple[int, int, int, int, int, int, int, int, float | None]
"""A row of the contract without its room."""


class Sliding:
    """One room's sums and distinct users over each window; a close costs a constant per user of a second and window."""

    def __init__(self) -> None:
        self._panes: dict[int, tuple[list[int], Collection[str]]] = {}
        self._sums = {window_s: [0] * 5 for window_s in WINDOWS_S}
        self._seen: dict[int, dict[str, int]] = {window_s: {} for window_s in WINDOWS_S}  # user -> seconds with them

    def close(self, second: int, new: list[int], users: Collection[str]) -> list[Unnamed]:
        """The rows at the end of `second`, in seconds since the workload's start or since 1970."""
        self._panes[second] = (new, users)
        rows: list[Unnamed] = []
        for window_s in WINDOWS_S:
            sums, seen = self._sums[window_s], self._seen[window_s]
            for place in range(5):
                sums[place] += new[place]
            for user in users:
                seen[user] = seen.get(user, 0) + 1
            gone = self._panes.get(second - window_s)
            if gone is not None:
                for place in range(5):
                    sums[place] -= gone[0][place]
                for user in gone[1]:
                    if seen[user] == 1:
                        del seen[user]
                    else:
                        seen[user] -= 1
            end_s = second + 1 - (START_S if second >= START_S else 0)
            rows.append((window_s, end_s, *sums, len(seen), conversion(sums[2], len(seen))))
        self._panes.pop(second - max(WINDOWS_S), None)
        return rows
