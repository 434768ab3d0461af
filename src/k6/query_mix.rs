//! The queries of a load and their order.

use serde::{Deserialize, Serialize};

use crate::profile::{Operation, QuerySpec};

/// The mix when a profile has none of its own: the only place that defines it.
/// Weights are per cent. TraceQL that Tempo 2.10, 3.0 and the built-in store know,
/// over services and attributes of the corpus.
pub fn default_mix() -> Vec<QuerySpec> {
    let search = |name: &str, weight, traceql: &str| QuerySpec {
        name: name.to_owned(),
        operation: Operation::Search,
        traceql: Some(traceql.to_owned()),
        tag: None,
        weight,
    };
    let other = |name: &str, weight, operation, tag: Option<&str>| QuerySpec {
        name: name.to_owned(),
        operation,
        traceql: None,
        tag: tag.map(str::to_owned),
        weight,
    };
    vec![
        search(
            "service",
            15,
            r#"{ resource.service.name = "booking-api" }"#,
        ),
        search("status-error", 10, "{ status = error }"),
        search("duration", 10, "{ duration > 200ms }"),
        search(
            "combined",
            10,
            r#"{ resource.service.name = "edge-gateway" && span.http.response.status_code = 200 && duration > 50ms }"#,
        ),
        search(
            "structural",
            10,
            r#"{ resource.service.name = "edge-gateway" } >> { span.db.system.name = "postgresql" }"#,
        ),
        other("tag-names", 5, Operation::Tags, None),
        other(
            "tag-values",
            10,
            Operation::TagValues,
            Some("resource.service.name"),
        ),
        other("trace-by-id", 30, Operation::TraceById, None),
    ]
}

/// A mix and the order in which its queries are asked, over and over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    pub queries: Vec<QuerySpec>,
    /// Indices into `queries`: each as often as its weight, in a seeded order.
    pub order: Vec<u32>,
}

/// The given mix, or the default one, put in order.
///
/// Weights are divided by their greatest common divisor first. An entry of
/// weight 0 is never asked.
pub fn sequence(own: Option<&[QuerySpec]>, seed: u32) -> Sequence {
    let queries = own.map_or_else(default_mix, <[QuerySpec]>::to_vec);
    let divisor = queries
        .iter()
        .map(|query| query.weight)
        .fold(0, greatest_common_divisor)
        .max(1);
    let mut order: Vec<u32> = queries
        .iter()
        .enumerate()
        .flat_map(|(index, query)| {
            std::iter::repeat_n(index as u32, (query.weight / divisor) as usize)
        })
        .collect();
    crate::corpus::shuffle(&mut order, seed);
    Sequence { queries, order }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_comes_as_often_as_its_weight() {
        let sequence = sequence(None, 7);
        assert_eq!(sequence.order.len(), 20, "100 % in steps of 5");
        for (index, query) in sequence.queries.iter().enumerate() {
            let count = sequence
                .order
                .iter()
                .filter(|&&i| i == index as u32)
                .count();
            assert_eq!(count as u32 * 5, query.weight, "{}", query.name);
        }
    }

    #[test]
    fn the_order_follows_the_seed() {
        assert_eq!(sequence(None, 1), sequence(None, 1));
        assert_ne!(sequence(None, 1).order, sequence(None, 2).order);
    }

    #[test]
    fn names_are_unique_and_operations_have_what_they_need() {
        let mix = default_mix();
        let names: std::collections::BTreeSet<_> = mix.iter().map(|query| &query.name).collect();
        assert_eq!(names.len(), mix.len());
        for query in &mix {
            assert_eq!(
                query.operation == Operation::Search,
                query.traceql.is_some()
            );
            assert_eq!(query.operation == Operation::TagValues, query.tag.is_some());
        }
    }
}
