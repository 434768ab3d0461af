//! A query after parsing.

use std::fmt;

use regex::Regex;

use super::value::{Type, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `.x`: the span, else its resource, else its instrumentation scope.
    Any,
    Span,
    Resource,
    Event,
    Instrumentation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intrinsic {
    Name,
    Status,
    StatusMessage,
    Kind,
    Duration,
    SpanId,
    ParentId,
    TraceId,
    TraceDuration,
    RootName,
    RootService,
    EventName,
    ScopeName,
    ScopeVersion,
    /// Only whether a span is a root: see `check`.
    NestedSetParent,
}

impl Intrinsic {
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "name" | "span:name" => Self::Name,
            "status" | "span:status" => Self::Status,
            "statusMessage" | "span:statusMessage" => Self::StatusMessage,
            "kind" | "span:kind" => Self::Kind,
            "duration" | "span:duration" => Self::Duration,
            "span:id" => Self::SpanId,
            "span:parentID" => Self::ParentId,
            "trace:id" => Self::TraceId,
            "traceDuration" | "trace:duration" => Self::TraceDuration,
            "rootName" | "trace:rootName" => Self::RootName,
            "rootServiceName" | "trace:rootService" => Self::RootService,
            "event:name" => Self::EventName,
            "instrumentation:name" => Self::ScopeName,
            "instrumentation:version" => Self::ScopeVersion,
            "nestedSetParent" => Self::NestedSetParent,
            _ => return None,
        })
    }

    /// The name in messages and in the attributes of found spans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Status => "status",
            Self::StatusMessage => "statusMessage",
            Self::Kind => "kind",
            Self::Duration => "duration",
            Self::SpanId => "span:id",
            Self::ParentId => "span:parentID",
            Self::TraceId => "trace:id",
            Self::TraceDuration => "traceDuration",
            Self::RootName => "rootName",
            Self::RootService => "rootServiceName",
            Self::EventName => "event:name",
            Self::ScopeName => "instrumentation:name",
            Self::ScopeVersion => "instrumentation:version",
            Self::NestedSetParent => "nestedSetParent",
        }
    }

    pub fn value_type(self) -> Type {
        match self {
            Self::Status => Type::Status,
            Self::Kind => Type::Kind,
            Self::Duration | Self::TraceDuration | Self::NestedSetParent => Type::Number,
            _ => Type::Text,
        }
    }

    /// Whether a found span carries the value among its attributes. Times and
    /// names have places of their own, and a trace's values are shown once.
    pub fn is_shown(self) -> bool {
        !matches!(
            self,
            Self::Name
                | Self::Duration
                | Self::SpanId
                | Self::TraceId
                | Self::TraceDuration
                | Self::RootName
                | Self::RootService
        )
    }
}

/// What a query can ask of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Intrinsic(Intrinsic),
    Named { scope: Scope, name: String },
}

impl Attribute {
    /// The key among the attributes of a found span.
    pub fn key(&self) -> &str {
        match self {
            Self::Intrinsic(intrinsic) => intrinsic.name(),
            Self::Named { name, .. } => name,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intrinsic(intrinsic) => f.write_str(intrinsic.name()),
            Self::Named { scope, name } => {
                let scope = match scope {
                    Scope::Any => "",
                    Scope::Span => "span",
                    Scope::Resource => "resource",
                    Scope::Event => "event",
                    Scope::Instrumentation => "instrumentation",
                };
                write!(f, "{scope}.{name}")
            }
        }
    }
}

#[derive(Debug, Clone)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The whole value matches.
    Matches(Regex),
    NotMatches(Regex),
}

impl Comparison {
    /// For types that have no order.
    pub fn of_equality(&self, equal: bool) -> bool {
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
            _ => false,
        }
    }

    /// The operator with its sides swapped; a pattern stays on its side.
    pub fn flipped(&self) -> Option<Self> {
        Some(match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Matches(_) | Self::NotMatches(_) => return None,
        })
    }

    pub fn symbol(&self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Matches(_) => "=~",
            Self::NotMatches(_) => "!~",
        }
    }
}

#[derive(Debug, Clone)]
pub enum Operand {
    Value(Value<'static>),
    Attribute(Attribute),
}

impl Operand {
    pub fn value_type(&self) -> Type {
        match self {
            Self::Value(value) => value.kind(),
            Self::Attribute(Attribute::Intrinsic(intrinsic)) => intrinsic.value_type(),
            Self::Attribute(Attribute::Named { .. }) => Type::Any,
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Attribute(attribute) => attribute.fmt(f),
        }
    }
}

/// A condition on one span.
#[derive(Debug, Clone)]
pub enum Condition {
    Always,
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Compare {
        left: Operand,
        op: Comparison,
        right: Operand,
    },
    /// A Boolean alone: `{ true }`, `{ .ok }`.
    Holds(Operand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `>`: the right is a child of the left.
    Child,
    /// `<`
    Parent,
    /// `>>`
    Descendant,
    /// `<<`
    Ancestor,
    /// `~`
    Sibling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The right spans that have the relation.
    Right,
    /// The right spans that do not (`!>`).
    RightWithout,
    /// The spans of both sides that have it (`&>`).
    Both,
}

/// Spans of one trace.
#[derive(Debug, Clone)]
pub enum SpansetExpr {
    Filter(Condition),
    And(Box<SpansetExpr>, Box<SpansetExpr>),
    Or(Box<SpansetExpr>, Box<SpansetExpr>),
    Related {
        left: Box<SpansetExpr>,
        relation: Relation,
        keep: Keep,
        right: Box<SpansetExpr>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Count,
    Average,
    Minimum,
    Maximum,
    Sum,
}

impl Function {
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Average => "avg",
            Self::Minimum => "min",
            Self::Maximum => "max",
            Self::Sum => "sum",
        }
    }
}

#[derive(Debug, Clone)]
pub enum Stage {
    Spans(SpansetExpr),
    Aggregate {
        function: Function,
        of: Option<Attribute>,
        op: Comparison,
        value: Value<'static>,
    },
    Select(Vec<Attribute>),
    By(Attribute),
    Coalesce,
}

#[derive(Debug, Clone)]
pub struct Query {
    pub spans: SpansetExpr,
    pub stages: Vec<Stage>,
}

impl Query {
    /// The attributes that the query names, in its order, each once: a found
    /// span shows their values.
    pub fn attributes(&self) -> Vec<&Attribute> {
        let mut all = Vec::new();
        self.spans.collect(&mut all);
        for stage in &self.stages {
            match stage {
                Stage::Spans(spans) => spans.collect(&mut all),
                Stage::Aggregate { of, .. } => all.extend(of),
                Stage::Select(attributes) => all.extend(attributes),
                Stage::By(attribute) => all.push(attribute),
                Stage::Coalesce => {}
            }
        }
        let mut once: Vec<&Attribute> = Vec::new();
        for attribute in all {
            if !once.contains(&attribute) {
                once.push(attribute);
            }
        }
        once
    }
}

impl SpansetExpr {
    fn collect<'a>(&'a self, all: &mut Vec<&'a Attribute>) {
        match self {
            Self::Filter(condition) => condition.collect(all),
            Self::And(left, right) | Self::Or(left, right) | Self::Related { left, right, .. } => {
                left.collect(all);
                right.collect(all);
            }
        }
    }
}

impl Condition {
    pub fn collect<'a>(&'a self, all: &mut Vec<&'a Attribute>) {
        let mut operand = |operand: &'a Operand| {
            if let Operand::Attribute(attribute) = operand {
                all.push(attribute);
            }
        };
        match self {
            Self::Always => {}
            Self::And(left, right) | Self::Or(left, right) => {
                left.collect(all);
                right.collect(all);
            }
            Self::Compare { left, right, .. } => {
                operand(left);
                operand(right);
            }
            Self::Holds(one) => operand(one),
        }
    }
}
