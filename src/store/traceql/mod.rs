//! The TraceQL that the store answers: spanset filters, their combinations and
//! relations, and pipelines of filters, aggregates, `select` and `by`. All else
//! is refused, as a query that is understood only in part would be answered
//! wrongly.

pub mod ast;
mod check;
pub mod evaluate;
mod lexer;
mod parser;
pub mod prefilter;
pub mod value;

pub use lexer::duration;
pub use parser::{parse, parse_attribute};

/// Why a query is refused, in the words that follow `invalid TraceQL query: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("parse error at line {line}, col {column}: {what}")]
    Parse {
        line: usize,
        column: usize,
        what: String,
    },
    #[error("{0}")]
    Invalid(String),
}
