//! IDs in hexadecimal.

use super::fragment::TraceId;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}

/// A trace ID as a search shows it.
pub fn trace_id_without_zeros(id: &TraceId) -> String {
    encode(id).trim_start_matches('0').to_owned()
}

/// Reads a trace ID, which may lack leading zeros.
///
/// # Errors
/// In Tempo's words, when it is none.
pub fn parse_trace_id(text: &str) -> Result<TraceId, String> {
    for (index, found) in text.chars().enumerate() {
        if !found.is_ascii_hexdigit() {
            return Err(format!(
                "trace IDs can only contain hex characters: invalid character '{found}' at position {}",
                index + 1
            ));
        }
    }
    if text.len() > 32 {
        return Err("trace IDs can't be larger than 128 bits".to_owned());
    }
    let value =
        u128::from_str_radix(text, 16).map_err(|_| "please provide a traceID".to_owned())?;
    Ok(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::full("7c2999fdafe593253cd654af4dfad714", "7c2999fdafe593253cd654af4dfad714")]
    #[case::short("12ca182530bb1d6d132cded6237b2e", "12ca182530bb1d6d132cded6237b2e")]
    #[case::zeros("0012ca", "12ca")]
    #[case::upper_case("ABC", "abc")]
    fn a_trace_id_may_lack_its_zeros(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(
            trace_id_without_zeros(&parse_trace_id(text).unwrap()),
            shown
        );
    }

    #[rstest]
    #[case::letter(
        "zz",
        "trace IDs can only contain hex characters: invalid character 'z' at position 1"
    )]
    #[case::sign(
        "+1",
        "trace IDs can only contain hex characters: invalid character '+' at position 1"
    )]
    #[case::long(
        "123456789012345678901234567890123",
        "trace IDs can't be larger than 128 bits"
    )]
    #[case::empty("", "please provide a traceID")]
    fn what_is_no_trace_id_is_refused(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse_trace_id(text).unwrap_err(), message);
    }
}
