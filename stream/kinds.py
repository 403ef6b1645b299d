"""What an event counts for by its type: the series it adds to, and those its user is seen in.

Types are the codes of `stream.waiting`; what needs more of an event than its row is for the tally's methods.
"""

from collections.abc import Iterable

import numpy as np

from stream import events as e
from stream import series as s
from stream.loops import NONE
from stream.numbers import named
from stream.waiting import CODE, KINDS

# What the user of an event counts as, besides a viewer.
_COUNTS_AS: dict[type, tuple[int, ...]] = {
    e.Chat: (s.CHATTERS, s.INTERACTORS),
    e.Like: (s.INTERACTORS,),
    e.Share: (s.INTERACTORS,),
    e.Follow: (s.FOLLOWERS, s.INTERACTORS),
    e.FanclubJoin: (s.FANS,),
    e.ProductExpose: (s.EXPOSED,),
    e.ProductClick: (s.CLICKERS,),
    e.CartAdd: (s.CARTERS,),
    e.OrderCreated: (s.CREATORS,),
    e.OrderPaid: (s.BUYERS,),
}
_ONE_EACH: dict[type, int] = {
    e.ViewerJoin: s.JOINS,
    e.ViewerLeave: s.LEAVES,
    e.Chat: s.CHATS,
    e.Like: s.LIKE_MESSAGES,
    e.Follow: s.FOLLOWS,
    e.Share: s.SHARES,
    e.FanclubJoin: s.FANCLUB_JOINS,
    e.PrivateJoin: s.PRIVATE_JOINS,
    e.ProductExpose: s.EXPOSES,
    e.ProductClick: s.CLICKS,
    e.CartAdd: s.CARTS,
}
_COUNTS: dict[type, int] = {e.Like: s.LIKES, e.RoomExposure: s.EXPOSURES}
_SEEN_IN = [(s.VIEWERS, *_COUNTS_AS.get(kind, ()), NONE, NONE)[:3] for kind in KINDS]
COUNTS_IN = np.array(
    [(_ONE_EACH.get(kind, NONE), _COUNTS.get(kind, NONE), *seen) for kind, seen in zip(KINDS, _SEEN_IN, strict=True)]
)
"""By code what an event adds to: the series of one each, that of what its row says, and those its user is seen in."""
JOIN, LEAVE = CODE[e.ViewerJoin], CODE[e.ViewerLeave]


def bits(codes: Iterable[int]) -> int:
    """These types as a set of bits, of which a whole number has room for 63."""
    return sum(1 << code for code in codes)


WITH_USER = [named(tag) for tag in e.TAG_OF.values()]  # by code, what is known once such an event has a user
