-- From `records` (one row a record, `n` its place in the log) to `happened`: every event once, with its time in whole
-- milliseconds, its second, its show, and whether it came after its second was closed.

CREATE TEMP TABLE arrivals AS
WITH meant AS (
    SELECT
        *,
        CASE
            WHEN ts BETWEEN 978307200000 AND 4102444799999 THEN ts
            WHEN ts * 1000 BETWEEN 978307200000 AND 4102444799999 THEN ts * 1000
            WHEN ts // 1000 BETWEEN 978307200000 AND 4102444799999 THEN ts // 1000
        END AS stated_ms
    FROM records
)
-- Arrival is the running maximum of event times, so it is room time, too; who states no time takes it.
SELECT *, max(stated_ms) OVER (PARTITION BY room ORDER BY n) AS room_ms
FROM meant
WHERE stated_ms IS NOT NULL OR coalesce(ts, 0) = 0;

CREATE TEMP TABLE occurrences AS
SELECT
    n,
    room_ms // 1000 AS room_s,
    type IN ('order.created', 'order.paid', 'order.cancelled', 'order.refunded', 'ad.spend') AS money,
    dense_rank() OVER (ORDER BY room, source, type, id) AS message,
    row_number() OVER (PARTITION BY room, source, type, id ORDER BY n) AS nth
FROM arrivals
WHERE id IS NOT NULL;

-- An occurrence is a duplicate of the last one taken in the same 120 s of room time or those before; of money, for ever.
CREATE TEMP TABLE duplicates AS
WITH RECURSIVE again AS (
    SELECT message, nth, n, room_s AS taken_s, false AS duplicate FROM occurrences WHERE nth = 1
    UNION ALL
    SELECT
        o.message,
        o.nth,
        o.n,
        CASE WHEN o.money OR o.room_s // 120 - a.taken_s // 120 <= 1 THEN a.taken_s ELSE o.room_s END,
        o.money OR o.room_s // 120 - a.taken_s // 120 <= 1
    FROM again AS a JOIN occurrences AS o ON o.message = a.message AND o.nth = a.nth + 1
)
SELECT n FROM again WHERE duplicate;

-- A second is closed once room time is lateness_ms past its end, if the room has begun by then.
CREATE TEMP TABLE events AS
WITH timed AS (
    SELECT * REPLACE (coalesce(stated_ms, room_ms) AS ts) FROM arrivals
    WHERE n NOT IN (FROM duplicates) AND room_ms IS NOT NULL
)
SELECT
    *,
    ts // 1000 AS s,
    coalesce(
        ts // 1000 < (room_ms - getvariable('lateness_ms')) // 1000
        AND min(ts // 1000) OVER (PARTITION BY room ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            < (room_ms - getvariable('lateness_ms')) // 1000,
        false
    ) AS late
FROM timed;

-- A show begins with the first event of a room, another one with each later room.start.
CREATE TEMP TABLE shows AS
WITH first AS (
    SELECT room, min(ts) AS start_ms FROM events WHERE NOT late GROUP BY room
), starts AS (
    FROM first
    UNION
    SELECT e.room, e.ts FROM events AS e JOIN first AS f ON f.room = e.room AND e.ts > f.start_ms
    WHERE e.type = 'room.start'
)
SELECT row_number() OVER (ORDER BY room, start_ms) AS show_no, room, start_ms, start_ms // 1000 AS start_s FROM starts;

CREATE TEMP TABLE happened AS
SELECT e.*, s.show_no FROM events AS e ASOF JOIN shows AS s ON s.room = e.room AND s.start_ms <= e.ts;
