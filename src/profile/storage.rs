//! Which fields of a storage belong together: one rule for a file, where each
//! has a place, and for a profile that settings have changed.

use super::{Storage, StorageKind};

/// A field that does not fit the kind of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// As the profile calls it.
    pub key: &'static str,
    pub problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// What was found instead, and what would be right.
    Absent {
        found: &'static str,
        expected: &'static str,
    },
    /// The field is there and belongs to the other kind.
    Foreign { belongs_to: &'static str },
}

/// Fields that only one kind has; `minioSize` is an older name of `size`.
pub const MINIO_ONLY: [&str; 2] = ["size", "minioSize"];
pub const S3_ONLY: [&str; 4] = ["bucket", "region", "endpoint", "secretName"];

/// What does not fit in a storage of `kind` that has the fields that `given`
/// says it has.
pub fn misfits(kind: StorageKind, given: impl Fn(&str) -> bool) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    if kind == StorageKind::S3 {
        if !given("bucket") {
            misfits.push(Misfit {
                key: "bucket",
                problem: Problem::Absent {
                    found: "no such key",
                    expected: "the name of a bucket that exists, as type is s3",
                },
            });
        }
        if !given("region") && !given("endpoint") {
            misfits.push(Misfit {
                key: "region",
                problem: Problem::Absent {
                    found: "neither region nor endpoint",
                    expected: "the region of the bucket on AWS, for example us-east-2, or the \
                               endpoint of another store",
                },
            });
        }
    }
    let (foreign, belongs_to): (&[&'static str], _) = match kind {
        StorageKind::S3 => (&MINIO_ONLY, "minio"),
        StorageKind::Minio => (&S3_ONLY, "s3"),
    };
    misfits.extend(foreign.iter().filter(|key| given(key)).map(|&key| Misfit {
        key,
        problem: Problem::Foreign { belongs_to },
    }));
    misfits
}

impl Storage {
    /// The value of the field that a profile calls `key`.
    pub fn field(&self, key: &str) -> Option<&str> {
        match key {
            "size" => self.size.as_deref(),
            "bucket" => self.bucket.as_deref(),
            "region" => self.region.as_deref(),
            "endpoint" => self.endpoint.as_deref(),
            "secretName" => self.secret_name.as_deref(),
            _ => None,
        }
    }
}
