"""The series a room keeps a second: sums of what happened, and histograms behind the distinct counts.

A series is an index into a column of `Buckets`.
"""

(
    JOINS,
    JOINS_ADS,
    LEAVES,
    CHATS,
    LIKES,
    LIKE_MESSAGES,
    FOLLOWS,
    SHARES,
    FANCLUB_JOINS,
    GIFTS,
    GIFT_VALUE,
    EXPOSURES,
    EXPOSES,
    CLICKS,
    CARTS,
    UNITS_CREATED,
    UNITS_PAID,
    GMV_CREATED,
    GMV_PAID,
    GMV_NAMED,  # of it, by buyers with an id
    GMV_AD,  # of it, in lines that name an ad channel
    REFUNDED_AD,  # refunded, in lines that name an ad channel
    REFUNDED,
    PRIVATE_JOINS,
    AD_SPEND,
    VIEW_RISE,  # rise of the platform's count of visits
    ONLINE,  # people in the room at the end of each second
    ONLINE_KNOWN,  # 1 in each second in which that is known
    WATCH_MS,  # time people with a session spent in the room
    BEGAN,  # sessions by the second they began
    SHORT_30,  # of these, the ones that ended before 30 s
    SHORT_60,
    SHORT_180,
    SHORT_300,
    NAMELESS_CREATED,  # order lines without an order id, each an order of its own
    NAMELESS_PAID,
    NAMELESS_REFUNDED,
    # distinct, by last second seen
    VIEWERS,
    CHATTERS,
    INTERACTORS,
    FOLLOWERS,
    FANS,
    EXPOSED,
    CLICKERS,
    CARTERS,
    CREATORS,
    BUYERS,
    RETURNING,
    ORDERS_CREATED,
    ORDERS_PAID,
    REFUNDS,
) = range(51)
N_SERIES = 51
PEOPLE = range(VIEWERS, RETURNING + 1)
ORDERS = range(ORDERS_CREATED, REFUNDS + 1)
SHORT = {30: SHORT_30, 60: SHORT_60, 180: SHORT_180, 300: SHORT_300}
