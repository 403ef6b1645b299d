-- The moments t (whole seconds) at which numbers are wanted: the written lines, and 600 s before each.

CREATE TEMP TABLE lines AS
WITH extent AS (
    SELECT room, min(s) AS first_s, max(s) AS last_s FROM events WHERE NOT late GROUP BY room
), grid AS (
    SELECT room, unnest(generate_series(
        (first_s // getvariable('every_s') + 1) * getvariable('every_s'), last_s + 1, getvariable('every_s')
    )) AS t FROM extent
    UNION
    SELECT room, last_s + 1 FROM extent
), eventful AS (
    SELECT DISTINCT room, s FROM events WHERE NOT late
)
-- A line is written while the last 10 minutes or the 10 before hold an event.
SELECT g.room, g.t FROM grid AS g ASOF JOIN eventful AS e ON e.room = g.room AND e.s < g.t WHERE g.t - e.s <= 1200;

CREATE TEMP TABLE points AS
WITH lined AS (
    SELECT s.show_no, s.room, s.start_s, l.t, true AS lined
    FROM lines AS l ASOF JOIN shows AS s ON s.room = l.room AND s.start_ms < l.t * 1000
), before AS (
    SELECT show_no, room, start_s, t - 600, false FROM lined WHERE t - 600 > start_s
)
SELECT show_no, room, start_s, t, bool_or(lined) AS lined FROM (FROM lined UNION ALL FROM before) GROUP BY ALL;

CREATE TEMP TABLE windows AS
SELECT
    show_no, t, start_s, lined, w, greatest(t - size_s, start_s) AS from_s, t - greatest(t - size_s, start_s) AS seconds
FROM points CROSS JOIN (VALUES ('1m', 60), ('5m', 300), ('10m', 600), ('show', 1000000000)) AS sizes (w, size_s)
WHERE lined OR w = '10m';
