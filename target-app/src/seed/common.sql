-- What the files of the subjects have in common. The database itself makes the rows, so that a million orders take seconds, not
-- round trips. Every value comes from md5 of the seed (the setting stampede.seed) and a row number: the same on every server
-- and version.

-- A whole number in 0..n, drawn from its own stream.
CREATE FUNCTION pg_temp.pick(stream text, i bigint, n integer) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT (('x' || left(md5(current_setting('stampede.seed') || stream || i), 8))::bit(32)::bigint % n)::integer
$$;

-- A version 7 UUID: it sorts by its time, as the ids made at run time do.
CREATE FUNCTION pg_temp.uuid_at(stream text, i bigint, at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid
    FROM md5(current_setting('stampede.seed') || stream || i) AS hash
$$;

CREATE FUNCTION pg_temp.day_zero() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT timestamptz '2026-01-01 08:00:00+00'
$$;

-- Every row below is made from the rows it refers to, so checking each reference again only costs time: minutes, for a
-- million orders. Where the role may not switch the checks off, they stay on.
DO $$
BEGIN
    SET LOCAL session_replication_role = replica;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
