//! Scripts and corpus as ConfigMaps, and the volume that puts them together.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::corpus::Corpus;
use crate::environment::kubernetes::cluster::names::K6;
use crate::environment::kubernetes::manifests::blueprint::Blueprint;
use crate::k6::scripts::SCRIPTS;
use crate::profile::TraceProfile;

/// Bytes in one ConfigMap: Kubernetes takes 1 MiB, labels and names included.
pub const MAX_CONFIG_MAP_BYTES: usize = 900 * 1024;

/// Where the files are in a pod; those of the corpus in its `corpus`.
pub const FILES_DIR: &str = "/k6-files";

/// A piece of a file within a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    key: String,
    /// Below [`FILES_DIR`].
    path: String,
    bytes: Vec<u8>,
}

/// The ConfigMaps of a corpus and all scripts.
#[derive(Debug, Clone)]
pub struct K6Files {
    /// Of the corpus; tells these maps from those of another.
    trace_profile: TraceProfile,
    maps: Vec<(String, Vec<Piece>)>,
}

impl K6Files {
    pub fn of(corpus: &Corpus) -> Self {
        let trace_profile = corpus.profile();
        let scripts = SCRIPTS
            .iter()
            .map(|(name, text)| ((*name).to_string(), text.as_bytes().to_vec()));
        let corpus = corpus
            .files()
            .into_iter()
            .map(|(name, bytes)| (format!("corpus/{name}"), bytes));
        Self::pack(trace_profile, scripts.chain(corpus))
    }

    pub fn trace_profile(&self) -> TraceProfile {
        self.trace_profile
    }

    /// Puts files into as few maps as their order allows. A file that is too
    /// large for one is cut into `NAME.part000`, `NAME.part001` and so on.
    fn pack(trace_profile: TraceProfile, files: impl Iterator<Item = (String, Vec<u8>)>) -> Self {
        let pieces = files.flat_map(|(path, bytes)| {
            let whole = bytes.len() <= MAX_CONFIG_MAP_BYTES;
            let cut = |(index, part): (usize, &[u8])| {
                let path = if whole {
                    path.clone()
                } else {
                    format!("{path}.part{index:03}")
                };
                Piece {
                    // A key holds no slash.
                    key: path.replace('/', "."),
                    path,
                    bytes: part.to_vec(),
                }
            };
            let parts: Vec<Piece> = bytes
                .chunks(MAX_CONFIG_MAP_BYTES)
                .enumerate()
                .map(cut)
                .collect();
            parts
        });
        let mut maps: Vec<Vec<Piece>> = Vec::new();
        let mut room = 0;
        for piece in pieces {
            if piece.bytes.len() > room {
                maps.push(Vec::new());
                room = MAX_CONFIG_MAP_BYTES;
            }
            room -= piece.bytes.len();
            if let Some(map) = maps.last_mut() {
                map.push(piece);
            }
        }
        let named = maps
            .into_iter()
            .enumerate()
            .map(|(index, pieces)| (format!("k6-{trace_profile}-{index}"), pieces));
        Self {
            maps: named.collect(),
            trace_profile,
        }
    }

    pub fn config_maps(&self, blueprint: &Blueprint) -> Vec<Value> {
        self.maps
            .iter()
            .map(|(name, pieces)| {
                let data: BTreeMap<&str, String> = pieces
                    .iter()
                    .map(|piece| (piece.key.as_str(), STANDARD.encode(&piece.bytes)))
                    .collect();
                json!({
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": name,
                        "namespace": blueprint.namespace,
                        "labels": blueprint.component_labels(K6),
                    },
                    // As they are: a run does not change them.
                    "immutable": true,
                    "binaryData": data,
                })
            })
            .collect()
    }

    /// One projected volume with every file at its path.
    pub fn volume(&self, name: &str) -> Value {
        let sources: Vec<Value> = self
            .maps
            .iter()
            .map(|(map, pieces)| {
                let items: Vec<Value> = pieces
                    .iter()
                    .map(|piece| json!({"key": piece.key, "path": piece.path}))
                    .collect();
                json!({"configMap": {"name": map, "items": items}})
            })
            .collect();
        json!({"name": name, "projected": {"sources": sources}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sizes: &[(&str, usize)]) -> K6Files {
        K6Files::pack(
            TraceProfile::Small,
            sizes
                .iter()
                .map(|(name, size)| ((*name).to_string(), vec![7; *size])),
        )
    }

    #[test]
    fn a_map_takes_as_much_as_fits_and_large_files_are_cut() {
        let packed = files(&[
            ("a.js", 10),
            ("lib/b.js", 20),
            ("corpus/x.bin", 2 * MAX_CONFIG_MAP_BYTES + 5),
            ("last", 1),
        ]);
        let found: Vec<Vec<(&str, usize)>> = packed
            .maps
            .iter()
            .map(|(_, pieces)| {
                pieces
                    .iter()
                    .map(|it| (it.path.as_str(), it.bytes.len()))
                    .collect()
            })
            .collect();
        assert_eq!(
            found,
            [
                vec![("a.js", 10), ("lib/b.js", 20)],
                vec![("corpus/x.bin.part000", MAX_CONFIG_MAP_BYTES)],
                vec![("corpus/x.bin.part001", MAX_CONFIG_MAP_BYTES)],
                vec![("corpus/x.bin.part002", 5), ("last", 1)],
            ]
        );
    }

    #[test]
    fn every_corpus_fits_and_comes_back_whole() {
        for profile in [
            TraceProfile::Small,
            TraceProfile::Medium,
            TraceProfile::Large,
            TraceProfile::Xlarge,
        ] {
            let corpus = Corpus::generate(profile, 1);
            let packed = K6Files::of(&corpus);
            for (name, pieces) in &packed.maps {
                let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
                assert!(bytes <= MAX_CONFIG_MAP_BYTES, "{profile}: {name}");
            }
            let name = format!("corpus/{}.bin", profile.name());
            let joined: Vec<u8> = packed
                .maps
                .iter()
                .flat_map(|(_, pieces)| pieces)
                .filter(|piece| piece.path.starts_with(&name))
                .flat_map(|piece| piece.bytes.clone())
                .collect();
            let files = corpus.files();
            let (_, whole) = files
                .iter()
                .find(|(file, _)| name.ends_with(file))
                .expect("every corpus has payloads");
            assert!(joined == *whole, "{profile}: the pieces make the file");
        }
    }
}
