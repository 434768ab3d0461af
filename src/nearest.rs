//! The known name that a mistyped one was meant to be.

/// The nearest of `known` to `found`, unless they have too little in common
/// for a suggestion to help.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if found.len() > 64 {
        return None; // nothing known is as long; the distance costs its square
    }
    let folded = found.to_lowercase().replace(['-', '_'], "");
    known
        .into_iter()
        .map(|name| {
            let other = name.to_lowercase().replace(['-', '_'], "");
            (strsim::damerau_levenshtein(&folded, &other), name)
        })
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::transposed("mni", Some("min"))]
    #[case::case_and_style("mb_per_second", Some("mbPerSecond"))]
    #[case::one_letter("mbPerSeconds", Some("mbPerSecond"))]
    #[case::nothing_like_it("replicas", None)]
    #[case::empty("", None)]
    #[case::long(&"m".repeat(100_000), None)]
    fn the_nearest_name_is_suggested(#[case] found: &str, #[case] expected: Option<&str>) {
        assert_eq!(nearest(found, ["min", "max", "mbPerSecond"]), expected);
    }
}
