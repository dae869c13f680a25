-- What postgres_exporter needs: the statistics of statements, and a role that may read statistics and nothing else.
CREATE EXTENSION pg_stat_statements;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
