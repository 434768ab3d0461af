//! Bounds and observed values as text: with a unit that fits the size, and never
//! so rounded that a violation looks like a pass.

use super::check::{Bound, Check};
use crate::units::{Significant, Unit, with_unit};

/// Where a bound is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// In running text, in the unit as it is: `<= 1000 ms`, `0 spans`.
    Sentence,
    /// In a column, scaled like the value beside it: `≤ 1 s`, `= 0 spans`.
    Column,
}

impl Bound {
    pub fn text(&self, unit: &Unit, notation: Notation) -> String {
        use Notation::{Column, Sentence};
        let quantity = |value: f64| match notation {
            Sentence => unit.after(Significant(value)),
            Column => unit.quantity(value),
        };
        let (at_least, at_most) = match notation {
            _ if self.exclusive => (">", "<"),
            Sentence => (">=", "<="),
            Column => ("≥", "≤"),
        };
        match (notation, self.min, self.max) {
            (Sentence, None, None) => unit.after("any"),
            (Column, None, None) => "–".into(),
            (Sentence, None, Some(0.0)) if !self.exclusive => quantity(0.0),
            (Sentence, Some(min), Some(max)) if min == max => quantity(min),
            (Column, Some(min), Some(max)) if min == max => format!("= {}", quantity(min)),
            (Sentence, Some(min), Some(max)) => {
                unit.after(format!("{} to {}", Significant(min), Significant(max)))
            }
            (_, min, max) => [(at_least, min), (at_most, max)]
                .into_iter()
                .filter_map(|(sign, limit)| Some(format!("{sign} {}", quantity(limit?))))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

impl Check {
    /// The observed value and the bound, for columns. Where rounding would make
    /// the two look alike although they differ, the observed value has more
    /// digits.
    pub fn observed_and_bound(&self) -> (String, String) {
        let unit = &self.unit;
        let bound = self.bound.text(unit, Notation::Column);
        let Some(observed) = self.observed else {
            return ("–".into(), bound);
        };
        let hidden = |text: &str| {
            [self.bound.min, self.bound.max]
                .into_iter()
                .flatten()
                .any(|limit| limit != observed && unit.quantity(limit) == text)
        };
        let mut text = unit.quantity(observed);
        let (value, scaled_unit) = unit.scaled(observed);
        let mut decimals = 3;
        while hidden(&text) {
            decimals += 1;
            let digits = format!("{value:.decimals$}");
            let digits = digits.trim_end_matches('0').trim_end_matches('.');
            text = with_unit(digits, scaled_unit);
            if decimals == 17 {
                // Closer than an f64 shows; the exact value is all there is.
                return (unit.after(observed), bound);
            }
        }
        (text, bound)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::checks::{Outcome, Source};

    #[test]
    fn rounding_never_hides_a_violation() {
        let check = Check {
            name: "x".into(),
            source: Source::Load,
            expression: String::new(),
            observed: Some(0.999_999),
            bound: Bound::at_least(1.0),
            unit: Unit::Ratio,
            outcome: Outcome::Violated,
            reason: None,
            likely_cause: None,
        };
        assert_eq!(
            check.observed_and_bound(),
            ("99.9999 %".into(), "≥ 100 %".into())
        );
    }

    #[rstest]
    #[case::below(None, Some(1.0), true, "< 1 s", "< 1 s")]
    #[case::at_least(Some(1.0), None, false, "≥ 1 s", ">= 1 s")]
    #[case::between(Some(1.0), Some(2.0), false, "≥ 1 s, ≤ 2 s", "1 to 2 s")]
    #[case::exactly(Some(0.0), Some(0.0), false, "= 0 s", "0 s")]
    #[case::none(None, Some(0.0), false, "≤ 0 s", "0 s")]
    #[case::scaled(None, Some(0.5), false, "≤ 500 ms", "<= 0.5 s")]
    #[case::any(None, None, false, "–", "any s")]
    fn bounds_say_whether_they_may_be_reached(
        #[case] min: Option<f64>,
        #[case] max: Option<f64>,
        #[case] exclusive: bool,
        #[case] column: &str,
        #[case] sentence: &str,
    ) {
        let bound = Bound {
            min,
            max,
            exclusive,
        };
        assert_eq!(bound.text(&Unit::Seconds, Notation::Column), column);
        assert_eq!(bound.text(&Unit::Seconds, Notation::Sentence), sentence);
    }
}
