//! The k6 runs of a case, and what follows from which one it is.

use std::fmt;

use serde::Serialize;

/// A run of k6. A case has some of these, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// Pushes what a query test shall find; not judged for its speed.
    Seeding,
    Ingestion,
    Query,
    /// Asks for a sample of what was accepted, after the load.
    ReadBack,
}

impl Run {
    /// As in names of files, Jobs and labels.
    pub fn name(self) -> &'static str {
        match self {
            Run::Seeding => "seeding",
            Run::Ingestion => "ingestion",
            Run::Query => "query",
            Run::ReadBack => "readback",
        }
    }

    /// The script below `k6/`.
    pub fn script(self) -> &'static str {
        match self {
            Run::Seeding | Run::Ingestion => "ingestion-test.js",
            Run::Query => "query-test.js",
            Run::ReadBack => "readback-test.js",
        }
    }

    /// The run whose log and summary file this one writes to.
    pub fn files(self) -> Run {
        match self {
            Run::Seeding | Run::Ingestion => Run::Ingestion,
            Run::Query | Run::ReadBack => self,
        }
    }

    /// Whether it is the load that the case is about: judged, its samples in
    /// Prometheus.
    pub fn is_the_load(self) -> bool {
        matches!(self, Run::Ingestion | Run::Query)
    }

    /// Whether it asks Tempo, and does not push.
    pub fn asks(self) -> bool {
        matches!(self, Run::Query | Run::ReadBack)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
