//! What can be said of the generated files without a load: their form, their names, their rules.

mod files;
mod grafana;
mod promql;
mod rules;
mod schema;
mod stack;
mod support;
