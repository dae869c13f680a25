/// A payment waits for the fraud check with its connection in hand, so there are enough for everybody who waits.
pub const CONNECTIONS: u32 = 80;

pub use super::buggy::process;
