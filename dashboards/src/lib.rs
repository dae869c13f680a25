//! The dashboard room of the exercises: Grafana dashboards and Prometheus rules, made from the catalogue.
//!
//! It is empty as yet. What the catalogue declares of an exercise's signals is what will be drawn; a dashboard is
//! `grafana/<exercise>.json` in this crate. As soon as one exercise has one, a test asks for all.
