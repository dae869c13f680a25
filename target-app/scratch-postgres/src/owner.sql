-- Gives all that was made in this database to pg_database_owner, a role whose one member is whoever owns the database that
-- one is in. So the owner of a clone owns what is in it, and nothing has to be changed in any clone.
DO $$
DECLARE
    change text;
BEGIN
    FOR change IN
        WITH ours AS (
            SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        ), others AS (
            -- What belongs to a table, or to an extension, follows it.
            SELECT classid, objid FROM pg_depend WHERE deptype IN ('a', 'i', 'e')
        )
        SELECT format('SCHEMA %I', nspname) FROM ours
        UNION ALL
        SELECT format('TABLE %I.%I', nspname, relname)
        FROM pg_class JOIN ours ON ours.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
          AND (relkind <> 'S' OR ('pg_class'::regclass, pg_class.oid) NOT IN (SELECT classid, objid FROM others))
        UNION ALL
        SELECT format('ROUTINE %s', pg_proc.oid::regprocedure)
        FROM pg_proc JOIN ours ON ours.oid = pronamespace
        WHERE ('pg_proc'::regclass, pg_proc.oid) NOT IN (SELECT classid, objid FROM others)
        UNION ALL
        SELECT format('TYPE %I.%I', nspname, typname)
        FROM pg_type JOIN ours ON ours.oid = typnamespace
        WHERE ('pg_type'::regclass, pg_type.oid) NOT IN (SELECT classid, objid FROM others)
    LOOP
        EXECUTE 'ALTER ' || change || ' OWNER TO pg_database_owner';
    END LOOP;
END
$$
