//! Words of a query, each with its place.

use super::QueryError;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// An operator or a bracket.
    Sign(&'static str),
    /// An identifier, `span:duration` included.
    Word(String),
    /// `resource.service.name`, `.x`; the scope is empty for the latter.
    Attribute {
        scope: String,
        name: String,
    },
    Text(String),
    Int(i64),
    Float(f64),
    /// In nanoseconds.
    Duration(i64),
    End,
}

impl Token {
    /// The name in a syntax error.
    pub fn describe(&self) -> String {
        match self {
            Self::Sign(sign) => (*sign).to_owned(),
            Self::Word(word) => word.clone(),
            Self::Attribute { scope, .. } if scope.is_empty() => ".".to_owned(),
            Self::Attribute { scope, .. } => format!("{scope}."),
            Self::Text(_) => "STRING".to_owned(),
            Self::Int(_) => "INTEGER".to_owned(),
            Self::Float(_) => "FLOAT".to_owned(),
            Self::Duration(_) => "DURATION".to_owned(),
            Self::End => "$end".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    pub fn error(self, what: impl Into<String>) -> QueryError {
        QueryError::Parse {
            line: self.line,
            column: self.column,
            what: what.into(),
        }
    }
}

/// The longest first, so that `>>` is not read as two `>`.
const SIGNS: [&str; 37] = [
    "!>>", "!<<", "&>>", "&<<", "&&", "||", "!=", "!~", "=~", "<=", ">=", ">>", "<<", "!>", "!<",
    "&>", "&<", "&~", "{", "}", "(", ")", "=", "<", ">", "~", "|", "!", ",", "+", "-", "*", "/",
    "%", "^", ".", ":",
];

const ATTRIBUTE_SCOPES: [&str; 6] = [
    "span",
    "resource",
    "event",
    "link",
    "instrumentation",
    "parent",
];
const INTRINSIC_SCOPES: [&str; 5] = ["span", "trace", "event", "link", "instrumentation"];

pub fn tokens(query: &str) -> Result<Vec<(Token, Place)>, QueryError> {
    let mut lexer = Lexer {
        rest: query,
        line: 1,
        column: 1,
    };
    let mut all = Vec::new();
    loop {
        lexer.skip_space();
        let place = lexer.place();
        let token = lexer.token()?;
        let done = token == Token::End;
        all.push((token, place));
        if done {
            return Ok(all);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Lexer<'a> {
    fn place(&self) -> Place {
        Place {
            line: self.line,
            column: self.column,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        if next == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let length = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.advance();
        }
    }

    fn token(&mut self) -> Result<Token, QueryError> {
        let Some(next) = self.peek() else {
            return Ok(Token::End);
        };
        match next {
            '"' | '`' => self.text().map(Token::Text),
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            '.' => {
                self.advance();
                self.attribute(String::new())
            }
            _ => {
                let place = self.place();
                let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| {
                    place.error(format!("syntax error: unexpected character {next:?}"))
                })?;
                for _ in sign.chars() {
                    self.advance();
                }
                Ok(Token::Sign(sign))
            }
        }
    }

    fn word(&mut self) -> Result<Token, QueryError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = self.take_while(is_word);
        match self.peek() {
            Some('.') if ATTRIBUTE_SCOPES.contains(&word) => {
                self.advance();
                self.attribute(word.to_owned())
            }
            Some(':') if INTRINSIC_SCOPES.contains(&word) => {
                self.advance();
                let name = self.take_while(is_word);
                Ok(Token::Word(format!("{word}:{name}")))
            }
            _ => Ok(Token::Word(word.to_owned())),
        }
    }

    /// The name after a scope's dot: up to a space or a sign, quoted in parts.
    fn attribute(&mut self, scope: String) -> Result<Token, QueryError> {
        let place = self.place();
        let mut name = String::new();
        loop {
            match self.peek() {
                Some('"') => name.push_str(&self.text()?),
                Some(c) if !c.is_whitespace() && !"{}()=~!<>&|^,`".contains(c) => {
                    name.push(c);
                    self.advance();
                }
                _ => break,
            }
        }
        if name.is_empty() {
            return Err(place.error("syntax error: an attribute's name is missing"));
        }
        Ok(Token::Attribute { scope, name })
    }

    fn text(&mut self) -> Result<String, QueryError> {
        let place = self.place();
        let unfinished = || place.error("literal not terminated");
        let quote = self.advance().ok_or_else(unfinished)?;
        let mut text = String::new();
        loop {
            let next = self.advance().ok_or_else(unfinished)?;
            match next {
                _ if next == quote => return Ok(text),
                '\n' if quote == '"' => return Err(unfinished()),
                '\\' if quote == '"' => {
                    let escaped = self.advance().ok_or_else(unfinished)?;
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        '"' | '\\' => escaped,
                        _ => return Err(place.error("invalid char escape")),
                    });
                }
                _ => text.push(next),
            }
        }
    }

    fn number(&mut self) -> Result<Token, QueryError> {
        let place = self.place();
        let text = self.take_while(|c| c.is_ascii_alphanumeric() || c == '.' || c == 'µ');
        let wrong = || place.error(format!("syntax error: {text:?} is not a number"));
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Token::Int).map_err(|_| wrong());
        }
        if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            return text.parse().map(Token::Float).map_err(|_| wrong());
        }
        duration(text).map(Token::Duration).ok_or_else(wrong)
    }
}

/// Nanoseconds of `1h30m`, `1.5s`, `10us`, as Go reads them (and days).
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        nanos += value
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                "d" => 86_400e9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty() && nanos < i64::MAX as f64).then_some(nanos.round() as i64)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn attribute(scope: &str, name: &str) -> Token {
        Token::Attribute {
            scope: scope.to_owned(),
            name: name.to_owned(),
        }
    }

    #[rstest]
    #[case::attribute("resource.service.name", attribute("resource", "service.name"))]
    #[case::dashes(
        "span.http.request.header-x/y",
        attribute("span", "http.request.header-x/y")
    )]
    #[case::quoted("span.\"a b\".c", attribute("span", "a b.c"))]
    #[case::unscoped(".foo", attribute("", "foo"))]
    #[case::intrinsic("span:duration", Token::Word("span:duration".into()))]
    #[case::text("\"a \\\"b\\\"\"", Token::Text("a \"b\"".into()))]
    #[case::raw_text("`a\\d`", Token::Text("a\\d".into()))]
    #[case::int("12", Token::Int(12))]
    #[case::float("1.5", Token::Float(1.5))]
    #[case::milliseconds("10ms", Token::Duration(10_000_000))]
    #[case::compound("1h30m", Token::Duration(5_400_000_000_000))]
    #[case::micro("2.5µs", Token::Duration(2_500))]
    #[case::descendant(">>", Token::Sign(">>"))]
    #[case::not_descendant("!>>", Token::Sign("!>>"))]
    fn a_word_is_read_whole(#[case] text: &str, #[case] token: Token) {
        let found = tokens(text).unwrap();
        assert_eq!(found[0].0, token);
        assert_eq!(found[1].0, Token::End, "{text} must be one token");
    }

    #[rstest]
    #[case::open_text(
        "{ name = \"a ",
        "parse error at line 1, col 10: literal not terminated"
    )]
    #[case::unit(
        "{ duration > 5x }",
        "parse error at line 1, col 14: syntax error: \"5x\" is not a number"
    )]
    #[case::sign(
        "{\n ; }",
        "parse error at line 2, col 2: syntax error: unexpected character ';'"
    )]
    fn what_is_no_word_is_refused_with_its_place(#[case] text: &str, #[case] message: &str) {
        assert_eq!(tokens(text).unwrap_err().to_string(), message);
    }
}
