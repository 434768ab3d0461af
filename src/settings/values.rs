//! What reads the values of options: from a text to a type, or why not.

use std::convert::Infallible;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use url::Url;

use super::malformed::Unfit;
use crate::nearest::nearest;
use crate::profile::{check_format, limits};
use crate::units::duration;
use crate::units::{ByteRate, EventRate};

/// Reads `text`; the error of `read` goes on after "which" and may be empty.
pub fn value<T>(
    text: &str,
    expected: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Unfit> {
    read(text.trim()).map_err(|which| Unfit {
        which,
        expected: expected.trim_start_matches("expected ").to_owned(),
    })
}

pub fn text(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

/// Names between commas. Nothing at all is no name; it is the default.
pub fn names(text: &str) -> Result<Vec<String>, Unfit> {
    let expected = "names separated by commas, for example small,medium";
    value(text, expected, |trimmed| {
        let names = trimmed.split(',').map(str::trim);
        let names: Vec<String> = names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        // Only commas: taking it for "all" would start every load.
        if names.is_empty() && !text.is_empty() {
            return Err("has no name".to_owned());
        }
        Ok(names)
    })
}

pub fn switch(text: &str) -> Result<bool, Unfit> {
    value(text, "true, false, 1 or 0", |text| match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(String::new()),
    })
}

/// One of the words that stand for the variants of `T`.
pub fn word<T: ValueEnum>(text: &str) -> Result<T, Unfit> {
    let known: Vec<String> = T::value_variants()
        .iter()
        .filter_map(|variant| Some(variant.to_possible_value()?.get_name().to_owned()))
        .collect();
    let expected = match nearest(text, known.iter().map(String::as_str)) {
        Some(near) => format!("{near} (known are {})", known.join(", ")),
        None => format!("one of {}", known.join(", ")),
    };
    value(text, &expected, |text| {
        T::from_str(text, false).map_err(|_| String::new())
    })
}

/// A time above 0; none of the options has a use for 0.
pub fn time(text: &str) -> Result<Duration, Unfit> {
    value(text, limits::POSITIVE_DURATION, |text| {
        let time = duration::read(text).map_err(|problem| problem.to_string())?;
        match time.as_secs() {
            _ if time.is_zero() => Err("is zero".to_owned()),
            seconds if seconds > limits::DURATION_MAX_SECONDS => {
                Err("is more than a week".to_owned())
            }
            _ => Ok(time),
        }
    })
}

pub fn mb_per_second(text: &str) -> Result<ByteRate, Unfit> {
    rate(text, limits::MB_PER_SECOND_MAX, limits::MB_PER_SECOND).map(ByteRate::from_mb_per_second)
}

pub fn queries_per_second(text: &str) -> Result<EventRate, Unfit> {
    rate(
        text,
        limits::QUERIES_PER_SECOND_MAX,
        limits::QUERIES_PER_SECOND,
    )
    .map(EventRate::per_second)
}

fn rate(text: &str, most: f64, expected: &str) -> Result<f64, Unfit> {
    value(text, expected, |text| {
        text.parse()
            .ok()
            .filter(|rate| *rate > 0.0 && *rate <= most)
            .ok_or_else(String::new)
    })
}

pub fn count<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, Unfit> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        value(text, &expected, |text| {
            text.parse()
                .ok()
                .filter(|count| range.contains(count))
                .ok_or_else(String::new)
        })
    }
}

/// Text in a `format` of the profile's schema; `expected` is its message.
pub fn formatted(
    format: &'static str,
    expected: &'static str,
) -> impl Fn(&str) -> Result<String, Unfit> + Clone + Send + Sync + 'static {
    move |text| {
        value(text, expected, |text| {
            check_format(format, text).map(|()| text.to_owned())
        })
    }
}

/// OTLP/HTTP receiver of a Tempo.
pub fn otlp_url(text: &str) -> Result<Url, Unfit> {
    url(
        text,
        "an http:// or https:// URL of the OTLP/HTTP port, for example http://HOST:4318 (4317 is \
         the port of OTLP/gRPC, which the load does not speak)",
    )
}

/// HTTP API of a Tempo.
pub fn query_url(text: &str) -> Result<Url, Unfit> {
    url(
        text,
        "an http:// or https:// URL of Tempo's HTTP API, for example http://HOST:3200",
    )
}

/// `HOST` becomes the host that was found, so that the example can be copied.
fn url(text: &str, expected: &str) -> Result<Url, Unfit> {
    let host = text.rsplit("://").next().unwrap_or(text);
    let host = host.split([':', '/']).next().unwrap_or_default();
    let usable = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    let expected = expected.replace("HOST", if usable { host } else { "tempo" });
    value(text, &expected, http_url)
}

/// A URL to which paths can be added; the error is the bare reason.
pub fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| String::new())?;
    match url.scheme() {
        "http" | "https" if !url.has_host() => Err("has no host".to_owned()),
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
            Err("has a query or fragment".to_owned())
        }
        "http" | "https" => Ok(url),
        _ => Err("does not start with http:// or https://".to_owned()),
    }
}
