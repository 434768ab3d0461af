//! The text formats that the schema names: each a function from the text to the
//! reason why it does not fit.

use url::Url;

use super::{limits, quantity};
use crate::units::duration;

const MIB: f64 = 1_048_576.0;
const PIB: f64 = 1_125_899_906_842_624.0;

/// Whether `text` has the schema's `format`; the error goes on after `which`,
/// and is empty where the expectation says it all. A format without a rule is a
/// mistake of this crate, found by a test over the schema.
pub fn check(format: &str, text: &str) -> Result<(), String> {
    let unless = |fits: bool| if fits { Ok(()) } else { Err(String::new()) };
    match format {
        "dns-label" => unless(is_label(text) && text.len() <= limits::NAME_LENGTH),
        "dns-subdomain" => unless(text.len() <= 253 && text.split('.').all(is_label)),
        "bucket-name" => unless((3..=63).contains(&text.len()) && text.split('.').all(is_label)),
        "word" => unless(is_label(text)),
        "http-url" => match http_url(text) {
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                Err("has a user name or password".to_owned())
            }
            url => unless(url.is_some()),
        },
        "duration-text" => within_a_week(text).map(drop),
        "positive-duration" => match within_a_week(text)? {
            time if time.is_zero() => Err("is zero".to_owned()),
            _ => Ok(()),
        },
        "byte-quantity" => bounded(text, MIB, PIB, "byte"),
        "cpu-quantity" => bounded(text, 0.001, 1000.0, "core"),
        other => Err(format!("has the format {other}, which has no rule")),
    }
}

/// Small letters, digits and inner hyphens.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty()
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A URL that an HTTP client can use.
pub fn http_url(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The text without the user name and password that it may have as a URL: they
/// do not belong into messages.
pub fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://...{}", &rest[at..]),
        None => text.to_owned(),
    }
}

fn within_a_week(text: &str) -> Result<std::time::Duration, String> {
    let time = duration::read(text).map_err(|problem| problem.to_string())?;
    if time.as_secs() > limits::DURATION_MAX_SECONDS {
        return Err("is more than a week".to_owned());
    }
    Ok(time)
}

fn bounded(text: &str, least: f64, most: f64, unit: &str) -> Result<(), String> {
    match quantity::parse(text) {
        Err(problem) => Err(problem.to_string()),
        Ok(value) if (least..=most).contains(&value) => Ok(()),
        // "8" for memory is eight bytes: naming the unit shows the slip.
        Ok(value) => {
            let ending = if value == 1.0 { "" } else { "s" };
            Err(format!(
                "is {} {unit}{ending}",
                crate::units::Significant(value)
            ))
        }
    }
}
