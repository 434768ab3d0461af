//! The traces in memory: by ID, in the order of arrival, within a limit.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fragment::{Fragment, StoredTrace, TraceId};

/// A push locks one shard for each of its traces, and a search one at a time.
const SHARDS: usize = 16;

/// Trace IDs are random already: mixing them again would only cost time.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // Of IDs that merely count up, the low bits must still spread.
            self.0 = (self.0 ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
    }
}

#[derive(Default)]
struct Shard {
    traces: HashMap<TraceId, Arc<StoredTrace>, BuildHasherDefault<IdHasher>>,
    /// By arrival, the oldest in front.
    order: VecDeque<(u64, TraceId)>,
}

/// What had to leave for new traces.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Evicted {
    pub traces: u64,
    pub spans: u64,
}

pub struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// Sequence of each shard's oldest trace, `u64::MAX` if it has none.
    oldest: [AtomicU64; SHARDS],
    next_sequence: AtomicU64,
    size: AtomicUsize,
    encoded: AtomicUsize,
    traces: AtomicUsize,
    limit: usize,
}

impl Table {
    /// `limit` is in bytes of memory.
    pub fn new(limit: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            oldest: std::array::from_fn(|_| AtomicU64::new(u64::MAX)),
            next_sequence: AtomicU64::new(0),
            size: AtomicUsize::new(0),
            encoded: AtomicUsize::new(0),
            traces: AtomicUsize::new(0),
            limit,
        }
    }

    /// Bytes of memory that the traces take, filters and tables included.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Bytes of their spans alone.
    pub fn encoded_size(&self) -> usize {
        self.encoded.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn traces(&self) -> usize {
        self.traces.load(Ordering::Relaxed)
    }

    /// Traces that ever arrived.
    pub fn created(&self) -> u64 {
        self.next_sequence.load(Ordering::Relaxed)
    }

    fn shard_of(id: &TraceId) -> usize {
        let mut hasher = IdHasher::default();
        hasher.write(id);
        (hasher.finish() >> 40) as usize % SHARDS
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        // A panic under the lock leaves maps that are still maps.
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a part of a trace, and makes room for it.
    pub fn add(&self, id: TraceId, fragment: Fragment) -> Evicted {
        let index = Self::shard_of(&id);
        self.encoded
            .fetch_add(fragment.bytes.len(), Ordering::Relaxed);
        {
            let mut shard = self.lock(index);
            if let Some(trace) = shard.traces.get_mut(&id) {
                self.size.fetch_add(fragment.size(), Ordering::Relaxed);
                Arc::make_mut(trace).add(fragment);
            } else {
                let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
                let trace = StoredTrace::new(id, sequence, fragment);
                self.size.fetch_add(trace.size(), Ordering::Relaxed);
                self.traces.fetch_add(1, Ordering::Relaxed);
                shard.traces.insert(id, Arc::new(trace));
                shard.order.push_back((sequence, id));
                if shard.order.len() == 1 {
                    self.oldest[index].store(sequence, Ordering::Relaxed);
                }
            }
        }
        let mut evicted = Evicted::default();
        while self.size() > self.limit && self.evict_oldest(&mut evicted) {}
        evicted
    }

    /// False if there is nothing left.
    fn evict_oldest(&self, evicted: &mut Evicted) -> bool {
        let Some((index, sequence)) = self
            .oldest
            .iter()
            .map(|oldest| oldest.load(Ordering::Relaxed))
            .enumerate()
            .min_by_key(|(_, sequence)| *sequence)
        else {
            return false;
        };
        if sequence == u64::MAX {
            return false;
        }
        let removed = {
            let mut shard = self.lock(index);
            let removed = shard
                .order
                .pop_front()
                .and_then(|(_, id)| shard.traces.remove(&id));
            let next = shard.order.front().map_or(u64::MAX, |(next, _)| *next);
            self.oldest[index].store(next, Ordering::Relaxed);
            removed
        };
        if let Some(trace) = removed {
            self.size.fetch_sub(trace.size(), Ordering::Relaxed);
            self.encoded
                .fetch_sub(trace.encoded_size(), Ordering::Relaxed);
            self.traces.fetch_sub(1, Ordering::Relaxed);
            evicted.traces += 1;
            evicted.spans += u64::from(trace.spans);
        }
        true
    }

    pub fn get(&self, id: &TraceId) -> Option<Arc<StoredTrace>> {
        self.lock(Self::shard_of(id)).traces.get(id).cloned()
    }

    /// The traces from the newest to the oldest, in batches that grow, so that
    /// a search which soon has enough looks at few of them.
    pub fn newest_first(&self) -> NewestFirst<'_> {
        NewestFirst {
            table: self,
            below: u64::MAX,
            step: 256,
        }
    }
}

pub struct NewestFirst<'a> {
    table: &'a Table,
    /// Sequences from here on have been handed out.
    below: u64,
    step: u64,
}

impl Iterator for NewestFirst<'_> {
    type Item = Vec<Arc<StoredTrace>>;

    fn next(&mut self) -> Option<Self::Item> {
        let below = self.below.min(self.table.created());
        let oldest = self
            .table
            .oldest
            .iter()
            .map(|oldest| oldest.load(Ordering::Relaxed))
            .min()
            .unwrap_or(u64::MAX);
        if below == 0 || below <= oldest {
            return None;
        }
        let from = below.saturating_sub(self.step).max(oldest);
        let mut batch = Vec::new();
        for index in 0..SHARDS {
            let shard = self.table.lock(index);
            let start = shard
                .order
                .partition_point(|(sequence, _)| *sequence < from);
            let end = shard
                .order
                .partition_point(|(sequence, _)| *sequence < below);
            batch.extend(
                shard
                    .order
                    .range(start..end)
                    .filter_map(|(_, id)| shard.traces.get(id).cloned()),
            );
        }
        batch.sort_unstable_by_key(|trace| std::cmp::Reverse(trace.sequence));
        self.below = from;
        self.step = (self.step * 2).min(8192);
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::*;

    fn fragment(bytes: usize, start: u64) -> Fragment {
        Fragment {
            bytes: vec![0; bytes].into_boxed_slice(),
            facts: Facts::with_capacity(0),
            spans: 2,
            start,
            end: start + 1,
            longest: 1,
            keys: 0,
            root: None,
        }
    }

    fn id(n: u32) -> TraceId {
        let mut id = [0; 16];
        id[12..].copy_from_slice(&n.to_be_bytes());
        id
    }

    fn kept(table: &Table) -> Vec<TraceId> {
        table
            .newest_first()
            .flatten()
            .map(|trace| trace.id)
            .collect()
    }

    #[test]
    fn the_oldest_traces_leave_first_and_are_counted() {
        let table = Table::new(100_000);
        let mut evicted = Evicted::default();
        for n in 0..100 {
            let more = table.add(id(n), fragment(9_000, 0));
            evicted.traces += more.traces;
            evicted.spans += more.spans;
        }
        assert_eq!(kept(&table), (90..100).rev().map(id).collect::<Vec<_>>());
        assert_eq!(
            evicted,
            Evicted {
                traces: 90,
                spans: 180
            }
        );
        assert!(table.size() <= 100_000 && table.size() > 90_000);
        assert_eq!(table.encoded_size(), 90_000);
        assert!(table.get(&id(0)).is_none());
        assert!(table.get(&id(99)).is_some());
    }

    #[test]
    fn a_trace_in_several_pushes_is_one_trace() {
        let table = Table::new(1_000_000);
        table.add(id(1), fragment(10, 100));
        let before = table.get(&id(1)).unwrap();
        table.add(id(1), fragment(20, 50));
        let trace = table.get(&id(1)).unwrap();
        assert_eq!((trace.start, trace.end, trace.spans), (50, 101, 4));
        assert_eq!(table.traces(), 1);
        assert_eq!(table.size(), trace.size());
        assert_eq!(before.spans, 2, "a search must keep the trace that it saw");
    }

    #[test]
    fn the_newest_come_first_over_many_batches() {
        let table = Table::new(usize::MAX);
        for n in 0..2_000 {
            table.add(id(n), fragment(1, 0));
        }
        assert_eq!(kept(&table), (0..2_000).rev().map(id).collect::<Vec<_>>());
    }

    #[test]
    fn a_trace_above_the_limit_leaves_at_once() {
        let table = Table::new(1_000);
        assert_eq!(table.add(id(1), fragment(5_000, 0)).traces, 1);
        assert_eq!((table.size(), table.traces()), (0, 0));
    }
}
