-- The numbers as written, one row each, and every row in which they and ours differ.

CREATE TEMP TABLE written AS
WITH line AS (
    SELECT room, at_ms, unnest([
        {'kind': 'room', 'parts': map {'': numbers}}, {'kind': 'product', 'parts': products},
        {'kind': 'split', 'parts': splits}
    ]) AS of FROM said
), part AS (
    SELECT room, at_ms, of.kind, unnest(map_entries(of.parts)) AS part FROM line
), cell AS (
    SELECT room, at_ms, kind, part.key AS part, unnest(map_entries(part.value)) AS cell FROM part
)
SELECT
    room, at_ms, kind, part, cell.key AS key,
    cell.value.value AS value, cell.value.status AS status, cell.value.num AS num, cell.value.den AS den
FROM cell;

CREATE TEMP TABLE ours AS
SELECT
    p.room, n.t * 1000 AS at_ms, CASE WHEN n.kind IN ('room', 'product') THEN n.kind ELSE 'split' END AS kind,
    n.part, n.name || coalesce('_' || n.w, '') AS key,
    CASE WHEN n.rank < 3 THEN n.whole END AS whole, CASE WHEN n.rank < 3 THEN n.ratio END AS ratio,
    ['ok', 'estimated', 'stale', 'missing'][n.rank + 1] AS status, n.num, n.den
FROM numbers AS n JOIN points AS p ON p.show_no = n.show_no AND p.t = n.t
WHERE p.lined AND (n.kind = 'room' OR n.rank < 3);

CREATE TEMP TABLE differences AS
SELECT
    room, at_ms, kind, part, key, w.key IS NOT NULL AS is_written, o.key IS NOT NULL AS is_ours,
    w.value AS their_value, coalesce(o.whole::VARCHAR, o.ratio::VARCHAR) AS our_value,
    w.status AS their_status, o.status AS our_status, w.num AS their_num, o.num AS our_num,
    w.den AS their_den, o.den AS our_den
FROM written AS w FULL JOIN ours AS o USING (room, at_ms, kind, part, key)
WHERE w.key IS NULL OR o.key IS NULL
    OR w.status <> o.status OR w.num IS DISTINCT FROM o.num OR w.den IS DISTINCT FROM o.den
    OR CASE
        WHEN o.whole IS NOT NULL THEN w.value IS DISTINCT FROM o.whole::VARCHAR
        WHEN o.ratio IS NOT NULL THEN
            w.value IS NULL OR abs(w.value::DOUBLE - o.ratio) > 1e-9 * greatest(1, abs(o.ratio))
        ELSE w.value IS NOT NULL
    END;
