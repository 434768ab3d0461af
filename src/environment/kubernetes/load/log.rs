//! Following a container's log from its first line to its last, over broken
//! connections: no line is lost, none comes twice.

use jiff::Timestamp;

/// Where a log was read to. Lines come with the time at which the kubelet took
/// them; a log is asked for again from a whole second, and what was read of
/// that second before is passed over.
#[derive(Debug, Default)]
pub struct Position {
    last: Option<Timestamp>,
    /// Lines read of the time `last`.
    at_last: usize,
    /// Lines of that time to pass over, since the log was asked for again.
    to_skip: usize,
}

impl Position {
    /// From when to ask for the log again; from its beginning when nothing was
    /// read yet.
    pub fn resume(&mut self) -> Option<Timestamp> {
        self.to_skip = self.at_last;
        self.last
    }

    /// The text of `line`, which begins with its time; none when it was read
    /// before.
    pub fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        let Ok(time) = time.parse::<Timestamp>() else {
            // Not a line of a container: a message of the kubelet itself.
            return Some(line);
        };
        match self.last {
            Some(last) if time < last => return None,
            Some(last) if time == last => {
                if self.to_skip > 0 {
                    self.to_skip -= 1;
                    return None;
                }
                self.at_last += 1;
            }
            _ => {
                self.last = Some(time);
                self.at_last = 1;
                self.to_skip = 0;
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: [&str; 4] = [
        "2026-11-24T10:00:00.100000000Z one",
        "2026-11-24T10:00:00.200000000Z two",
        "2026-11-24T10:00:00.200000000Z two",
        "2026-11-24T10:00:01.000000000Z three",
    ];

    #[test]
    fn a_log_that_is_read_again_gives_each_line_once() {
        let mut position = Position::default();
        assert_eq!(position.resume(), None);
        let read: Vec<&str> = FIRST[..2]
            .iter()
            .filter_map(|line| position.take(line))
            .collect();
        assert_eq!(read, ["one", "two"]);
        let from = position.resume().expect("there is a place");
        assert_eq!(from.as_second() % 60, 0);
        // The server begins with the whole second.
        let read: Vec<&str> = FIRST
            .iter()
            .filter_map(|line| position.take(line))
            .collect();
        assert_eq!(read, ["two", "three"], "the second line of one time is new");
    }

    #[test]
    fn an_empty_line_is_a_line_and_words_of_the_kubelet_stay() {
        let mut position = Position::default();
        assert_eq!(position.take("2026-11-24T10:00:00.1Z "), Some(""));
        assert_eq!(position.take("2026-11-24T10:00:00.2Z"), Some(""));
        assert_eq!(
            position.take("unable to retrieve container logs"),
            Some("unable to retrieve container logs")
        );
    }
}
