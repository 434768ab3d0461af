//! Whether all that was accepted arrived at Tempo, by its own counters.

use serde::Serialize;

use super::check::{Bound, Check, Reason, Source};
use super::{Capabilities, Facts, Family, Finding, Measure, Observations, PlannedCheck};
use crate::profile::{CollectorMode, Profile};
use crate::settings::TestType;

/// Of what was pushed and what Tempo counted: more at Tempo is as wrong as less.
const NEITHER_LOST_NOR_GAINED: Bound = Bound::between(0.0, 0.0);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryMeasure {
    SpansAtTempo,
    BytesAtTempo,
    OtherDiscardedSpans,
}
use DeliveryMeasure::*;

pub(super) fn planned(profile: &Profile, test_type: TestType) -> Vec<PlannedCheck> {
    if test_type == TestType::Query {
        return Vec::new();
    }
    let check = |measure: DeliveryMeasure, name, unit, bound| {
        PlannedCheck::new(name, Source::Load, Measure::Delivery(measure), bound, unit)
    };
    let queued = profile.k6.ingestion.collector == CollectorMode::Queued;
    let twice = queued.then(|| "a queued collector may send a request again".into());
    vec![
        check(
            SpansAtTempo,
            "spans lost before Tempo",
            "spans",
            NEITHER_LOST_NOR_GAINED,
        ),
        PlannedCheck {
            not_applicable: twice,
            ..check(
                BytesAtTempo,
                "bytes lost before Tempo",
                "B",
                NEITHER_LOST_NOR_GAINED,
            )
        },
        check(
            OtherDiscardedSpans,
            "spans discarded in Tempo",
            "spans",
            Bound::NONE,
        ),
    ]
}

impl Family for DeliveryMeasure {
    fn expression(&self, _: &str, _: &Observations) -> String {
        match self {
            SpansAtTempo => {
                "spans accepted or rate-limited - Δtempo_distributor_spans_received_total \
                 - Δtempo_discarded_spans_total{reason=\"rate_limited\"}"
            }
            BytesAtTempo => {
                "body bytes of accepted requests - Δtempo_distributor_bytes_received_total"
            }
            OtherDiscardedSpans => "Δtempo_discarded_spans_total{reason!=\"rate_limited\"}",
        }
        .into()
    }

    fn finding(&self, _: &str, facts: Facts<'_>) -> Result<Finding, Reason> {
        let seen = facts.seen;
        if let Some(restarted) = &seen.tempo_restarted {
            return Ok(Finding::Violated(restarted.clone()));
        }
        let counted = seen.tempo.clone()?;
        Ok(Finding::Value(match self {
            SpansAtTempo => {
                let pushed = seen.pushed.clone()?;
                lost(
                    pushed.spans_acknowledged + pushed.spans_rate_limited,
                    counted.spans_received + counted.spans_rate_limited,
                    pushed.spans_uncertain,
                )
            }
            BytesAtTempo => {
                let pushed = seen.pushed.clone()?;
                lost(
                    pushed.bytes_acknowledged,
                    counted.bytes_received,
                    pushed.bytes_uncertain,
                )
            }
            OtherDiscardedSpans => counted.spans_discarded_otherwise,
        }))
    }

    fn cause(&self, check: &Check, _: Facts<'_>) -> Option<String> {
        let cause = match self {
            SpansAtTempo if check.observed.is_some_and(|lost| lost > 0.0) => {
                "requests were answered, but Tempo did not count their spans: something between \
                 k6 and Tempo drops or merges them; look at the collector's log"
            }
            SpansAtTempo => {
                "Tempo counted more spans than this run pushed: someone else pushes to it, or a \
                 retry sent requests twice"
            }
            BytesAtTempo => {
                "requests reached Tempo changed: a processor or a proxy on the way rewrites them"
            }
            OtherDiscardedSpans => {
                "Tempo accepted spans and dropped them: its limits on live traces or trace size \
                 (tempo.overrides.maxTracesPerUser); the metrics CSV has the reasons"
            }
        };
        Some(cause.into())
    }

    fn cause_of_no_value(&self, _: &Reason, seen: &Observations) -> Option<String> {
        let silent = seen.tempo.is_err();
        silent.then(|| "Tempo stopped answering".into())
    }

    fn bound_in(&self, planned: Bound, place: &Capabilities) -> Result<Bound, Reason> {
        place.tempo_metrics.as_ref().map_err(Clone::clone)?;
        Ok(planned)
    }
}

/// What Tempo counted too little; negative when it counted too much. What is
/// uncertain it may have counted or not.
fn lost(expected: f64, counted: f64, uncertain: f64) -> f64 {
    let lost = expected - counted;
    if lost < 0.0 && -lost <= uncertain {
        0.0
    } else {
        lost
    }
}
