//! The load, the audits, the verdicts and the reports of Stampede.
pub mod load;
pub mod report;
pub mod results;
