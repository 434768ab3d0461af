//! Errors with all that caused them, for people.

use std::error::Error;

/// An error with its causes on one line, each once: a cause whose words end the
/// text already is not repeated.
pub fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    for cause in std::iter::successors(err.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Step {
        #[error("cannot write the plan")]
        Outer(#[source] Box<Step>),
        #[error("the disk {disk}: {source}")]
        Repeats {
            disk: &'static str,
            source: Box<Step>,
        },
        #[error("no space left")]
        Root,
    }

    #[test]
    fn every_cause_is_told_once() {
        let error = Step::Outer(Box::new(Step::Repeats {
            disk: "sda",
            source: Box::new(Step::Root),
        }));
        assert_eq!(
            chain(&error),
            "cannot write the plan: the disk sda: no space left"
        );
    }
}
