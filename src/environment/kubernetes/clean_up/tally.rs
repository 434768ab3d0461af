//! What a teardown did, piece by piece.

/// Lines for people: each names its object.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    pub removed: Vec<String>,
    /// Done, but not as it should be; or not to be seen.
    pub warnings: Vec<String>,
    /// Left behind.
    pub errors: Vec<String>,
}

impl Tally {
    pub fn removed(what: String) -> Self {
        Self {
            removed: vec![what],
            ..Self::default()
        }
    }

    pub fn warning(text: String) -> Self {
        Self {
            warnings: vec![text],
            ..Self::default()
        }
    }

    pub fn error(text: String) -> Self {
        Self {
            errors: vec![text],
            ..Self::default()
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.removed.extend(other.removed);
        self.warnings.extend(other.warnings);
        self.errors.extend(other.errors);
    }
}
