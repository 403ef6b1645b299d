-- Counts, people and money over every window, and the ratios of two of them.

CREATE TEMP TABLE measures AS
FROM (VALUES
    ('joins', ['viewer.join'], false), ('leaves', ['viewer.leave'], false), ('chats', ['chat'], false),
    ('likes', ['like'], false), ('follows', ['follow'], false), ('shares', ['share'], false),
    ('fanclub_joins', ['fanclub.join'], false), ('gifts', ['gift'], false), ('gift_value', ['gift'], false),
    ('exposures', ['room.exposure'], false), ('exposes', ['product.expose'], false),
    ('clicks', ['product.click'], false), ('carts', ['cart.add'], false), ('private_joins', ['private.join'], false),
    ('orders_created', ['order.created'], false), ('orders_paid', ['order.paid'], false),
    ('units_created', ['order.created'], false), ('units_paid', ['order.paid'], false),
    ('gmv_created', ['order.created'], false), ('gmv_paid', ['order.paid'], false),
    ('gmv_named', ['order.paid'], false), ('gmv_ad', ['channel'], false), ('net_ad', ['channel'], false),
    ('refunds', ['order.refunded'], false), ('refunded', ['order.refunded'], false),
    ('ad_spend', ['ad.spend'], false), ('ad_joins', ['from'], false), ('view_rise', ['viewer.count'], false),
    ('viewers', ['user'], true), ('chatters', ['chat+user'], true), ('followers', ['follow+user'], true),
    ('fans', ['fanclub.join+user'], true),
    ('interactors', ['chat+user', 'like+user', 'share+user', 'follow+user'], true),
    ('exposed', ['product.expose+user'], true), ('clickers', ['product.click+user'], true),
    ('carters', ['cart.add+user'], true), ('creators', ['order.created+user'], true),
    ('buyers', ['order.paid+user'], true), ('returning', ['returning'], true)
) AS m (name, needs, people);

-- Known if any of the needed types was seen; stale if all that were seen are.
CREATE TEMP TABLE statuses AS
SELECT k.show_no, k.t, m.name, min(k.rank) AS rank
FROM (SELECT name, unnest(needs) AS tag, people FROM measures) AS m
JOIN known AS k ON k.tag = m.tag
ANTI JOIN masked AS x ON m.people AND x.show_no = k.show_no AND x.t = k.t
GROUP BY ALL;

CREATE TEMP TABLE counted AS
SELECT w.show_no, w.t, w.w, f.kind, f.part, f.name, coalesce(sum(f.amount), 0)::BIGINT + count(DISTINCT f.key) AS value
FROM windows AS w JOIN facts AS f ON f.show_no = w.show_no AND f.s >= w.from_s AND f.s < w.t
GROUP BY ALL;

-- People of a part are the room's people of the window who belong to it at its end.
INSERT INTO counted
WITH people AS (
    SELECT DISTINCT w.show_no, w.t, w.w, f.name, f.key AS user
    FROM windows AS w JOIN facts AS f ON f.show_no = w.show_no AND f.s >= w.from_s AND f.s < w.t
    WHERE w.lined AND f.kind = 'room' AND f.name IN ('viewers', 'clickers', 'buyers')
)
SELECT p.show_no, p.t, p.w, 'visitors', b.part, p.name, count(*)
FROM people AS p
JOIN belongs AS b ON b.show_no = p.show_no AND b.user = p.user AND b.from_t <= p.t AND p.t < b.to_t
GROUP BY ALL;

CREATE TEMP TABLE shown AS
SELECT kind, unnest(names) AS name FROM (VALUES
    ('room', ['joins', 'views', 'viewers', 'leaves', 'chats', 'chatters', 'likes', 'follows', 'shares',
        'fanclub_joins', 'gifts', 'gift_value', 'exposures', 'exposes', 'exposed', 'clicks', 'clickers', 'carts',
        'carters', 'orders_created', 'orders_paid', 'units_created', 'units_paid', 'creators', 'buyers',
        'gmv_created', 'gmv_paid', 'refunds', 'refunded', 'private_joins', 'ad_spend', 'ad_joins']),
    ('product', ['exposes', 'exposed', 'clicks', 'clickers', 'carts', 'carters', 'orders_created', 'orders_paid',
        'units_created', 'units_paid', 'creators', 'buyers', 'gmv_created', 'gmv_paid', 'refunded', 'refunds']),
    ('visitors', ['joins', 'viewers', 'clickers', 'buyers', 'gmv_paid']),
    ('scene', ['joins', 'viewers', 'clickers', 'buyers', 'gmv_paid']),
    ('ads', ['ad_spend', 'joins']),
    ('channel', ['ad_spend', 'joins', 'gmv_paid'])
) AS s (kind, names);

CREATE TEMP TABLE sides AS
SELECT w.show_no, w.t, w.w, p.kind, p.part, m.name, coalesce(c.value, 0) AS value, s.rank
FROM windows AS w
JOIN present AS p ON p.show_no = w.show_no AND p.t = w.t
JOIN (
    FROM shown UNION SELECT 'room', name FROM measures WHERE name <> 'view_rise'
) AS m ON m.kind = p.kind
JOIN statuses AS s ON s.show_no = w.show_no AND s.t = w.t AND s.name = m.name
LEFT JOIN counted AS c
    ON c.show_no = w.show_no AND c.t = w.t AND c.w = w.w AND c.kind = p.kind AND c.part = p.part AND c.name = m.name
WHERE NOT (p.kind = 'scene' AND w.w <> 'show' AND m.name IN ('viewers', 'clickers', 'buyers'));  -- of the show only

-- Views: the rise of the platform's count where it was ever read in the show, its height for the show; else joins.
CREATE TEMP TABLE platform_views AS
WITH heights AS (SELECT show_no, s, arg_max(total, (ts, n)) AS total FROM visits GROUP BY ALL)
SELECT w.show_no, w.t, w.w, CASE w.w WHEN 'show' THEN h.total ELSE coalesce(c.value, 0) END AS value, s.rank
FROM windows AS w
ASOF JOIN heights AS h ON h.show_no = w.show_no AND h.s < w.t
JOIN statuses AS s ON s.show_no = w.show_no AND s.t = w.t AND s.name = 'view_rise'
LEFT JOIN counted AS c
    ON c.show_no = w.show_no AND c.t = w.t AND c.w = w.w AND c.kind = 'room' AND c.name = 'view_rise';

INSERT INTO sides
SELECT show_no, t, w, 'room', '', 'views', value, rank FROM platform_views
UNION ALL
SELECT show_no, t, w, kind, part, 'views', value, rank FROM sides AS s
ANTI JOIN platform_views AS v ON v.show_no = s.show_no AND v.t = s.t AND v.w = s.w
WHERE kind = 'room' AND name = 'joins';

CREATE TEMP TABLE numbers (
    show_no BIGINT, t BIGINT, kind VARCHAR, part VARCHAR, name VARCHAR, w VARCHAR,
    whole BIGINT, ratio DOUBLE, rank INTEGER, num BIGINT, den BIGINT
);

INSERT INTO numbers
SELECT w.show_no, w.t, p.kind, p.part, n.name, w.w, s.value, NULL, coalesce(s.rank, 3), NULL, NULL
FROM windows AS w JOIN present AS p ON p.show_no = w.show_no AND p.t = w.t JOIN shown AS n ON n.kind = p.kind
LEFT JOIN sides AS s
    ON s.show_no = w.show_no AND s.t = w.t AND s.w = w.w AND s.kind = p.kind AND s.part = p.part AND s.name = n.name;

CREATE TEMP TABLE rates AS
FROM (VALUES
    ('room', 'interaction_rate', 'interactors', 'viewers', 1), ('room', 'follow_rate', 'followers', 'viewers', 1),
    ('room', 'fanclub_rate', 'fans', 'viewers', 1), ('room', 'enter_rate', 'views', 'exposures', 1),
    ('room', 'expose_rate', 'exposed', 'viewers', 1), ('room', 'click_rate', 'clickers', 'exposed', 1),
    ('room', 'cart_rate', 'carters', 'clickers', 1), ('room', 'create_rate', 'creators', 'clickers', 1),
    ('room', 'pay_rate', 'buyers', 'clickers', 1), ('room', 'view_pay_rate', 'buyers', 'viewers', 1),
    ('room', 'gpm', 'gmv_paid', 'views', 1000), ('room', 'uv_value', 'gmv_paid', 'viewers', 1),
    ('room', 'aov', 'gmv_named', 'buyers', 1), ('room', 'per_order', 'gmv_paid', 'orders_paid', 1),
    ('room', 'per_unit', 'gmv_paid', 'units_paid', 1), ('room', 'repeat_rate', 'returning', 'buyers', 1),
    ('room', 'cost_per_join', 'ad_spend', 'ad_joins', 1), ('room', 'roi', 'gmv_ad', 'ad_spend', 1),
    ('room', 'roi_all', 'gmv_paid', 'ad_spend', 1), ('room', 'roi_net', 'net_ad', 'ad_spend', 1),
    ('product', 'click_rate', 'clickers', 'exposed', 1), ('product', 'create_rate', 'creators', 'clickers', 1),
    ('product', 'cart_rate', 'carters', 'clickers', 1), ('product', 'pay_rate', 'buyers', 'clickers', 1),
    ('visitors', 'pay_rate', 'buyers', 'clickers', 1), ('scene', 'pay_rate', 'buyers', 'clickers', 1),
    ('ads', 'cost_per_join', 'ad_spend', 'joins', 1), ('channel', 'cost_per_join', 'ad_spend', 'joins', 1),
    ('channel', 'roi', 'gmv_paid', 'ad_spend', 1)
) AS r (kind, name, above, below, factor);

-- Missing where either side is, or nothing is below; a zero below still shows both.
INSERT INTO numbers
SELECT
    w.show_no, w.t, p.kind, p.part, r.name, w.w, NULL,
    r.factor * a.value / nullif(b.value, 0),
    CASE WHEN b.value = 0 THEN 3 ELSE coalesce(greatest(a.rank, b.rank), 3) END,
    a.value, b.value
FROM windows AS w JOIN present AS p ON p.show_no = w.show_no AND p.t = w.t JOIN rates AS r ON r.kind = p.kind
LEFT JOIN (
    sides AS a JOIN sides AS b
        ON b.show_no = a.show_no AND b.t = a.t AND b.w = a.w AND b.kind = a.kind AND b.part = a.part
) ON a.show_no = w.show_no AND a.t = w.t AND a.w = w.w AND a.kind = p.kind AND a.part = p.part
    AND a.name = r.above AND b.name = r.below
WHERE NOT (r.name = 'gpm' AND w.w = '1m');

INSERT INTO numbers
SELECT
    w.show_no, w.t, 'room', '', r.name, w.w, NULL, 60 * a.value / w.seconds, coalesce(a.rank, 3), a.value,
    CASE WHEN a.rank IS NOT NULL THEN w.seconds END
FROM windows AS w JOIN (VALUES ('inflow_per_min', 'joins'), ('chats_per_min', 'chats')) AS r (name, of) ON true
LEFT JOIN sides AS a ON a.show_no = w.show_no AND a.t = w.t AND a.w = w.w AND a.kind = 'room' AND a.name = r.of;

INSERT INTO numbers
WITH pairs AS (
    SELECT p.show_no, p.order, max(p.s) AS s FROM (
        SELECT show_no, "order", type, min(s) AS s FROM happened
        WHERE type IN ('order.paid', 'order.refunded') AND "order" IS NOT NULL GROUP BY ALL
    ) AS p GROUP BY ALL HAVING count(*) = 2
)
SELECT
    w.show_no, w.t, 'room', '', 'refund_rate_show', NULL, NULL, count(q.s) / nullif(any_value(o.value), 0),
    CASE WHEN any_value(o.value) > 0 THEN any_value(o.rank) ELSE 3 END,
    CASE WHEN any_value(o.rank) IS NOT NULL THEN count(q.s) END, any_value(o.value)
FROM windows AS w
LEFT JOIN (
    sides AS o JOIN statuses AS r ON r.show_no = o.show_no AND r.t = o.t AND r.name = 'refunds'
) ON o.show_no = w.show_no AND o.t = w.t AND o.w = w.w AND o.kind = 'room' AND o.name = 'orders_paid'
LEFT JOIN pairs AS q ON q.show_no = w.show_no AND q.s < w.t
WHERE w.w = 'show'
GROUP BY w.show_no, w.t;
