//! The last block of a k6 pod's log: how k6 ended, what it used, and its
//! summary, framed and checksummed, because a log may be cut off anywhere.
//!
//! ```text
//! tempo-perf/frame begin BYTES SHA256
//! exit=0 wall_centiseconds=1234 cpu_before=0m0.01s,0m0.02s cpu=0m1.02s,0m0.31s max_memory_bytes=73400320
//! {…the summary…}
//! tempo-perf/frame end
//! ```

use std::time::Duration;

use sha2::{Digest as _, Sha256};

const BEGIN: &str = "tempo-perf/frame begin ";
const END: &str = "tempo-perf/frame end";

/// What the frame holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub exit_code: i32,
    pub wall: Duration,
    /// User and system time of k6.
    pub cpu: Duration,
    /// Most memory that the pod's container had; 0 where its cgroup does not tell.
    pub max_memory_bytes: u64,
    /// Absent when k6 wrote none.
    pub summary: Option<String>,
}

/// Takes the frame out of a log that comes line by line.
#[derive(Debug, Default)]
pub struct FrameReader {
    begun: Option<Header>,
    content: String,
    ended: bool,
}

#[derive(Debug)]
struct Header {
    bytes: usize,
    sha256: String,
}

/// Why there is no block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenFrame {
    #[error("its log ends without the summary's frame")]
    Missing,
    #[error("its log ends within the summary, after {found} of {expected} bytes")]
    CutOff { found: usize, expected: usize },
    #[error("the summary in its log does not match its checksum: something else wrote into it")]
    Altered,
    #[error("the summary's frame makes no sense: {0}")]
    Unreadable(String),
}

impl FrameReader {
    /// Takes a line of the log, without its end; returns it unless it is of the
    /// frame.
    pub fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if self.ended {
            return Some(line);
        }
        if self.begun.is_some() {
            if line == END {
                self.ended = true;
            } else {
                self.content.push_str(line);
                self.content.push('\n');
            }
            return None;
        }
        let Some(rest) = line.strip_prefix(BEGIN) else {
            return Some(line);
        };
        let (bytes, sha256) = rest.split_once(' ').unwrap_or((rest, ""));
        self.begun = Some(Header {
            bytes: bytes.parse().unwrap_or(usize::MAX),
            sha256: sha256.trim().to_string(),
        });
        None
    }

    pub fn is_complete(&self) -> bool {
        self.ended
    }

    pub fn finish(self) -> Result<Block, BrokenFrame> {
        let Some(header) = self.begun else {
            return Err(BrokenFrame::Missing);
        };
        if !self.ended {
            return Err(BrokenFrame::CutOff {
                found: self.content.len(),
                expected: header.bytes,
            });
        }
        let sum: String = Sha256::digest(self.content.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if self.content.len() != header.bytes || sum != header.sha256 {
            return Err(BrokenFrame::Altered);
        }
        block(&self.content)
    }
}

fn block(content: &str) -> Result<Block, BrokenFrame> {
    let (first, rest) = content.split_once('\n').unwrap_or((content, ""));
    let unreadable = || BrokenFrame::Unreadable(first.chars().take(200).collect());
    let value = |key: &str| {
        first
            .split(' ')
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    let number = |key: &str| value(key)?.parse::<u64>().ok();
    let times = |key: &str| {
        value(key)?
            .split(',')
            .map(shell_time)
            .try_fold(Duration::ZERO, |sum, time| Some(sum + time?))
    };
    // What the pod used while it waited is not k6's.
    let cpu = times("cpu").zip(times("cpu_before"));
    let cpu = cpu.map(|(after, before)| after.saturating_sub(before));
    let exit_code = value("exit").and_then(|code| code.parse().ok());
    Ok(Block {
        exit_code: exit_code.ok_or_else(unreadable)?,
        wall: Duration::from_millis(10 * number("wall_centiseconds").ok_or_else(unreadable)?),
        cpu: cpu.ok_or_else(unreadable)?,
        max_memory_bytes: number("max_memory_bytes").ok_or_else(unreadable)?,
        summary: (!rest.trim().is_empty()).then(|| rest.to_string()),
    })
}

/// `1m2.34s`, as the shell's `times` writes it.
fn shell_time(text: &str) -> Option<Duration> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    let seconds = 60.0 * minutes.parse::<f64>().ok()? + seconds.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const USAGE: &str = "exit=99 wall_centiseconds=1234 cpu_before=0m0.01s,0m0.02s \
                         cpu=1m1.02s,0m0.31s max_memory_bytes=7";

    fn framed(content: &str) -> Vec<String> {
        let sum: String = Sha256::digest(content.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut lines = vec!["running (0m01.0s)".to_string()];
        lines.push(format!("{BEGIN}{} {sum}", content.len()));
        lines.extend(content.lines().map(str::to_owned));
        lines.push(END.to_string());
        lines
    }

    fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> (Vec<&'a str>, FrameReader) {
        let mut reader = FrameReader::default();
        let rest = lines
            .into_iter()
            .filter_map(|line| reader.take(line))
            .collect();
        (rest, reader)
    }

    #[test]
    fn a_whole_frame_gives_usage_and_summary_and_is_not_in_the_log() {
        let lines = framed(&format!("{USAGE}\n{{\n \"state\": 1\n}}\n"));
        let (rest, reader) = read(lines.iter().map(String::as_str));
        assert_eq!(rest, ["running (0m01.0s)"]);
        assert_eq!(
            reader.finish(),
            Ok(Block {
                exit_code: 99,
                wall: Duration::from_millis(12_340),
                cpu: Duration::from_millis(61_300),
                max_memory_bytes: 7,
                summary: Some("{\n \"state\": 1\n}\n".into()),
            })
        );
    }

    #[test]
    fn a_k6_that_wrote_no_summary_still_tells_how_it_ended() {
        let lines = framed(&format!("{USAGE}\n"));
        let (_, reader) = read(lines.iter().map(String::as_str));
        let block = reader.finish().expect("the frame is whole");
        assert_eq!((block.exit_code, block.summary), (99, None));
    }

    #[rstest]
    #[case::no_frame(0..1, BrokenFrame::Missing)]
    #[case::cut_within(0..4, BrokenFrame::CutOff { found: 99, expected: 113 })]
    #[case::no_end(0..6, BrokenFrame::CutOff { found: 113, expected: 113 })]
    fn a_log_that_ends_early_is_told(
        #[case] lines: std::ops::Range<usize>,
        #[case] expected: BrokenFrame,
    ) {
        let all = framed(&format!("{USAGE}\n{{\n \"state\": 1\n}}\n"));
        let (_, reader) = read(all[lines].iter().map(String::as_str));
        assert_eq!(reader.finish(), Err(expected));
    }

    #[test]
    fn a_line_of_others_within_the_frame_breaks_it() {
        let mut lines = framed(&format!("{USAGE}\n{{}}\n"));
        lines.insert(3, "level=warn msg=late".into());
        let (_, reader) = read(lines.iter().map(String::as_str));
        assert_eq!(reader.finish(), Err(BrokenFrame::Altered));
    }
}
