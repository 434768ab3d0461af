//! Durations as users write them: `30s`, `5m`, `1h30m`, `1.5h`.

use std::time::Duration;

/// Reads a duration; the error says what was found and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration; expected for example 30s, 5m or 1h30m");
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Err(format!(
            "\"{text}\" is a duration without a unit; expected for example {text}s or {text}m"
        ));
    }
    let signed: jiff::SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}
