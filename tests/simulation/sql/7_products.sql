-- What one product has beside its counts: velocity, stock and how long it lasts, refunds, the pitch.

-- Units and orders as they come: created, or paid where creations are not sent.
CREATE TEMP TABLE ordered AS
SELECT p.show_no, p.t, c.show_no IS NOT NULL AS created
FROM points AS p LEFT JOIN known AS c ON c.show_no = p.show_no AND c.t = p.t AND c.tag = 'order.created'
WHERE p.lined;

CREATE TEMP TABLE velocities AS
SELECT a.show_no, a.t, a.part, a.value AS of_1m, b.value AS of_5m, a.rank, a.value * 5 >= b.value AS last_minute
FROM ordered AS o
JOIN sides AS a ON a.show_no = o.show_no AND a.t = o.t AND a.kind = 'product' AND a.w = '1m'
    AND a.name = CASE WHEN o.created THEN 'units_created' ELSE 'units_paid' END
JOIN sides AS b ON b.show_no = a.show_no AND b.t = a.t AND b.kind = 'product' AND b.w = '5m'
    AND b.part = a.part AND b.name = a.name;

INSERT INTO numbers
SELECT
    show_no, t, 'product', part, 'velocity', NULL, NULL, CASE WHEN last_minute THEN of_1m ELSE of_5m / 5 END, rank,
    CASE WHEN last_minute THEN of_1m ELSE of_5m END, CASE WHEN last_minute THEN 1 ELSE 5 END
FROM velocities;

-- The newest reading of each variant, of whichever show.
CREATE TEMP TABLE stocks AS
WITH by_second AS (
    SELECT room, product, coalesce(sku, '') AS sku, s, arg_max(available, (ts, n)) AS pieces, max(ts) AS read_ms
    FROM events WHERE type = 'stock.level' GROUP BY ALL
), variants AS (
    SELECT DISTINCT room, product, sku FROM by_second
), newest AS (
    SELECT p.show_no, p.t, v.product, b.pieces, b.read_ms
    FROM points AS p JOIN variants AS v ON v.room = p.room
    ASOF JOIN by_second AS b ON b.room = v.room AND b.product = v.product AND b.sku = v.sku AND b.s < p.t
    WHERE p.lined
)
SELECT show_no, t, product AS part, sum(pieces)::BIGINT AS pieces, max(read_ms) AS read_ms FROM newest GROUP BY ALL;

CREATE TEMP TABLE stock_ranks AS
SELECT x.*, coalesce(k.rank, 0) AS rank, CASE WHEN s.tag IS NULL THEN 0 ELSE 2 END AS silence
FROM stocks AS x
SEMI JOIN present AS p ON p.show_no = x.show_no AND p.t = x.t AND p.kind = 'product' AND p.part = x.part
LEFT JOIN known AS k ON k.show_no = x.show_no AND k.t = x.t AND k.tag = 'stock.level'
LEFT JOIN stale AS s ON s.show_no = x.show_no AND s.t = x.t AND s.tag = 'stock.level';

INSERT INTO numbers
SELECT show_no, t, 'product', part, 'stock', NULL, pieces, NULL, rank, NULL, NULL FROM stock_ranks;

-- While orders come, a reading older than 10 s says nothing.
INSERT INTO numbers
SELECT
    x.show_no, x.t, 'product', x.part, 'sell_out_min', NULL, NULL,
    CASE WHEN v.last_minute THEN x.pieces / v.of_1m ELSE 5 * x.pieces / v.of_5m END,
    greatest(x.silence, v.rank),
    CASE WHEN v.last_minute THEN x.pieces ELSE 5 * x.pieces END,
    CASE WHEN v.last_minute THEN v.of_1m ELSE v.of_5m END
FROM stock_ranks AS x JOIN velocities AS v ON v.show_no = x.show_no AND v.t = x.t AND v.part = x.part
WHERE v.of_5m > 0 AND NOT (v.of_1m > 0 AND x.t * 1000 - x.read_ms > 10000);

INSERT INTO numbers
WITH sheets AS (
    SELECT room, s, arg_max(products, (ts, n)) AS products FROM events WHERE type = 'catalogue.set' GROUP BY ALL
), rows_of AS (
    SELECT p.show_no, p.t, unnest(c.products) AS row_of
    FROM points AS p ASOF JOIN sheets AS c ON c.room = p.room AND c.s < p.t
), sales AS (
    SELECT show_no, t, row_of.product AS part, sum(row_of.daily_sales)::BIGINT AS daily FROM rows_of GROUP BY ALL
)
SELECT x.show_no, x.t, 'product', x.part, 'safety_days', NULL, NULL, x.pieces / d.daily, x.rank, x.pieces, d.daily
FROM stock_ranks AS x JOIN sales AS d ON d.show_no = x.show_no AND d.t = x.t AND d.part = x.part
WHERE d.daily > 0;

INSERT INTO numbers
WITH pairs AS (
    SELECT p.show_no, p.product AS part, p.order, max(p.s) AS s FROM (
        SELECT show_no, product, "order", type, min(s) AS s FROM happened
        WHERE type IN ('order.paid', 'order.refunded') AND "order" IS NOT NULL AND product IS NOT NULL GROUP BY ALL
    ) AS p GROUP BY ALL HAVING count(*) = 2
)
SELECT
    o.show_no, o.t, 'product', o.part, 'refund_rate_show', NULL, NULL, count(q.s) / any_value(o.value),
    any_value(o.rank), count(q.s), any_value(o.value)
FROM sides AS o
JOIN statuses AS r ON r.show_no = o.show_no AND r.t = o.t AND r.name = 'refunds'
LEFT JOIN pairs AS q ON q.show_no = o.show_no AND q.part = o.part AND q.s < o.t
WHERE o.kind = 'product' AND o.w = 'show' AND o.name = 'orders_paid' AND o.value > 0
GROUP BY o.show_no, o.t, o.part;

-- The orders of every minute of a pitch that was on for all of it, at each of its seconds.
CREATE TEMP TABLE pitch_seconds AS
WITH spans AS (
    SELECT h.*, least(h.to_t - 1, e.last_t) AS last_t
    FROM pitches AS h JOIN (SELECT show_no, max(t) AS last_t FROM points GROUP BY ALL) AS e ON e.show_no = h.show_no
), clock AS (
    SELECT *, unnest(generate_series((since_ms + 59999) // 1000 + 1, last_t)) AS t FROM spans
)
SELECT
    c.show_no, c.product AS part, c.since_ms, c.from_t, c.t,
    CASE WHEN g.since_s < c.t THEN 'orders_created' ELSE 'orders_paid' END AS name
FROM clock AS c LEFT JOIN tags AS g ON g.show_no = c.show_no AND g.tag = 'order.created';

CREATE TEMP TABLE pitch_minutes AS
SELECT y.show_no, y.part, y.since_ms, y.from_t, y.t, count(DISTINCT f.key) AS orders
FROM pitch_seconds AS y LEFT JOIN facts AS f
    ON f.show_no = y.show_no AND f.kind = 'product' AND f.part = y.part AND f.name = y.name
    AND f.s >= y.t - 60 AND f.s < y.t
GROUP BY ALL;

INSERT INTO numbers
WITH so_far AS (
    SELECT *, max(orders) OVER (PARTITION BY show_no, since_ms, from_t ORDER BY t) AS peak FROM pitch_minutes
), now AS (
    SELECT o.show_no, o.t, m.part, m.orders, m.peak, s.rank
    FROM ordered AS o JOIN so_far AS m ON m.show_no = o.show_no AND m.t = o.t
    JOIN statuses AS s ON s.show_no = o.show_no AND s.t = o.t
        AND s.name = CASE WHEN o.created THEN 'orders_created' ELSE 'orders_paid' END
    SEMI JOIN present AS p ON p.show_no = o.show_no AND p.t = o.t AND p.kind = 'product' AND p.part = m.part
)
SELECT show_no, t, 'product', part, 'pitch_per_min', NULL, orders, NULL, rank, NULL, NULL FROM now
UNION ALL
SELECT show_no, t, 'product', part, 'pitch_peak', NULL, peak, NULL, rank, NULL, NULL FROM now;
