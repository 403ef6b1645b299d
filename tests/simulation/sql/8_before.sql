-- The 10 minutes before: the 10-minute numbers of 600 s ago as they stood then.

INSERT INTO numbers
SELECT
    p.show_no, p.t, 'room', '', n.name, 'prev10m', b.whole, b.ratio, coalesce(b.rank, 3), b.num, b.den
FROM points AS p CROSS JOIN (SELECT DISTINCT name FROM numbers WHERE w = '10m' AND kind = 'room') AS n
LEFT JOIN (FROM numbers WHERE w = '10m' AND kind = 'room') AS b
    ON b.show_no = p.show_no AND b.t = p.t - 600 AND b.name = n.name
WHERE p.lined;
