//! Whether accepted traces can be read back by their ID, as they were sent.

use serde::Serialize;

use super::check::{Bound, Check, Reason, Source};
use super::{Capabilities, Facts, Family, Finding, Measure, Observations, PlannedCheck};
use crate::settings::TestType;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadBackFault {
    Missing,
    Partial,
    Altered,
}
use ReadBackFault::*;

pub(super) fn planned(test_type: TestType) -> Vec<PlannedCheck> {
    if test_type == TestType::Query {
        return Vec::new();
    }
    [
        ("traces missing", Missing),
        ("traces partial", Partial),
        ("traces altered", Altered),
    ]
    .map(|(name, fault)| {
        let measure = Measure::ReadBack(fault);
        PlannedCheck::new(name, Source::ReadBack, measure, Bound::NONE, "traces")
    })
    .into()
}

impl Family for ReadBackFault {
    fn expression(&self, _: &str, seen: &Observations) -> String {
        match &seen.read_back {
            Ok(found) => format!("by ID, of {} traces spread over the run", found.sampled),
            Err(_) => "by ID, traces spread over the run".into(),
        }
    }

    fn finding(&self, _: &str, facts: Facts<'_>) -> Result<Finding, Reason> {
        let found = facts.seen.read_back.clone()?;
        if found.sampled == 0 {
            return Err("no trace was accepted, so none could be read back".into());
        }
        let count = match self {
            Missing => found.missing,
            Partial => found.partial,
            Altered => found.altered,
        };
        Ok(Finding::Value(count as f64))
    }

    fn cause(&self, _: &Check, _: Facts<'_>) -> Option<String> {
        Some(
            "Tempo accepted these traces and answers otherwise now; the k6 read-back log names \
             each with what differs"
                .into(),
        )
    }

    fn bound_in(&self, planned: Bound, place: &Capabilities) -> Result<Bound, Reason> {
        place.read_back.clone()?;
        Ok(planned)
    }
}
