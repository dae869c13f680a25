//! The reference backend of Stampede.
pub mod postgres;
