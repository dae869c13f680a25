//! A PostgreSQL server to work on.
