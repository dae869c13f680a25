//! The shared types and queries of the two systems, correct in every variant. Exercises build on them; nothing here
//! knows an exercise.

pub mod checkouts;
pub mod money;
pub mod orders;
pub mod pages;
pub mod payments;
pub mod products;
pub mod report;
pub mod restaurants;
pub mod sales;
pub mod users;
pub mod whole;
