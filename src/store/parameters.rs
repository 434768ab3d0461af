//! Parameters of Tempo's HTTP API, with its defaults and its words for what is
//! wrong with them.

use std::time::{SystemTime, UNIX_EPOCH};

use super::search::{Search, TagQuery, Wanted, Window};
use super::traceql::ast::Query;
use super::traceql::{self, QueryError};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 262_144;
const DEFAULT_SPANS: usize = 3;
const MAX_SPANS: usize = 100;
const MAX_QUERY: usize = 128 << 10;
const DEFAULT_RANGE_SECONDS: u64 = 15 * 60;
const MAX_RANGE_SECONDS: u64 = 168 * 3600;
const NANOS: u64 = 1_000_000_000;

/// The parameters of a request; those that are empty count as absent.
pub struct Parameters(Vec<(String, String)>);

/// A request that is refused with status 400.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
    /// Whether Tempo had taken it for a query, and counts it as one.
    pub is_query: bool,
}

fn malformed(message: impl Into<String>) -> Refused {
    Refused {
        message: message.into(),
        is_query: false,
    }
}

fn refused_query(message: impl Into<String>) -> Refused {
    Refused {
        message: message.into(),
        is_query: true,
    }
}

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        refused_query(format!("invalid TraceQL query: {error}"))
    }
}

impl Parameters {
    pub fn read(query: Option<&str>) -> Self {
        Self(
            url::form_urlencoded::parse(query.unwrap_or("").as_bytes())
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let what = match text.parse::<u64>() {
            Ok(value) if u32::try_from(value).is_ok() => return Ok(Some(value)),
            Ok(_) => "value out of range",
            Err(_) => "invalid syntax",
        };
        Err(malformed(format!(
            "invalid {name}: strconv.ParseUint: parsing \"{text}\": {what}"
        )))
    }

    fn duration(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        traceql::duration(text)
            .and_then(|nanos| u64::try_from(nanos).ok())
            .map(Some)
            .ok_or_else(|| malformed(format!("invalid {name}: time: invalid duration \"{text}\"")))
    }

    /// Start and end in seconds; `None` if neither is given.
    fn seconds(&self) -> Result<Option<(u64, u64)>, Refused> {
        let start = self.number("start")?.unwrap_or(0);
        let end = self.number("end")?.unwrap_or(0);
        if start == 0 && end == 0 {
            return Ok(None);
        }
        if end <= start {
            return Err(malformed(format!(
                "http parameter start must be before end. received start={start} end={end}"
            )));
        }
        Ok(Some((start, end)))
    }

    /// The window of a look-up, which has no default.
    pub fn window(&self) -> Result<Window, Refused> {
        Ok(self.seconds()?.map_or(Window::ALWAYS, of_seconds))
    }

    pub fn limit(&self) -> Result<Option<usize>, Refused> {
        Ok(self.number("limit")?.map(|limit| limit as usize))
    }

    /// The query `q`, if there is one.
    pub fn query(&self) -> Result<Option<Query>, Refused> {
        let Some(text) = self.get("q") else {
            return Ok(None);
        };
        if text.len() > MAX_QUERY {
            return Err(refused_query(format!(
                "query is too long: {} bytes; the most is {MAX_QUERY}",
                text.len()
            )));
        }
        Ok(Some(traceql::parse(text)?))
    }

    pub fn search(&self) -> Result<Search, Refused> {
        let seconds = self.seconds();
        let tags = self.tags()?;
        let min_duration = self.duration("minDuration")?;
        let max_duration = self.duration("maxDuration")?;
        if let (Some(min), Some(max)) = (min_duration, max_duration)
            && min > max
        {
            return Err(malformed(
                "invalid maxDuration: must be greater than minDuration",
            ));
        }
        let limit = self.number("limit")?;
        if limit == Some(0) {
            return Err(malformed("invalid limit: must be a positive number"));
        }
        let spans = self.number("spss")?;
        let seconds = seconds?;
        let query = self.query()?;
        let limit = limit.map_or(DEFAULT_LIMIT, |limit| limit as usize);
        if limit > MAX_LIMIT {
            return Err(refused_query(format!(
                "limit {limit} exceeds max limit {MAX_LIMIT}"
            )));
        }
        let window = match seconds {
            Some((start, end)) if end - start > MAX_RANGE_SECONDS => {
                return Err(refused_query(format!(
                    "range specified by start and end exceeds 168h0m0s. received start={start} end={end}"
                )));
            }
            Some(seconds) => of_seconds(seconds),
            None => last_quarter_of_an_hour(),
        };
        let spans = match spans {
            None | Some(0) => DEFAULT_SPANS,
            Some(spans) if spans as usize > MAX_SPANS => {
                return Err(refused_query(format!(
                    "spans per span set exceeds {MAX_SPANS}. received {spans}"
                )));
            }
            Some(spans) => spans as usize,
        };
        Ok(Search {
            wanted: match query {
                Some(query) => Wanted::TraceQl(Box::new(query)),
                None => Wanted::Tags(TagQuery {
                    tags,
                    min_duration,
                    max_duration,
                }),
            },
            window,
            limit,
            spans_per_spanset: spans,
        })
    }

    fn tags(&self) -> Result<Vec<(String, String)>, Refused> {
        let Some(text) = self.get("tags") else {
            return Ok(Vec::new());
        };
        if self.get("q").is_some() {
            return Err(malformed(
                "invalid request: can't specify tags and q in the same query",
            ));
        }
        logfmt(text)
    }
}

fn of_seconds((start, end): (u64, u64)) -> Window {
    Window {
        start: start * NANOS,
        end: end * NANOS,
    }
}

fn last_quarter_of_an_hour() -> Window {
    // A clock before 1970 finds nothing, as it should.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let end = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Window {
        start: end.saturating_sub(DEFAULT_RANGE_SECONDS * NANOS),
        end,
    }
}

/// `key=value key="a value"`.
fn logfmt(text: &str) -> Result<Vec<(String, String)>, Refused> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let position = text.len() - rest.len() + 1;
        let wrong = |what: &str| malformed(format!("invalid tags: {what} at pos {position}"));
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(rest.len());
        let key = &rest[..end];
        if key.is_empty() || key.contains('"') {
            return Err(wrong("unexpected key"));
        }
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            rest = after;
            if let Some(quoted) = rest.strip_prefix('"') {
                let mut escaped = false;
                let mut length = None;
                for (index, c) in quoted.char_indices() {
                    match c {
                        _ if escaped => {
                            value.push(c);
                            escaped = false;
                        }
                        '\\' => escaped = true,
                        '"' => {
                            length = Some(index + 1);
                            break;
                        }
                        c => value.push(c),
                    }
                }
                rest = &quoted[length.ok_or_else(|| wrong("unterminated quoted value"))?..];
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                value = rest[..end].to_owned();
                rest = &rest[end..];
            }
        }
        if pairs.iter().any(|(seen, _)| seen == key) {
            return Err(malformed(format!(
                "invalid tags: tag {key} has been set twice"
            )));
        }
        pairs.push((key.to_owned(), value));
        rest = rest.trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // In the words of Tempo 3.0.3.
    #[rstest]
    #[case("limit=0", "invalid limit: must be a positive number")]
    #[case(
        "limit=x",
        "invalid limit: strconv.ParseUint: parsing \"x\": invalid syntax"
    )]
    #[case("q={}&limit=300000", "limit 300000 exceeds max limit 262144")]
    #[case("q={}&spss=500", "spans per span set exceeds 100. received 500")]
    #[case(
        "start=5",
        "http parameter start must be before end. received start=5 end=0"
    )]
    #[case(
        "start=a&end=b",
        "invalid start: strconv.ParseUint: parsing \"a\": invalid syntax"
    )]
    #[case(
        "start=1&end=1795415706",
        "range specified by start and end exceeds 168h0m0s. received start=1 end=1795415706"
    )]
    #[case(
        "minDuration=abc",
        "invalid minDuration: time: invalid duration \"abc\""
    )]
    #[case(
        "minDuration=2s&maxDuration=1s",
        "invalid maxDuration: must be greater than minDuration"
    )]
    #[case(
        "q={}&tags=a%3Db",
        "invalid request: can't specify tags and q in the same query"
    )]
    #[case("tags=a%3Db%20a%3Dc", "invalid tags: tag a has been set twice")]
    #[case(
        "q={%20nonsense}",
        "invalid TraceQL query: parse error at line 1, col 3: unknown identifier: nonsense"
    )]
    fn a_wrong_parameter_is_refused(#[case] query: &str, #[case] message: &str) {
        let error = Parameters::read(Some(query)).search().unwrap_err();
        assert_eq!(error.message, message);
    }

    #[test]
    fn tags_are_logfmt() {
        let pairs = logfmt("a=b  service.name=\"my \\\"own\\\" service\" c").unwrap();
        let expected = [
            ("a", "b"),
            ("service.name", "my \"own\" service"),
            ("c", ""),
        ];
        assert_eq!(
            pairs,
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_search_has_the_defaults_of_tempo() {
        let search = Parameters::read(Some("q={}&spss=0")).search().unwrap();
        assert_eq!((search.limit, search.spans_per_spanset), (20, 3));
        let window = search.window.end - search.window.start;
        assert_eq!(window, 900 * NANOS);
    }
}
