-- What may be known at a point: event types seen in the show, those only silent sources send, users told apart or not.
-- Ranks of status: 0 ok, 1 estimated, 2 stale, 3 missing; the worst of several is the greatest.

CREATE TEMP TABLE tags AS
SELECT show_no, type AS tag, min(s) AS since_s FROM happened GROUP BY ALL
UNION ALL
SELECT show_no, 'user', min(s) FROM happened WHERE user IS NOT NULL GROUP BY ALL
UNION ALL
SELECT show_no, type || '+user', min(s) FROM happened WHERE user IS NOT NULL GROUP BY ALL
UNION ALL
SELECT show_no, 'from', min(s) FROM happened WHERE type = 'viewer.join' AND "from" IS NOT NULL GROUP BY ALL
UNION ALL
SELECT show_no, 'channel', min(s) FROM happened WHERE type = 'order.paid' AND channel IS NOT NULL GROUP BY ALL
UNION ALL
SELECT show_no, 'returning', min(s) FROM happened WHERE type = 'order.paid' AND "returning" IS NOT NULL GROUP BY ALL;

-- A declared source is silent 30 s after the last it sent if it beats, else after 5 times the 99th percentile of its
-- gaps, at least 60 s and at most 600 s; its types are stale unless a source not silent sends them.
CREATE TEMP TABLE gaps AS
WITH rising AS (
    SELECT room, source, s, ts, lag(ts) OVER (PARTITION BY room, source ORDER BY ts, n) AS before_ms
    FROM events WHERE list_contains(getvariable('sources'), source)
)
SELECT room, source, s, least(600, (ts - before_ms) // 1000) AS gap_s FROM rising WHERE ts > before_ms;

CREATE TEMP TABLE silences AS
WITH spoke AS (
    SELECT room, source, s, max(max(ts)) OVER (PARTITION BY room, source ORDER BY s) AS last_ms
    FROM events WHERE source IS NOT NULL GROUP BY room, source, s
), beats AS (
    SELECT room, source, min(s) AS since_s FROM events WHERE type = 'source.beat' GROUP BY ALL
), usual AS (
    SELECT p.show_no, p.t, g.source, list_sort(list(g.gap_s))[ceil(count(*) * 0.99)::BIGINT] AS p99_s
    FROM points AS p JOIN gaps AS g ON g.room = p.room AND g.s < p.t GROUP BY ALL
), limits AS (
    SELECT p.show_no, p.t, k.source, k.last_ms,
        CASE
            WHEN b.since_s IS NOT NULL THEN 30
            WHEN list_contains(getvariable('sources'), k.source)
                THEN greatest(60, least(600, coalesce(5 * u.p99_s, 0)))
        END AS limit_s
    FROM points AS p
    JOIN (SELECT DISTINCT room, source FROM spoke) AS n ON n.room = p.room
    ASOF JOIN spoke AS k ON k.room = n.room AND k.source = n.source AND k.s < p.t
    LEFT JOIN beats AS b ON b.room = n.room AND b.source = n.source AND b.since_s < p.t
    LEFT JOIN usual AS u ON u.show_no = p.show_no AND u.t = p.t AND u.source = n.source
)
SELECT show_no, t, source, coalesce(t * 1000 - last_ms > limit_s * 1000, false) AS silent FROM limits;

CREATE TEMP TABLE stale AS
WITH sends AS (
    SELECT room, source, type, min(s) AS since_s FROM events WHERE source IS NOT NULL GROUP BY ALL
)
SELECT p.show_no, p.t, x.type AS tag
FROM points AS p
JOIN sends AS x ON x.room = p.room AND x.since_s < p.t
JOIN silences AS q ON q.show_no = p.show_no AND q.t = p.t AND q.source = x.source
GROUP BY ALL HAVING bool_and(q.silent);

CREATE TEMP TABLE known AS
SELECT p.show_no, p.t, g.tag, CASE WHEN s.tag IS NULL THEN 0 ELSE 2 END AS rank
FROM points AS p
JOIN tags AS g ON g.show_no = p.show_no AND g.since_s < p.t
LEFT JOIN stale AS s ON s.show_no = p.show_no AND s.t = p.t AND s.tag = replace(g.tag, '+user', '');

-- One id with more than a fifth of a source's events with a user, 50 at least, masks the source.
CREATE TEMP TABLE masked_spans AS
WITH counted AS (
    SELECT
        show_no, source, s, ts, n,
        row_number() OVER (PARTITION BY show_no, source ORDER BY ts, n) AS so_far,
        row_number() OVER (PARTITION BY show_no, source, user ORDER BY ts, n) AS of_user
    FROM happened WHERE user IS NOT NULL
), ends AS (
    SELECT show_no, source, s, max(so_far) AS so_far,
        max(max(of_user)) OVER (PARTITION BY show_no, source ORDER BY s) AS most
    FROM counted GROUP BY show_no, source, s
), spans AS (
    SELECT *, s + 1 AS from_t, lead(s + 1, 1, 1000000000000) OVER (PARTITION BY show_no, source ORDER BY s) AS to_t
    FROM ends
)
SELECT show_no, from_t, to_t FROM spans WHERE so_far >= 50 AND most * 5 > so_far;

CREATE TEMP TABLE masked AS
SELECT DISTINCT p.show_no, p.t
FROM points AS p JOIN masked_spans AS m ON m.show_no = p.show_no AND m.from_t <= p.t AND p.t < m.to_t;
