//! The bounds of a profile's values and the words that explain them. Settings
//! that replace a value of the profile keep to the same bounds.
//!
//! The upper bounds catch slips of the keyboard and units mixed up; they are
//! far above what one machine running k6 can send.

/// Length of a profile's name: a namespace and Job names are made from it, and
/// Kubernetes allows 63.
pub const NAME_LENGTH: usize = 40;
pub const REPLICATION_FACTOR: u32 = 10;
pub const TRACES_PER_USER: u64 = 1_000_000_000;
pub const CONCURRENT_FLUSHES: u32 = 1000;
pub const VUS: u32 = 100_000;
pub const TRACES_PER_REQUEST: u32 = 1000;
pub const QUERIES: usize = 100;
pub const WEIGHT: u32 = 10_000;
pub const MB_PER_SECOND_MAX: f64 = 10_000.0;
pub const QUERIES_PER_SECOND_MAX: f64 = 100_000.0;
/// In seconds: a week.
pub const DURATION_MAX_SECONDS: u64 = 7 * 24 * 3600;

pub const LABEL_PATTERN: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
pub const DURATION_PATTERN: &str = r"^(([0-9]+\.?[0-9]*|\.[0-9]+)(h|m|s|ms|us|µs|μs|ns))+$";
pub const QUANTITY_PATTERN: &str =
    r"^\+?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$";

pub const LABEL: &str =
    "expected small letters, digits and inner hyphens, at most 40 characters, for example 1x-small";
pub const POSITIVE_DURATION: &str =
    "expected a duration above 0 and at most 168h, for example 30s, 5m or 1h30m";
pub const DURATION: &str = "expected a duration of at most 168h, for example 0s, 30s or 5m";
pub const MB_PER_SECOND: &str =
    "expected a number of MB/s above 0 and at most 10,000, for example 1.5";
pub const QUERIES_PER_SECOND: &str =
    "expected a number of queries/s above 0 and at most 100,000, for example 25 or 0.5";
pub const BYTES: &str = "expected a Kubernetes quantity of 1Mi to 1Pi, for example 512Mi or 8Gi";
pub const CPU: &str =
    "expected CPU cores as a Kubernetes quantity, from 1m to 1000, for example 1000m or 0.5";
pub const BUCKET: &str = "expected the name of an S3 bucket: 3 to 63 small letters, \
    digits, dots and hyphens, for example tempo-traces";
pub const REGION: &str = "expected a region, for example us-east-2";
pub const URL: &str = "expected an http:// or https:// URL, for example https://s3.example.com";
pub const SECRET_NAME: &str = "expected the name of a Kubernetes Secret: small letters, digits, \
    dots and hyphens, for example tempo-s3";
