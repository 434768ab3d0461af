//! From words to a query. As in Tempo `&&` and `||` bind alike, from left to
//! right, and relations bind tighter.

use regex::Regex;

use super::QueryError;
use super::ast::{
    Attribute, Comparison, Condition, Function, Intrinsic, Keep, Operand, Query, Relation, Scope,
    SpansetExpr, Stage,
};
use super::check;
use super::lexer::{Place, Token, tokens};
use super::value::{Kind, Status, Value};

/// Brackets within brackets; a query beyond would overflow the stack.
const MAX_DEPTH: usize = 100;

/// What Tempo knows and this store does not answer.
const UNSUPPORTED_WORDS: [&str; 8] = [
    "parent",
    "childCount",
    "span:childCount",
    "nestedSetLeft",
    "nestedSetRight",
    "event:timeSinceStart",
    "link:spanID",
    "link:traceID",
];
const UNSUPPORTED_STAGES: [&str; 9] = [
    "rate",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "avg_over_time",
    "sum_over_time",
    "quantile_over_time",
    "histogram_over_time",
    "compare",
];

/// Reads and checks a query.
///
/// # Errors
/// What Tempo would refuse, and what this store does not answer.
pub fn parse(query: &str) -> Result<Query, QueryError> {
    let mut parser = Parser::new(query)?;
    let query = parser.query()?;
    check::query(&query)?;
    Ok(query)
}

/// Reads an attribute alone, as in a look-up of its values.
pub fn parse_attribute(text: &str) -> Result<Attribute, QueryError> {
    let mut parser = Parser::new(text)?;
    let attribute = parser.attribute()?;
    parser.end()?;
    Ok(attribute)
}

struct Parser {
    tokens: Vec<(Token, Place)>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Self, QueryError> {
        Ok(Self {
            tokens: tokens(text)?,
            next: 0,
            depth: 0,
        })
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn place(&self) -> Place {
        self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn accept(&mut self, sign: &'static str) -> bool {
        let found = *self.peek() == Token::Sign(sign);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), QueryError> {
        if self.accept(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn end(&self) -> Result<(), QueryError> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> QueryError {
        self.place().error(format!(
            "syntax error: unexpected {}",
            self.peek().describe()
        ))
    }

    fn unsupported(&self, what: &str) -> QueryError {
        self.place()
            .error(format!("this trace store does not support {what}"))
    }

    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.unsupported("brackets nested this deeply"));
        }
        Ok(())
    }

    fn query(&mut self) -> Result<Query, QueryError> {
        let spans = self.spanset()?;
        let mut stages = Vec::new();
        while self.accept("|") {
            stages.push(self.stage()?);
        }
        if *self.peek() == Token::Word("with".into()) {
            self.hints()?;
        }
        self.end()?;
        Ok(Query { spans, stages })
    }

    /// `with (most_recent=true)`, which is what a search here does anyway.
    fn hints(&mut self) -> Result<(), QueryError> {
        self.advance();
        self.expect("(")?;
        loop {
            match self.peek() {
                Token::Word(word) if word == "most_recent" => self.advance(),
                Token::Word(word) => return Err(self.unsupported(&format!("the hint {word}"))),
                _ => return Err(self.unexpected()),
            };
            self.expect("=")?;
            match self.peek() {
                Token::Word(word) if word == "true" || word == "false" => self.advance(),
                _ => return Err(self.unexpected()),
            };
            if !self.accept(",") {
                return self.expect(")");
            }
        }
    }

    fn spanset(&mut self) -> Result<SpansetExpr, QueryError> {
        let mut left = self.related()?;
        loop {
            if self.accept("&&") {
                left = SpansetExpr::And(Box::new(left), Box::new(self.related()?));
            } else if self.accept("||") {
                left = SpansetExpr::Or(Box::new(left), Box::new(self.related()?));
            } else {
                return Ok(left);
            }
        }
    }

    fn related(&mut self) -> Result<SpansetExpr, QueryError> {
        let mut left = self.spanset_term()?;
        while let Token::Sign(sign) = self.peek()
            && let Some((relation, keep)) = relation(sign)
        {
            self.advance();
            left = SpansetExpr::Related {
                left: Box::new(left),
                relation,
                keep,
                right: Box::new(self.spanset_term()?),
            };
        }
        Ok(left)
    }

    fn spanset_term(&mut self) -> Result<SpansetExpr, QueryError> {
        if self.accept("(") {
            self.deeper()?;
            let inner = self.spanset()?;
            if *self.peek() == Token::Sign("|") {
                return Err(self.unsupported("pipelines in brackets"));
            }
            self.expect(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        self.expect("{")?;
        if self.accept("}") {
            return Ok(SpansetExpr::Filter(Condition::Always));
        }
        let condition = self.condition()?;
        self.expect("}")?;
        Ok(SpansetExpr::Filter(condition))
    }

    fn condition(&mut self) -> Result<Condition, QueryError> {
        let mut left = self.term()?;
        loop {
            if self.accept("&&") {
                left = Condition::And(Box::new(left), Box::new(self.term()?));
            } else if self.accept("||") {
                left = Condition::Or(Box::new(left), Box::new(self.term()?));
            } else {
                return Ok(left);
            }
        }
    }

    fn term(&mut self) -> Result<Condition, QueryError> {
        if self.accept("(") {
            self.deeper()?;
            let inner = self.condition()?;
            self.expect(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        let left = self.operand()?;
        self.no_arithmetic()?;
        if let Token::Sign("}" | ")" | "&&" | "||") = self.peek() {
            return Ok(Condition::Holds(left));
        }
        let place = self.place();
        let sign = self.comparison_sign()?;
        let right = self.operand()?;
        self.no_arithmetic()?;
        let op = comparison(sign, &right, place)?;
        Ok(Condition::Compare { left, op, right })
    }

    fn no_arithmetic(&self) -> Result<(), QueryError> {
        match self.peek() {
            Token::Sign(sign @ ("+" | "-" | "*" | "/" | "%" | "^")) => {
                Err(self.unsupported(&format!("arithmetic ({sign})")))
            }
            _ => Ok(()),
        }
    }

    fn comparison_sign(&mut self) -> Result<&'static str, QueryError> {
        match self.peek() {
            Token::Sign(sign @ ("=" | "!=" | "<" | "<=" | ">" | ">=" | "=~" | "!~")) => {
                let sign = *sign;
                self.next += 1;
                Ok(sign)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn operand(&mut self) -> Result<Operand, QueryError> {
        if *self.peek() == Token::Sign("!") {
            return Err(self.unsupported("negation of a condition (!)"));
        }
        match self.value()? {
            Some(value) => Ok(Operand::Value(value)),
            None => self.attribute().map(Operand::Attribute),
        }
    }

    /// A value written in the query, if one comes next.
    fn value(&mut self) -> Result<Option<Value<'static>>, QueryError> {
        let negative = *self.peek() == Token::Sign("-");
        if negative {
            self.advance();
        }
        let sign = if negative { -1 } else { 1 };
        let value = match self.peek() {
            Token::Int(value) => Value::Int(sign * value),
            Token::Float(value) => Value::Float(sign as f64 * value),
            Token::Duration(nanos) => Value::Duration(sign * nanos),
            _ if negative => return Err(self.unexpected()),
            Token::Text(text) => Value::Text(text.clone().into()),
            Token::Word(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "nil" => Value::Nil,
                word => {
                    let status = Status::from_name(word).map(Value::Status);
                    let value = status.or_else(|| Kind::from_name(word).map(Value::Kind));
                    let Some(value) = value else { return Ok(None) };
                    value
                }
            },
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(value))
    }

    fn attribute(&mut self) -> Result<Attribute, QueryError> {
        let attribute = match self.peek() {
            Token::Word(word) => match Intrinsic::from_name(word) {
                Some(intrinsic) => Attribute::Intrinsic(intrinsic),
                None if UNSUPPORTED_WORDS.contains(&word.as_str()) => {
                    return Err(self.unsupported(word));
                }
                None => return Err(self.place().error(format!("unknown identifier: {word}"))),
            },
            Token::Attribute { scope, name } => {
                let scope = match scope.as_str() {
                    "" => Scope::Any,
                    "span" => Scope::Span,
                    "resource" => Scope::Resource,
                    "event" => Scope::Event,
                    "instrumentation" => Scope::Instrumentation,
                    other => return Err(self.unsupported(&format!("the scope {other}"))),
                };
                Attribute::Named {
                    scope,
                    name: name.clone(),
                }
            }
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(attribute)
    }

    fn stage(&mut self) -> Result<Stage, QueryError> {
        let word = match self.peek() {
            Token::Sign("{" | "(") => return self.spanset().map(Stage::Spans),
            Token::Word(word) => word.clone(),
            _ => return Err(self.unexpected()),
        };
        let function = match word.as_str() {
            "count" => Function::Count,
            "avg" => Function::Average,
            "min" => Function::Minimum,
            "max" => Function::Maximum,
            "sum" => Function::Sum,
            "select" => {
                self.advance();
                return self.arguments().map(Stage::Select);
            }
            "by" => {
                self.advance();
                self.expect("(")?;
                let attribute = self.attribute()?;
                self.expect(")")?;
                return Ok(Stage::By(attribute));
            }
            "coalesce" => {
                self.advance();
                self.expect("(")?;
                self.expect(")")?;
                return Ok(Stage::Coalesce);
            }
            word if UNSUPPORTED_STAGES.contains(&word) => {
                return Err(self.unsupported(&format!("metrics ({word})")));
            }
            _ => return Err(self.unexpected()),
        };
        self.advance();
        self.expect("(")?;
        let of = if function == Function::Count {
            None
        } else {
            Some(self.attribute()?)
        };
        self.expect(")")?;
        self.no_arithmetic()?;
        let place = self.place();
        let sign = self.comparison_sign()?;
        let value = match self.peek() {
            Token::Int(_) | Token::Float(_) | Token::Duration(_) | Token::Sign("-") => {
                self.value()?.unwrap_or(Value::Nil)
            }
            _ => return Err(self.unexpected()),
        };
        self.no_arithmetic()?;
        let op = comparison(sign, &Operand::Value(value.clone()), place)?;
        Ok(Stage::Aggregate {
            function,
            of,
            op,
            value,
        })
    }

    fn arguments(&mut self) -> Result<Vec<Attribute>, QueryError> {
        self.expect("(")?;
        let mut all = vec![self.attribute()?];
        while self.accept(",") {
            all.push(self.attribute()?);
        }
        self.expect(")")?;
        Ok(all)
    }
}

fn relation(sign: &str) -> Option<(Relation, Keep)> {
    let (keep, relation) = match sign {
        // Between spansets the sign of a regex that does not match means this.
        "!~" => (Keep::RightWithout, "~"),
        _ => match sign.split_at_checked(1) {
            Some(("!", rest)) => (Keep::RightWithout, rest),
            Some(("&", rest)) => (Keep::Both, rest),
            _ => (Keep::Right, sign),
        },
    };
    let relation = match relation {
        ">" => Relation::Child,
        "<" => Relation::Parent,
        ">>" => Relation::Descendant,
        "<<" => Relation::Ancestor,
        "~" => Relation::Sibling,
        _ => return None,
    };
    Some((relation, keep))
}

fn comparison(sign: &str, right: &Operand, place: Place) -> Result<Comparison, QueryError> {
    let regex = || -> Result<Regex, QueryError> {
        let Operand::Value(Value::Text(pattern)) = right else {
            return Err(QueryError::Invalid(format!(
                "invalid type for =~ or !~: {right}"
            )));
        };
        Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|_| QueryError::Invalid(format!("invalid regex: `{pattern}`")))
    };
    Ok(match sign {
        "=" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "=~" => Comparison::Matches(regex()?),
        "!~" => Comparison::NotMatches(regex()?),
        other => return Err(place.error(format!("syntax error: unexpected {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty_filter("{}")]
    #[case::condition("{ resource.service.name = \"a\" && duration > 10ms }")]
    #[case::brackets("({ (name = `a` || kind = server) && .ok })")]
    #[case::relations("{ status = error } >> { } !< { } &~ { }")]
    #[case::pipeline("{ } | { name = \"a\" } | count() > 5 | avg(duration) >= 1.5ms")]
    #[case::select("{ } | select(span.url.path, name, status)")]
    #[case::by("{ } | by(resource.service.name) | count() > 1 | coalesce()")]
    #[case::hint("{ } with (most_recent=true)")]
    #[case::root("{ nestedSetParent < 0 }")]
    #[case::nil("{ span.a != nil }")]
    #[case::negative("{ .a = -5 }")]
    #[case::swapped("{ 5 < .a }")]
    fn a_query_that_the_store_answers_is_read(#[case] query: &str) {
        parse(query).unwrap();
    }

    // The first eleven as Tempo 3.0.3 words them.
    #[rstest]
    #[case(
        "{ resource.service.name = ",
        "parse error at line 1, col 27: syntax error: unexpected $end"
    )]
    #[case(
        "{ nonsense > 3 }",
        "parse error at line 1, col 3: unknown identifier: nonsense"
    )]
    #[case(
        "{ bogus:x = \"a\" }",
        "parse error at line 1, col 3: unknown identifier: bogus"
    )]
    #[case(
        "{ name = \"a\" || }",
        "parse error at line 1, col 17: syntax error: unexpected }"
    )]
    #[case(
        "{ duration > \"x\" }",
        "binary operations must operate on the same type: duration > `x`"
    )]
    #[case(
        "{ status > error }",
        "illegal operation for the given types: status > error"
    )]
    #[case(
        "{ kind = \"server\" }",
        "binary operations must operate on the same type: kind = `server`"
    )]
    #[case(
        "{ rootServiceName = nil }",
        "rootServiceName=nil is not valid because intrinsics cannot be nil"
    )]
    #[case("{ name =~ \"(\" }", "invalid regex: `(`")]
    #[case("{ span.foo =~ .bar }", "invalid type for =~ or !~: .bar")]
    #[case(
        "{ \"a\" }",
        "span filter field expressions must resolve to a boolean: { `a` }"
    )]
    #[case(
        "{ } | avg(name) > 1",
        "aggregate field expressions must resolve to a number type: avg(name)"
    )]
    #[case(
        "{ } | count()",
        "parse error at line 1, col 14: syntax error: unexpected $end"
    )]
    #[case(
        "{ } | count() > \"x\"",
        "parse error at line 1, col 17: syntax error: unexpected STRING"
    )]
    #[case(
        "{ name = \"a\" } }",
        "parse error at line 1, col 16: syntax error: unexpected }"
    )]
    #[case("", "parse error at line 1, col 1: syntax error: unexpected $end")]
    #[case(
        "{ } | rate()",
        "parse error at line 1, col 7: this trace store does not support metrics (rate)"
    )]
    #[case(
        "{ !.a }",
        "parse error at line 1, col 3: this trace store does not support negation of a condition (!)"
    )]
    #[case(
        "{ duration > 1s + 2s }",
        "parse error at line 1, col 17: this trace store does not support arithmetic (+)"
    )]
    #[case(
        "{ parent.name = \"a\" }",
        "parse error at line 1, col 3: this trace store does not support the scope parent"
    )]
    #[case(
        "{ link:spanID = \"a\" }",
        "parse error at line 1, col 3: this trace store does not support link:spanID"
    )]
    #[case(
        "({ } | count() > 1) && { }",
        "parse error at line 1, col 6: this trace store does not support pipelines in brackets"
    )]
    #[case(
        "{ nestedSetParent = 3 }",
        "this trace store supports nestedSetParent only as nestedSetParent < 0"
    )]
    fn what_the_store_does_not_answer_is_refused(#[case] query: &str, #[case] message: &str) {
        assert_eq!(parse(query).unwrap_err().to_string(), message);
    }

    #[test]
    fn brackets_without_end_are_refused_and_do_not_overflow() {
        let error = parse(&format!("{{ {}", "(".repeat(100_000))).unwrap_err();
        assert!(error.to_string().contains("nested this deeply"), "{error}");
    }
}
