-- Who is in the room: people at the end of every second, sessions as islands between gaps, watch time, retention.

-- Joins and leaves that change something: a join of someone away, a leave of someone here.
CREATE TEMP TABLE turns AS
WITH stated AS (
    SELECT show_no, user, ts, n, s, type = 'viewer.join' AS here,
        lag(type, 1, 'viewer.leave') OVER (PARTITION BY show_no, user ORDER BY ts, n) AS before
    FROM happened WHERE type IN ('viewer.join', 'viewer.leave') AND user IS NOT NULL
)
SELECT show_no, user, ts, n, s, here FROM stated WHERE here <> (before = 'viewer.join');

-- A stay is [in_ms, out_ms); stays with at most 30 s between them are one session, and so is the time between.
CREATE TEMP TABLE stays AS
WITH stay AS (
    SELECT show_no, user, here, n, ts AS in_ms, lead(ts) OVER later AS out_ms, lead(ts, 2) OVER later AS back_ms,
        lag(ts) OVER later AS left_ms
    FROM turns WINDOW later AS (PARTITION BY show_no, user ORDER BY ts, n) QUALIFY here
), island AS (
    SELECT *, sum(CASE WHEN in_ms - left_ms <= 30000 THEN 0 ELSE 1 END)
        OVER (PARTITION BY show_no, user ORDER BY in_ms, n) AS session
    FROM stay
)
SELECT
    show_no, user, session, in_ms, out_ms,
    CASE WHEN back_ms - out_ms <= 30000 THEN back_ms END AS back_ms,
    min(in_ms) OVER (PARTITION BY show_no, user, session) AS began_ms,
    row_number() OVER (PARTITION BY show_no, user, session ORDER BY in_ms, n) = 1 AS begins
FROM island;

-- People at the end of each second: the newest reading; else, where leaves are sent and users told apart, open
-- sessions and what nameless joins exceed nameless leaves by.
CREATE TEMP TABLE seconds AS
WITH extent AS (
    SELECT p.show_no, p.start_s, max(p.t) AS last_t FROM points AS p
    SEMI JOIN (FROM happened WHERE type IN ('viewer.count', 'viewer.leave')) AS h ON h.show_no = p.show_no
    GROUP BY ALL
), clock AS (
    SELECT show_no, unnest(generate_series(start_s + 1, last_t)) AS t FROM extent
), stated AS (
    SELECT show_no, s, arg_max(people, (ts, n)) AS people, arg_max(exact, (ts, n)) AS exact
    FROM readings WHERE of = 'online' GROUP BY ALL
), moves AS (
    SELECT show_no, s, CASE WHEN here THEN 1 ELSE -1 END AS named, 0 AS nameless FROM turns
    UNION ALL
    SELECT show_no, s, 0, CASE type WHEN 'viewer.join' THEN 1 ELSE -1 END FROM happened
    WHERE type IN ('viewer.join', 'viewer.leave') AND user IS NULL
), present_now AS (
    SELECT show_no, s, sum(sum(named)) OVER so_far AS named, sum(sum(nameless)) OVER so_far AS nameless
    FROM moves GROUP BY show_no, s WINDOW so_far AS (PARTITION BY show_no ORDER BY s)
), leaves AS (
    SELECT show_no, since_s FROM tags WHERE tag = 'viewer.leave'
)
SELECT
    c.show_no, c.t,
    CASE
        WHEN r.people IS NOT NULL THEN floor(r.people)::BIGINT
        WHEN l.since_s IS NOT NULL AND NOT EXISTS (
            FROM masked_spans AS m WHERE m.show_no = c.show_no AND m.from_t <= c.t AND c.t < m.to_t
        ) THEN (coalesce(p.named, 0) + greatest(0, coalesce(p.nameless, 0)))::BIGINT
    END AS online,
    r.people IS NOT NULL AS stated,
    coalesce(r.exact, true) AS exact
FROM clock AS c
ASOF LEFT JOIN stated AS r ON r.show_no = c.show_no AND r.s < c.t
ASOF LEFT JOIN present_now AS p ON p.show_no = c.show_no AND p.s < c.t
LEFT JOIN leaves AS l ON l.show_no = c.show_no AND l.since_s < c.t;

-- What may be known of the audience at a point.
CREATE TEMP TABLE audience AS
WITH ranks AS (
    SELECT
        show_no, t,
        min(rank) FILTER (tag = 'viewer.join') AS join_rank,
        min(rank) FILTER (tag = 'viewer.count') AS count_rank,
        min(rank) FILTER (tag = 'viewer.leave') AS leave_rank
    FROM known GROUP BY ALL
)
SELECT
    p.show_no, p.t, s.online, coalesce(s.exact, true) AS exact, k.join_rank, k.count_rank, k.leave_rank,
    coalesce(s.stated, false) AS stated,
    leave_rank IS NOT NULL AND m.show_no IS NULL AS sessions
FROM points AS p
LEFT JOIN seconds AS s ON s.show_no = p.show_no AND s.t = p.t
LEFT JOIN ranks AS k ON k.show_no = p.show_no AND k.t = p.t
LEFT JOIN masked AS m ON m.show_no = p.show_no AND m.t = p.t;

CREATE TEMP TABLE presence AS
SELECT w.show_no, w.t, w.w, coalesce(sum(s.online), 0)::BIGINT AS people, count(s.online) AS seconds
FROM windows AS w LEFT JOIN seconds AS s ON s.show_no = w.show_no AND s.t > w.from_s AND s.t <= w.t
GROUP BY ALL;

-- The rank of a mean of online: any of the two types can feed it, and a display string is an estimate.
CREATE TEMP TABLE mean_online AS
SELECT p.*, greatest(least(a.count_rank, a.leave_rank), CASE WHEN a.exact THEN 0 ELSE 1 END) AS rank
FROM presence AS p JOIN audience AS a ON a.show_no = p.show_no AND a.t = p.t WHERE p.seconds > 0;

INSERT INTO numbers
SELECT
    show_no, t, 'room', '', 'online', NULL, online, NULL,
    CASE
        WHEN online IS NULL THEN 3
        ELSE greatest(CASE WHEN stated THEN count_rank ELSE leave_rank END, CASE WHEN exact THEN 0 ELSE 1 END)
    END, NULL, NULL
FROM audience;

INSERT INTO numbers
SELECT
    p.show_no, p.t, 'room', '', 'online_1m', NULL, NULL, m.people / m.seconds, coalesce(m.rank, 3), m.people, m.seconds
FROM points AS p LEFT JOIN mean_online AS m ON m.show_no = p.show_no AND m.t = p.t AND m.w = '1m';

INSERT INTO numbers
WITH minutes AS (
    SELECT show_no, t, sum(online) OVER last_60 AS people FROM seconds
    WINDOW last_60 AS (PARTITION BY show_no ORDER BY t ROWS BETWEEN 59 PRECEDING AND CURRENT ROW)
    QUALIFY count(online) OVER last_60 = 60
), highest AS (
    SELECT show_no, t, max(people) OVER (PARTITION BY show_no ORDER BY t)::BIGINT AS people FROM minutes
), at_points AS (
    SELECT p.show_no, p.t, h.people FROM points AS p ASOF JOIN highest AS h ON h.show_no = p.show_no AND h.t <= p.t
)
SELECT
    p.show_no, p.t, 'room', '', 'peak_online', NULL, NULL, h.people / 60,
    CASE WHEN h.people IS NOT NULL THEN coalesce(m.rank, 3) ELSE 3 END,
    CASE WHEN m.rank IS NOT NULL THEN h.people END, CASE WHEN m.rank IS NOT NULL AND h.people IS NOT NULL THEN 60 END
FROM points AS p
LEFT JOIN at_points AS h ON h.show_no = p.show_no AND h.t = p.t
LEFT JOIN mean_online AS m ON m.show_no = p.show_no AND m.t = p.t AND m.w = '1m';

INSERT INTO numbers
SELECT
    w.show_no, w.t, 'room', '', 'chat_density', w.w, NULL, 6000 * c.value / nullif(m.people, 0),
    CASE WHEN m.people > 0 AND c.rank IS NOT NULL THEN greatest(c.rank, m.rank) ELSE 3 END,
    CASE WHEN m.rank IS NOT NULL THEN c.value END, CASE WHEN c.rank IS NOT NULL THEN m.people END
FROM windows AS w
LEFT JOIN sides AS c
    ON c.show_no = w.show_no AND c.t = w.t AND c.w = w.w AND c.kind = 'room' AND c.name = 'chats'
LEFT JOIN mean_online AS m ON m.show_no = w.show_no AND m.t = w.t AND m.w = w.w;

-- Time away counts once the return is known, a stay as far as it went.
CREATE TEMP TABLE watched AS
SELECT
    w.show_no, w.t, w.w,
    sum(
        greatest(0, least(coalesce(x.out_ms, w.t * 1000), w.t * 1000) - greatest(x.in_ms, w.from_s * 1000))
        + CASE
            WHEN x.back_ms < w.t * 1000 THEN greatest(0, x.back_ms - greatest(x.out_ms, w.from_s * 1000)) ELSE 0
        END
    )::BIGINT AS ms
FROM windows AS w JOIN stays AS x
    ON x.show_no = w.show_no AND x.in_ms < w.t * 1000
    AND coalesce(x.back_ms, x.out_ms, w.t * 1000) > w.from_s * 1000
GROUP BY ALL;

INSERT INTO numbers
WITH by_sessions AS (
    SELECT w.show_no, w.t, w.w, coalesce(d.ms, 0) AS num, coalesce(v.value, 0) AS den, 1000 AS per,
        least(a.join_rank, a.leave_rank) AS rank
    FROM windows AS w JOIN audience AS a ON a.show_no = w.show_no AND a.t = w.t AND a.sessions
    LEFT JOIN watched AS d ON d.show_no = w.show_no AND d.t = w.t AND d.w = w.w
    LEFT JOIN sides AS v
        ON v.show_no = w.show_no AND v.t = w.t AND v.w = w.w AND v.kind = 'room' AND v.name = 'viewers'
), by_integral AS (
    SELECT m.show_no, m.t, m.w, m.people, j.value, 1, greatest(1, m.rank, a.join_rank)
    FROM mean_online AS m JOIN audience AS a ON a.show_no = m.show_no AND a.t = m.t AND NOT a.sessions
    JOIN sides AS j ON j.show_no = m.show_no AND j.t = m.t AND j.w = m.w AND j.kind = 'room' AND j.name = 'joins'
), either AS (
    FROM by_sessions UNION ALL FROM by_integral
)
SELECT
    w.show_no, w.t, 'room', '', 'dwell_s', w.w, NULL, e.num / nullif(e.per * e.den, 0),
    CASE WHEN e.den > 0 THEN e.rank ELSE 3 END, e.num, e.den
FROM windows AS w LEFT JOIN either AS e ON e.show_no = w.show_no AND e.t = w.t AND e.w = w.w;

-- Of the sessions begun in [t - N - 120, t - N) those that are not known to have ended before N seconds.
CREATE TEMP TABLE cohorts AS
SELECT
    p.show_no, p.t, r.n,
    count(*) FILTER (x.begins) AS began,
    count(*) FILTER (
        x.out_ms < p.t * 1000 AND x.out_ms - x.began_ms < r.n * 1000 AND NOT coalesce(x.back_ms < p.t * 1000, false)
    ) AS short
FROM points AS p CROSS JOIN (VALUES (30), (60), (180), (300)) AS r (n)
JOIN stays AS x ON x.show_no = p.show_no
    AND x.began_ms >= (p.t - r.n - 120) * 1000 AND x.began_ms < (p.t - r.n) * 1000 AND x.in_ms < p.t * 1000
WHERE p.lined
GROUP BY ALL;

INSERT INTO numbers
WITH stayed AS (
    SELECT p.show_no, p.t, r.n, coalesce(c.began, 0) AS den, coalesce(c.began - c.short, 0) AS num,
        least(a.join_rank, a.leave_rank) AS rank
    FROM points AS p CROSS JOIN (VALUES (30), (60), (180), (300)) AS r (n)
    JOIN audience AS a ON a.show_no = p.show_no AND a.t = p.t AND a.sessions AND a.join_rank IS NOT NULL
    LEFT JOIN cohorts AS c ON c.show_no = p.show_no AND c.t = p.t AND c.n = r.n
), joined AS (
    SELECT p.show_no, p.t, r.n, count(h.n) AS joins
    FROM points AS p CROSS JOIN (VALUES (30), (60), (180), (300)) AS r (n)
    LEFT JOIN (FROM happened WHERE type = 'viewer.join') AS h
        ON h.show_no = p.show_no AND h.s >= p.t - r.n AND h.s < p.t
    GROUP BY ALL
), estimated AS (
    SELECT j.show_no, j.t, j.n, b.online + j.joins AS den,
        b.online + j.joins - greatest(0, j.joins - (a.online - b.online)) AS num,
        greatest(1, a.count_rank, a.join_rank) AS rank
    FROM joined AS j
    JOIN audience AS a ON a.show_no = j.show_no AND a.t = j.t AND NOT a.sessions AND a.join_rank IS NOT NULL
    JOIN seconds AS b ON b.show_no = j.show_no AND b.t = j.t - j.n
    WHERE a.online IS NOT NULL AND b.online IS NOT NULL
), either AS (
    FROM stayed UNION ALL SELECT show_no, t, n, den, num, rank FROM estimated
)
SELECT
    p.show_no, p.t, 'room', '', 'retention_' || r.n || 's', NULL, NULL, e.num / nullif(e.den, 0),
    CASE WHEN e.den >= 20 THEN e.rank ELSE 3 END, CASE WHEN e.den >= 20 THEN e.num END, e.den
FROM points AS p CROSS JOIN (VALUES (30), (60), (180), (300)) AS r (n)
LEFT JOIN either AS e ON e.show_no = p.show_no AND e.t = p.t AND e.n = r.n
WHERE p.lined;

INSERT INTO numbers
WITH could AS (
    SELECT
        p.show_no, p.t, count(*) FILTER (x.begins) AS den,
        count(*) FILTER (
            x.out_ms < p.t * 1000 AND x.out_ms - x.began_ms < 60000 AND NOT coalesce(x.back_ms < p.t * 1000, false)
        ) AS short
    FROM points AS p JOIN stays AS x
        ON x.show_no = p.show_no AND x.began_ms < (p.t - 60) * 1000 AND x.in_ms < p.t * 1000
    WHERE p.lined
    GROUP BY ALL
)
SELECT
    p.show_no, p.t, 'room', '', 'over_1min_rate_show', NULL, NULL, (c.den - c.short) / nullif(c.den, 0),
    CASE WHEN c.den > 0 AND a.show_no IS NOT NULL THEN least(a.join_rank, a.leave_rank) ELSE 3 END,
    CASE WHEN a.show_no IS NOT NULL THEN coalesce(c.den - c.short, 0) END,
    CASE WHEN a.show_no IS NOT NULL THEN coalesce(c.den, 0) END
FROM points AS p
LEFT JOIN audience AS a ON a.show_no = p.show_no AND a.t = p.t AND a.sessions AND a.join_rank IS NOT NULL
LEFT JOIN could AS c ON c.show_no = p.show_no AND c.t = p.t;
