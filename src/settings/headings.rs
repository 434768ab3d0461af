//! The headings of `--help`, in its order.

pub const CASES: &str = "Cases";
pub const LOAD: &str = "Load (in place of the profile's values)";
pub const PLACE: &str = "Where the load goes";
pub const RESULTS: &str = "Results";
pub const LIMITS: &str = "Limits";
pub const KUBERNETES: &str = "Kubernetes";
pub const TOOLS: &str = "Tools";
/// For the options of libtest.
pub const EVERY_TEST: &str = "Options of every Rust test";
