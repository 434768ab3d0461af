//! What the store keeps of a trace.

use std::sync::Arc;

use super::facts::Facts;

pub type TraceId = [u8; 16];

/// What the allocator and the tables need for a trace and for a fragment
/// beyond the bytes, so that the memory limit holds for small traces too.
const TRACE_OVERHEAD: usize = 320;
const FRAGMENT_OVERHEAD: usize = 200;

/// The root span's service and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    pub service: Box<str>,
    pub name: Box<str>,
}

/// What one push said about one trace.
#[derive(Debug)]
pub struct Fragment {
    /// `ResourceSpans` as field 1, one after the other: fragments put together
    /// are an OTLP `TracesData`.
    pub bytes: Box<[u8]>,
    pub facts: Facts,
    pub spans: u32,
    /// Of the earliest span, in nanoseconds since 1970.
    pub start: u64,
    /// Of the latest span, in nanoseconds since 1970.
    pub end: u64,
    /// The longest span, in nanoseconds.
    pub longest: u64,
    /// Hash of all attribute keys in their order: fragments with the same hash
    /// have the same tags.
    pub keys: u64,
    pub root: Option<Root>,
}

impl Fragment {
    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.facts.size() + FRAGMENT_OVERHEAD
    }
}

/// A trace as it is now. A search holds on to it while pushes go on: they
/// replace it rather than change it.
#[derive(Debug, Clone)]
pub struct StoredTrace {
    pub id: TraceId,
    /// Counts up over the traces of a store.
    pub sequence: u64,
    pub start: u64,
    pub end: u64,
    pub spans: u32,
    pub root: Option<Root>,
    pub fragments: Vec<Arc<Fragment>>,
}

impl StoredTrace {
    pub fn new(id: TraceId, sequence: u64, fragment: Fragment) -> Self {
        let mut trace = Self {
            id,
            sequence,
            start: u64::MAX,
            end: 0,
            spans: 0,
            root: None,
            fragments: Vec::with_capacity(1),
        };
        trace.add(fragment);
        trace
    }

    pub fn add(&mut self, fragment: Fragment) {
        self.start = self.start.min(fragment.start);
        self.end = self.end.max(fragment.end);
        self.spans += fragment.spans;
        if self.root.is_none() {
            self.root.clone_from(&fragment.root);
        }
        self.fragments.push(Arc::new(fragment));
    }

    /// From the start of the first span to the end of the last, in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        TRACE_OVERHEAD
            + self
                .fragments
                .iter()
                .map(|fragment| fragment.size())
                .sum::<usize>()
    }

    /// Bytes of the filters that a search looks at first.
    pub fn facts_size(&self) -> usize {
        self.fragments
            .iter()
            .map(|fragment| fragment.facts.size())
            .sum()
    }

    /// Bytes of spans.
    pub fn encoded_size(&self) -> usize {
        self.fragments
            .iter()
            .map(|fragment| fragment.bytes.len())
            .sum()
    }
}
