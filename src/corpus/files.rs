//! The corpus as files for k6.
//!
//! `{profile}.bin` holds the payloads, twice over: so a request of any number
//! of traces up to the payload count is one contiguous piece, wherever it
//! begins. `{profile}.index` is what `k6/lib/corpus.js` needs to fill them, as
//! little-endian 32-bit words:
//!
//! ```text
//! header    magic, version, payloads, bytes of a cycle, spans of a cycle, seed
//! payload   position, length, spans, first slot word, events, sessions, token, duration in µs
//! slots     per span position, start, end; per event position, time; per session position
//! ```
//!
//! Positions of slots count from the beginning of their payload, times are in
//! microseconds before the end of the trace. `{profile}.json` is for people and
//! for runs by hand.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Corpus;
use crate::profile::TraceProfile;

/// "TPC1".
const MAGIC: u32 = 0x5450_4331;
const VERSION: u32 = 2;
const HEADER_WORDS: usize = 6;
const PAYLOAD_WORDS: usize = 8;

#[derive(Debug, Error)]
pub enum CorpusError {
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// `{profile}.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CorpusFacts {
    pub trace_profile: TraceProfile,
    pub seed: u32,
    pub payloads: u64,
    pub bytes: u64,
    pub spans: u64,
    pub mean_bytes_per_trace: f64,
    pub mean_spans_per_trace: f64,
    pub max_bytes_per_trace: u64,
}

impl Corpus {
    pub fn facts(&self) -> CorpusFacts {
        CorpusFacts {
            trace_profile: self.profile,
            seed: self.seed,
            payloads: self.payload_count(),
            bytes: self.cycle_bytes(),
            spans: self.cycle_spans(),
            mean_bytes_per_trace: self.mean_bytes_per_trace(),
            mean_spans_per_trace: self.mean_spans_per_trace(),
            max_bytes_per_trace: self.max_payload_bytes(),
        }
    }

    /// Writes the three files of this corpus into `dir`, which it creates.
    pub fn write_to(&self, dir: &Path) -> Result<(), CorpusError> {
        fs::create_dir_all(dir).map_err(|source| CorpusError::Write {
            path: dir.to_owned(),
            source,
        })?;
        for (name, bytes) in self.files() {
            write(&dir.join(name), &bytes)?;
        }
        Ok(())
    }

    /// Names and contents of the three files.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let name = self.profile.name();
        vec![
            (format!("{name}.bin"), self.payload_bytes()),
            (format!("{name}.index"), self.index_bytes()),
            (format!("{name}.json"), json_bytes(&self.facts())),
        ]
    }

    fn payload_bytes(&self) -> Vec<u8> {
        let once = self.payloads.iter().flat_map(|payload| &payload.bytes);
        once.clone().chain(once).copied().collect()
    }

    fn index_bytes(&self) -> Vec<u8> {
        let mut words: Vec<u32> = vec![
            MAGIC,
            VERSION,
            self.payloads.len() as u32,
            self.cycle_bytes() as u32,
            self.cycle_spans() as u32,
            self.seed,
        ];
        debug_assert_eq!(words.len(), HEADER_WORDS);
        let mut slots: Vec<u32> = Vec::new();
        let first_slot = HEADER_WORDS + PAYLOAD_WORDS * self.payloads.len();
        for (payload, &(position, _)) in self.payloads.iter().zip(&self.before) {
            words.extend([
                position as u32,
                payload.bytes.len() as u32,
                payload.spans.len() as u32,
                (first_slot + slots.len()) as u32,
                payload.events.len() as u32,
                payload.sessions.len() as u32,
                payload.token,
                payload.duration_us,
            ]);
            for span in &payload.spans {
                slots.extend([span.position, span.start, span.end]);
            }
            for event in &payload.events {
                slots.extend([event.position, event.time]);
            }
            slots.extend(&payload.sessions);
        }
        words.extend(slots);
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// Replaces a file in one step, so that a reader never sees half of it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), CorpusError> {
    let failed = |source| CorpusError::Write {
        path: path.to_owned(),
        source,
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(failed)?;
    std::io::Write::write_all(&mut file, content).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), CorpusError> {
    write(path, &json_bytes(value))
}

fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    // Facts are texts and finite numbers.
    let text = serde_json::to_string_pretty(value).expect("facts have a JSON form");
    format!("{text}\n").into_bytes()
}
