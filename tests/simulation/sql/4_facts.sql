-- What counts for what: one row an event and sum (`amount`) or distinct count (`key`), of the room, of each product and
-- of each part. A line without an order id is an order of its own.

CREATE TEMP TABLE gifts AS
WITH ordered AS (
    SELECT
        show_no, s, coalesce("count", 1) AS "count", coalesce(value, 0) AS value, combo,
        row_number() OVER before AS nth,
        coalesce(max(coalesce("count", 1)) OVER (before ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached
    FROM happened WHERE type = 'gift'
    WINDOW before AS (PARTITION BY show_no, source, user, combo ORDER BY ts, n)
)
SELECT
    show_no, s,
    CASE WHEN combo IS NULL OR nth = 1 THEN 1 ELSE 0 END AS gifts,
    CASE WHEN combo IS NULL THEN "count" ELSE greatest(0, "count" - reached) END * value AS gift_value
FROM ordered;

-- Readings of the platform's count of visits and of the online count; "6.8万" is 68,000 and inexact. Once the preferred
-- feed has stated one, that of others is not read, and visits begin anew.
CREATE TEMP TABLE readings AS
WITH stated AS (
    SELECT
        show_no, s, ts, n, source,
        unnest([{'of': 'online', 'text': online}, {'of': 'total', 'text': total}]) AS shown
    FROM happened WHERE type = 'viewer.count'
), parts AS (
    SELECT
        show_no, s, ts, n, source, shown.of,
        regexp_extract(
            shown.text, '^\s*([\d,]+)(?:\.(\d+))?\s*([万wWkKmM亿]?)\+?\s*$', ['whole', 'fraction', 'scale']
        ) AS p
    FROM stated WHERE shown.text IS NOT NULL
), counts AS (
    SELECT
        show_no, s, ts, n, source, of,
        (replace(p.whole, ',', '') || '.' || p.fraction || '0')::DECIMAL(38, 10)
            * CASE lower(p.scale)
                WHEN '' THEN 1 WHEN 'k' THEN 1000 WHEN 'm' THEN 1000000 WHEN '亿' THEN 100000000 ELSE 10000
            END AS people,
        p.scale = '' AND p.fraction = '' AS exact,
        coalesce(source = getvariable('online_source'), false) AS preferred
    FROM parts WHERE p.whole <> ''
)
SELECT * FROM counts
QUALIFY preferred OR NOT bool_or(preferred) OVER (PARTITION BY show_no, of ORDER BY ts, n);

CREATE TEMP TABLE visits AS
WITH heights AS (
    SELECT show_no, s, ts, n, preferred,
        floor(max(people) OVER (PARTITION BY show_no, preferred ORDER BY ts, n))::BIGINT AS total
    FROM readings WHERE of = 'total'
)
SELECT show_no, s, ts, n, total,
    total - lag(total, 1, total) OVER (PARTITION BY show_no, preferred ORDER BY ts, n) AS rise
FROM heights;

CREATE TEMP TABLE facts AS
WITH sums (name, type, per) AS (VALUES
    ('joins', 'viewer.join', 'event'), ('leaves', 'viewer.leave', 'event'), ('chats', 'chat', 'event'),
    ('likes', 'like', 'count'), ('follows', 'follow', 'event'), ('shares', 'share', 'event'),
    ('fanclub_joins', 'fanclub.join', 'event'), ('exposures', 'room.exposure', 'count'),
    ('exposes', 'product.expose', 'event'), ('clicks', 'product.click', 'event'), ('carts', 'cart.add', 'event'),
    ('units_created', 'order.created', 'qty'), ('units_paid', 'order.paid', 'qty'),
    ('gmv_created', 'order.created', 'amount'), ('gmv_paid', 'order.paid', 'amount'),
    ('refunded', 'order.refunded', 'amount'), ('private_joins', 'private.join', 'event'),
    ('ad_spend', 'ad.spend', 'amount')
), users (name, type) AS (VALUES
    ('chatters', 'chat'), ('followers', 'follow'), ('fans', 'fanclub.join'), ('exposed', 'product.expose'),
    ('clickers', 'product.click'), ('carters', 'cart.add'), ('creators', 'order.created'), ('buyers', 'order.paid'),
    ('interactors', 'chat'), ('interactors', 'like'), ('interactors', 'share'), ('interactors', 'follow')
), orders (name, type) AS (VALUES
    ('orders_created', 'order.created'), ('orders_paid', 'order.paid'), ('refunds', 'order.refunded')
), counted AS (
    SELECT
        h.*, x.name, NULL AS key,
        CASE x.per
            WHEN 'event' THEN 1 WHEN 'count' THEN coalesce(h."count", 1) WHEN 'qty' THEN coalesce(h.qty, 1)
            ELSE h.amount
        END AS of
    FROM happened AS h JOIN sums AS x ON x.type = h.type
    UNION ALL
    SELECT h.*, x.name, h.user, NULL FROM happened AS h JOIN users AS x ON x.type = h.type WHERE h.user IS NOT NULL
    UNION ALL
    SELECT h.*, x.name, CASE WHEN h.order IS NULL THEN 'line ' || h.n ELSE 'order ' || h.order END, NULL
    FROM happened AS h JOIN orders AS x ON x.type = h.type
)
SELECT show_no, s, 'room' AS kind, '' AS part, name, key, of AS amount FROM counted
UNION ALL
SELECT show_no, s, 'product', product, name, key, of FROM counted WHERE product IS NOT NULL
UNION ALL
SELECT show_no, s, 'room', '', 'viewers', user, NULL FROM happened WHERE user IS NOT NULL
UNION ALL
SELECT show_no, s, 'room', '', 'gifts', NULL, gifts FROM gifts
UNION ALL
SELECT show_no, s, 'room', '', 'gift_value', NULL, gift_value FROM gifts
UNION ALL
SELECT show_no, s, 'room', '', 'view_rise', NULL, rise FROM visits
UNION ALL
SELECT show_no, s, 'room', '', 'ad_joins', NULL, 1 FROM happened WHERE type = 'viewer.join' AND "from" = 'ads'
UNION ALL
SELECT show_no, s, 'room', '', 'gmv_named', NULL, amount FROM happened WHERE type = 'order.paid' AND user IS NOT NULL
UNION ALL
SELECT show_no, s, 'room', '', 'gmv_ad', NULL, amount FROM happened WHERE type = 'order.paid' AND channel IS NOT NULL
UNION ALL
SELECT show_no, s, 'room', '', 'net_ad', NULL, CASE type WHEN 'order.paid' THEN amount ELSE -amount END
FROM happened WHERE type IN ('order.paid', 'order.refunded') AND channel IS NOT NULL
UNION ALL
SELECT show_no, s, 'room', '', 'returning', user, NULL
FROM happened WHERE type = 'order.paid' AND "returning" AND user IS NOT NULL;

-- Parts of the room. A join names its parts; a user belongs, for each kind of part, to what their newest join named, as
-- it is at the end of a second.
CREATE TEMP TABLE named AS
WITH stated AS (
    SELECT show_no, user, s, ts, n, unnest(list_concat(
        [
            {'kind': 'from', 'value': "from"}, {'kind': 'ref', 'value': ref},
            {'kind': 'region', 'value': nullif(segment.region, '')}, {'kind': 'age', 'value': nullif(segment.age, '')},
            {'kind': 'spend', 'value': nullif(segment.spend, '')}
        ],
        [{'kind': 'interest', 'value': x} FOR x IN list_distinct(coalesce(segment.interests, []))]
    )) AS of
    FROM happened WHERE type = 'viewer.join'
)
SELECT show_no, user, s, ts, n, of.kind, of.kind || '=' || of.value AS part FROM stated WHERE of.value IS NOT NULL;

CREATE TEMP TABLE belongs AS
WITH newest AS (
    SELECT show_no, user, kind, n, s + 1 AS from_t, lead(s + 1, 1, 1000000000000) OVER joins AS to_t
    FROM (SELECT DISTINCT show_no, user, kind, ts, n, s FROM named WHERE user IS NOT NULL)
    WINDOW joins AS (PARTITION BY show_no, user, kind ORDER BY ts, n)
)
SELECT x.*, m.part FROM newest AS x JOIN named AS m ON m.show_no = x.show_no AND m.n = x.n AND m.kind = x.kind;

-- A scene is on from the second in which it starts.
CREATE TEMP TABLE scenes AS
SELECT show_no, s, 'scene=' || arg_max(scene, (ts, n)) AS part FROM happened WHERE type = 'scene.start' GROUP BY ALL;

CREATE TEMP TABLE spent AS
WITH stated AS (
    SELECT show_no, s, ts, n, plan, amount, unnest([
        {'kind': 'channel', 'value': channel}, {'kind': 'plan', 'value': plan},
        {'kind': 'audience', 'value': audience}, {'kind': 'creative', 'value': creative}
    ]) AS of
    FROM happened WHERE type = 'ad.spend'
)
SELECT show_no, s, ts, n, plan, amount, CASE of.kind WHEN 'channel' THEN 'channel' ELSE 'ads' END AS kind,
    of.kind || '=' || of.value AS part
FROM stated WHERE of.value <> '';

INSERT INTO facts
SELECT show_no, s, 'visitors', part, 'joins', NULL, 1 FROM named
UNION ALL
SELECT show_no, s, kind, part, 'ad_spend', NULL, amount FROM spent
UNION ALL
SELECT show_no, s, 'channel', 'channel=' || channel, 'gmv_paid', NULL, amount
FROM happened WHERE type = 'order.paid' AND channel IS NOT NULL
UNION ALL
SELECT h.show_no, h.s, 'visitors', b.part, 'gmv_paid', NULL, h.amount
FROM happened AS h JOIN belongs AS b
    ON b.show_no = h.show_no AND b.user = h.user AND b.from_t <= h.s + 1 AND h.s + 1 < b.to_t
WHERE h.type = 'order.paid';

-- A join from ads whose ref is a plan counts for all that the plan's newest spend named, that of its second included.
INSERT INTO facts
WITH ads AS (
    SELECT show_no, s, n, ref FROM happened WHERE type = 'viewer.join' AND "from" = 'ads' AND ref IS NOT NULL
), latest AS (
    SELECT a.show_no, a.s, a.n, max_by(x.n, (x.ts, x.n)) AS spend
    FROM ads AS a JOIN spent AS x ON x.show_no = a.show_no AND x.plan = a.ref AND x.s <= a.s
    GROUP BY ALL
)
SELECT show_no, s, 'ads', 'plan=' || ref, 'joins', NULL, 1 FROM ads
UNION ALL
SELECT l.show_no, l.s, x.kind, x.part, 'joins', NULL, 1
FROM latest AS l JOIN spent AS x ON x.show_no = l.show_no AND x.n = l.spend WHERE x.part <> 'plan=' || x.plan;

-- Whoever is seen while a scene is on is one of its people.
INSERT INTO facts
WITH during AS (
    SELECT h.*, x.part FROM happened AS h ASOF JOIN scenes AS x ON x.show_no = h.show_no AND x.s <= h.s
)
SELECT show_no, s, 'scene', part, 'joins', NULL, 1 FROM during WHERE type = 'viewer.join'
UNION ALL
SELECT show_no, s, 'scene', part, 'gmv_paid', NULL, amount FROM during WHERE type = 'order.paid'
UNION ALL
SELECT show_no, s, 'scene', part, 'viewers', user, NULL FROM during WHERE user IS NOT NULL
UNION ALL
SELECT show_no, s, 'scene', part, 'clickers', user, NULL FROM during WHERE type = 'product.click' AND user IS NOT NULL
UNION ALL
SELECT show_no, s, 'scene', part, 'buyers', user, NULL FROM during WHERE type = 'order.paid' AND user IS NOT NULL;

-- What is shown: the room; products with anything about them in the last 10 minutes and the pinned one, on a last line
-- between the others every product; parts heard of. Stock is a fact of the back office: another show begins with it.
CREATE TEMP TABLE touched AS
WITH stocked AS (SELECT room, product, min(ts) AS since_ms FROM events WHERE type = 'stock.level' GROUP BY ALL)
SELECT show_no, product, s FROM happened WHERE product IS NOT NULL AND type IN (
    'product.expose', 'product.click', 'cart.add', 'order.created', 'order.paid', 'order.refunded', 'stock.level'
)
UNION
SELECT w.show_no, x.product, w.start_s FROM shows AS w JOIN stocked AS x ON x.room = w.room AND x.since_ms < w.start_ms;

-- The newest pin holds until the same product is unpinned; to pin it again is the same pitch.
CREATE TEMP TABLE pitches AS
WITH turns AS (
    SELECT show_no, ts, n, s, product, type = 'product.pin' AS pins,
        last_value(CASE WHEN type = 'product.pin' THEN product END IGNORE NULLS) OVER (
            PARTITION BY show_no ORDER BY ts, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS pinned
    FROM happened WHERE type IN ('product.pin', 'product.unpin')
), effective AS (
    SELECT *, lag(pins) OVER (PARTITION BY show_no ORDER BY ts, n) AS before
    FROM turns WHERE pins OR product = pinned
), changes AS (
    FROM effective WHERE NOT pins OR before IS NOT true OR product IS DISTINCT FROM pinned
)
SELECT show_no, product, ts AS since_ms, s + 1 AS from_t, pins,
    lead(s + 1, 1, 1000000000000) OVER (PARTITION BY show_no ORDER BY ts, n) AS to_t
FROM changes QUALIFY pins;

CREATE TEMP TABLE present AS
SELECT show_no, t, 'room' AS kind, '' AS part FROM points
UNION
SELECT p.show_no, p.t, 'product', x.product
FROM points AS p JOIN touched AS x ON x.show_no = p.show_no AND x.s < p.t
-- The last line of a room holds every product.
WHERE p.lined AND (x.s >= p.t - 600 OR p.t = (SELECT max(l.t) FROM lines AS l WHERE l.room = p.room) OR EXISTS (
    FROM pitches AS h
    WHERE h.show_no = p.show_no AND h.product = x.product AND h.from_t <= p.t AND p.t < h.to_t
))
UNION
SELECT p.show_no, p.t, f.kind, f.part
FROM points AS p JOIN (
    SELECT show_no, kind, part, min(s) AS since_s FROM facts WHERE kind NOT IN ('room', 'product') GROUP BY ALL
) AS f ON f.show_no = p.show_no AND f.since_s < p.t
WHERE p.lined;
