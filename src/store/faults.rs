//! Faults on purpose: what tests of the harness need to see that a lost or
//! altered span is noticed. Not for anything else; the flag is hidden.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use super::batch::Batch;
use super::fragment::{Fragment, TraceId};

/// The attribute that [`Fault::AlterAttribute`] changes.
pub const TOKEN: &str = "tempo_perf.token";

/// What goes wrong although the push is answered and counted as stored. `n`
/// means every nth trace of a push, counted over all pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Loses one span, the last one.
    DropSpan(u64),
    /// Loses the trace.
    DropTrace(u64),
    /// Changes the root span's token, see [`TOKEN`].
    AlterAttribute(u64),
    /// Loses everything once this many bytes have been stored.
    LoseSilentlyAfter(u64),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no fault; expected drop-span:N, drop-trace:N, alter-attribute:N \
                 or lose-silently-after:BYTES"
            )
        };
        let (name, number) = text.split_once(':').ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if number == 0 {
            return Err(wrong());
        }
        match name {
            "drop-span" => Ok(Self::DropSpan(number)),
            "drop-trace" => Ok(Self::DropTrace(number)),
            "alter-attribute" => Ok(Self::AlterAttribute(number)),
            "lose-silently-after" => Ok(Self::LoseSilentlyAfter(number)),
            _ => Err(wrong()),
        }
    }
}

pub struct Faults {
    faults: Vec<Fault>,
    traces: AtomicU64,
    bytes: AtomicU64,
}

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self {
            faults,
            traces: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The trace as it is to be stored; `None` if it is lost.
    pub fn apply(&self, id: &TraceId, fragment: Fragment) -> Option<Fragment> {
        if self.faults.is_empty() {
            return Some(fragment);
        }
        let number = self.traces.fetch_add(1, Ordering::Relaxed) + 1;
        let size = fragment.bytes.len() as u64;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        let mut kept = Some(fragment);
        for fault in &self.faults {
            kept = match fault {
                Fault::DropTrace(n) if number.is_multiple_of(*n) => None,
                Fault::LoseSilentlyAfter(limit) if bytes > *limit => None,
                Fault::DropSpan(n) if number.is_multiple_of(*n) => {
                    kept.and_then(|fragment| changed(id, &fragment, drop_span))
                }
                Fault::AlterAttribute(n) if number.is_multiple_of(*n) => {
                    kept.and_then(|fragment| changed(id, &fragment, alter_token))
                }
                _ => kept,
            };
        }
        kept
    }
}

/// The fragment with its spans changed; `None` if none are left.
fn changed(id: &TraceId, fragment: &Fragment, change: fn(&mut TracesData)) -> Option<Fragment> {
    // Stored bytes were read before: they decode, and so does what they become.
    let mut data = TracesData::decode(&fragment.bytes[..]).ok()?;
    change(&mut data);
    let bytes = data.encode_to_vec();
    let fragments = Batch::read(&bytes).ok()?.into_fragments().ok()?;
    fragments
        .into_iter()
        .find_map(|(found, fragment)| (found == *id).then_some(fragment))
}

fn drop_span(data: &mut TracesData) {
    let last = data
        .resource_spans
        .iter_mut()
        .flat_map(|resource| &mut resource.scope_spans)
        .rfind(|scope| !scope.spans.is_empty());
    if let Some(scope) = last {
        scope.spans.pop();
    }
}

fn alter_token(data: &mut TracesData) {
    let values = data
        .resource_spans
        .iter_mut()
        .flat_map(|resource| &mut resource.scope_spans)
        .flat_map(|scope| &mut scope.spans)
        .filter(|span| span.parent_span_id.iter().all(|byte| *byte == 0))
        .flat_map(|span| &mut span.attributes)
        .filter(|attribute| attribute.key == TOKEN)
        .filter_map(|attribute| attribute.value.as_mut());
    for value in values {
        if let Some(any_value::Value::StringValue(text)) = &mut value.value {
            // Of the same length, so that only the value tells.
            *text = text
                .chars()
                .map(|c| if c == 'x' { 'y' } else { 'x' })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("drop-span:10", Fault::DropSpan(10))]
    #[case("drop-trace:1", Fault::DropTrace(1))]
    #[case("alter-attribute:3", Fault::AlterAttribute(3))]
    #[case("lose-silently-after:1000", Fault::LoseSilentlyAfter(1000))]
    fn a_fault_is_a_name_and_a_number(#[case] text: &str, #[case] fault: Fault) {
        assert_eq!(text.parse(), Ok(fault));
    }

    #[rstest]
    #[case::no_number("drop-span")]
    #[case::zero("drop-span:0")]
    #[case::unknown("drop-all:3")]
    #[case::negative("drop-span:-3")]
    fn what_is_no_fault_is_refused(#[case] text: &str) {
        let error = text.parse::<Fault>().unwrap_err();
        assert!(error.contains(text), "{error}");
    }
}
