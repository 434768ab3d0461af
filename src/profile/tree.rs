//! A YAML document as a tree that knows its places. serde reads values but
//! not places, and stops at its first mistake; so the structure is checked here.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde::de::DeserializeOwned;

use super::Position;

/// Nesting that no profile needs; it bounds what a hostile file can cost.
const DEEPEST: usize = 16;
const TOO_DEEP: (&str, &str) = ("lists and mappings nested too deep", "at most 16 levels");

#[derive(Debug)]
pub struct Node {
    pub at: Position,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys may be anything and may repeat: the check says so.
    Map(Vec<(Node, Node)>),
    /// Already reported.
    Refused,
}

/// What is wrong with the file as YAML, or uses what profiles do without.
#[derive(Debug)]
pub struct Problem {
    pub at: Position,
    pub key: String,
    pub found: String,
    pub expected: String,
}

/// A scalar as serde reads it.
#[derive(Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool,
    Number(serde_yaml::Number),
    Text,
}

/// Reads YAML into values: the only place that knows which crate does it.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml::Error> {
    serde_yaml::from_str(text)
}

impl Node {
    /// How serde will read a scalar; none for lists and mappings.
    pub fn scalar(&self) -> Option<Scalar> {
        let Content::Scalar { text, plain } = &self.content else {
            return None;
        };
        if !plain {
            return Some(Scalar::Text);
        }
        Some(match read::<serde_yaml::Value>(text) {
            Ok(serde_yaml::Value::Null) => Scalar::Null,
            Ok(serde_yaml::Value::Bool(_)) => Scalar::Bool,
            Ok(serde_yaml::Value::Number(number)) => Scalar::Number(number),
            _ => Scalar::Text,
        })
    }

    /// The text of a scalar that has a value.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } if self.scalar() != Some(Scalar::Null) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self.scalar()? {
            Scalar::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map(|(_, value)| value)
    }

    /// What stands here, for a message.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
            Content::Refused => "an alias".to_owned(),
            Content::Scalar { text, plain } => match self.scalar() {
                Some(Scalar::Null) => "no value".to_owned(),
                // 1e999 is text to serde, but the user wrote a number.
                Some(Scalar::Bool | Scalar::Number(_)) => shortened(text),
                _ if *plain && text.parse::<f64>().is_ok() => shortened(text),
                _ => format!("{:?}", shortened(text)),
            },
        }
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An open list or mapping.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<Node>,
}

/// Reads `text` into a tree; none when there is no document or it is not YAML.
pub fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let going_on = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                builder.problems.push(not_yaml(text, &error));
                builder.root = None;
                false
            }
        };
        if !going_on {
            break;
        }
    }
    (builder.root, builder.problems)
}

#[derive(Default)]
struct Builder {
    documents: usize,
    open: Vec<Open>,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl Builder {
    /// Adds an event; false when the rest of the file would not help.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let at = position(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.refuse(
                        at,
                        "a second document",
                        "one profile in a file, without a second ---",
                    );
                    return false;
                }
            }
            Event::Alias(_) => {
                self.refuse(
                    at,
                    "an alias (*)",
                    "the values themselves: profiles have no anchors and aliases",
                );
                self.place(Node {
                    at,
                    content: Content::Refused,
                });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_yaml(at, anchor, tag.is_some());
                let plain = matches!(style, ScalarStyle::Plain);
                let at = match self.open.last() {
                    // An empty value has no place of its own.
                    Some(Open { key: Some(key), .. }) if plain && text.is_empty() => key.at,
                    _ => at,
                };
                self.place(Node {
                    at,
                    content: Content::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                });
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_yaml(at, anchor, tag.is_some());
                return self.open(Node {
                    at,
                    content: Content::List(Vec::new()),
                });
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_yaml(at, anchor, tag.is_some());
                return self.open(Node {
                    at,
                    content: Content::Map(Vec::new()),
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(done) = self.open.pop() {
                    self.place(done.node);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn open(&mut self, node: Node) -> bool {
        if self.open.len() == DEEPEST {
            self.refuse(node.at, TOO_DEEP.0, TOO_DEEP.1);
            return false;
        }
        self.open.push(Open { node, key: None });
        true
    }

    fn place(&mut self, node: Node) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.node.content {
            Content::List(items) => items.push(node),
            Content::Map(entries) => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => entries.push((key, node)),
            },
            Content::Scalar { .. } | Content::Refused => {}
        }
    }

    fn plain_yaml(&mut self, at: Position, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.refuse(
                at,
                "an anchor (&)",
                "the values written out: profiles have no anchors and aliases",
            );
        }
        if tagged {
            self.refuse(at, "a YAML tag (!)", "the value without it");
        }
    }

    fn refuse(&mut self, at: Position, found: &str, expected: &str) {
        let mut key = String::new();
        for open in &self.open {
            match (&open.node.content, open.key.as_ref().and_then(Node::text)) {
                (Content::List(items), _) => key.push_str(&format!("[{}]", items.len())),
                (_, Some(name)) if key.is_empty() => key.push_str(name),
                (_, Some(name)) => key.push_str(&format!(".{name}")),
                _ => {}
            }
        }
        self.problems.push(Problem {
            at,
            key,
            found: found.to_owned(),
            expected: expected.to_owned(),
        });
    }
}

fn position(line: usize, column_from_zero: usize) -> Position {
    Position {
        line,
        column: column_from_zero + 1,
    }
}

fn not_yaml(text: &str, error: &ScanError) -> Problem {
    let marker = error.marker();
    syntax(text, position(marker.line(), marker.col()), error.info())
}

/// A mistake of syntax. The parsers' words for a tab do not help, so a tab
/// near the place is named as what it is.
pub fn syntax(text: &str, at: Position, info: &str) -> Problem {
    let tab = text
        .lines()
        .enumerate()
        .skip(at.line.saturating_sub(2))
        .take(3)
        .find_map(|(index, line)| {
            let indent = &line[..line.len() - line.trim_start().len()];
            let before = indent.find('\t')?;
            Some(position(index + 1, indent[..before].chars().count()))
        });
    let (at, found, expected) = match tab {
        Some(at) => (at, "a tab in the indentation".to_owned(), "spaces"),
        None if info.starts_with("recursion limit") => (at, TOO_DEEP.0.to_owned(), TOO_DEEP.1),
        None => (
            at,
            format!("what is not YAML ({info})"),
            "keys and values such as \"name: small\"",
        ),
    };
    Problem {
        at,
        key: String::new(),
        found,
        expected: expected.to_owned(),
    }
}
