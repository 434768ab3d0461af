//! Kubernetes quantities: `8Gi`, `1000m`, `0.5`.

/// Why a text is not a quantity above 0. Displays as the end of `"8GB", which …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("is not a Kubernetes quantity")]
    Nonsense,
    #[error("has the unknown suffix \"{0}\"{hint}", hint = hint(.0))]
    UnknownSuffix(String),
    #[error("is negative")]
    Negative,
    #[error("is zero")]
    Zero,
    #[error("is too large")]
    TooLarge,
}

fn hint(suffix: &str) -> String {
    match suffix.to_uppercase().chars().next() {
        Some(letter @ ('K' | 'M' | 'G' | 'T')) => format!(" (is it {letter}i?)"),
        _ => String::new(),
    }
}

const SUFFIXES: [(&str, f64); 14] = [
    ("", 1.0),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

/// Reads a quantity above 0, in bytes or cores.
pub fn parse(text: &str) -> Result<f64, Problem> {
    if text.starts_with('-') {
        return Err(Problem::Negative);
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| Problem::Nonsense)?;
    let factor = match SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        Some((_, factor)) => *factor,
        None => exponent(suffix).ok_or_else(|| Problem::UnknownSuffix(suffix.to_owned()))?,
    };
    match number * factor {
        0.0 => Err(Problem::Zero),
        value if value.is_finite() => Ok(value),
        _ => Err(Problem::TooLarge),
    }
}

/// The factor of `e3` or `E-3`, which Kubernetes takes in place of a suffix.
fn exponent(suffix: &str) -> Option<f64> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let power: i32 = digits.parse().ok().filter(|power| *power > -100)?;
    Some(10f64.powi(power.min(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::binary("8Gi", 8_589_934_592.0)]
    #[case::decimal("2G", 2e9)]
    #[case::milli("1000m", 1.0)]
    #[case::fraction("0.5", 0.5)]
    #[case::exponent("12e6", 12e6)]
    #[case::plain("3", 3.0)]
    #[case::plus("+3", 3.0)]
    fn a_quantity_is_read(#[case] text: &str, #[case] expected: f64) {
        assert_eq!(parse(text), Ok(expected));
    }

    #[rstest]
    #[case::empty("", Problem::Nonsense)]
    #[case::word("lots", Problem::Nonsense)]
    #[case::point(".", Problem::Nonsense)]
    #[case::gigabytes("8GB", Problem::UnknownSuffix("GB".into()))]
    #[case::small_letter("8gi", Problem::UnknownSuffix("gi".into()))]
    #[case::space("8 Gi", Problem::UnknownSuffix(" Gi".into()))]
    #[case::negative("-1Gi", Problem::Negative)]
    #[case::zero("0", Problem::Zero)]
    #[case::zero_with_suffix("0.0Gi", Problem::Zero)]
    #[case::overflow("1e999", Problem::TooLarge)]
    #[case::absurd_exponent("1e99999999999", Problem::UnknownSuffix("e99999999999".into()))]
    #[case::infinity("inf", Problem::Nonsense)]
    fn nonsense_is_refused(#[case] text: &str, #[case] expected: Problem) {
        assert_eq!(parse(text), Err(expected));
    }
}
