//! Kubernetes' own words, cut to a line or two.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Event};
use nix::sys::signal::Signal;

/// Longest text taken over from Kubernetes, in characters: room for what a
/// registry or Pod Security says, not for a whole log.
const LONGEST: usize = 600;

/// Reason with which the kubelet reports a container over its memory limit.
pub const OOM_KILLED: &str = "OOMKilled";

/// On one line, without the blank around it, cut where it goes on for too long.
pub fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `reason: message`, of which either may be missing.
pub fn reason_and_message(reason: Option<&str>, message: Option<&str>) -> String {
    let reason = reason.unwrap_or_default();
    let message = line(message.unwrap_or_default());
    match (reason.is_empty(), message.is_empty()) {
        (false, false) => format!("{reason}: {message}"),
        (true, true) => "no reason given".to_owned(),
        _ => format!("{reason}{message}"),
    }
}

pub fn event_words(event: &Event) -> String {
    reason_and_message(event.reason.as_deref(), event.message.as_deref())
}

/// The signal that ended a container, by number. Runtimes report it as 128 + n.
pub fn signal_of(ended: &ContainerStateTerminated) -> Option<i32> {
    let reported = ended.signal.filter(|&signal| signal > 0);
    let in_exit_code = ended.exit_code - 128;
    reported.or_else(|| (1..=64).contains(&in_exit_code).then_some(in_exit_code))
}

/// How a container ended, for instance "exit code 1", "exit code 137 (SIGKILL)",
/// "exit code 137, OOM-killed (memory limit 20Mi)". What it left as its
/// termination message follows, the last line of it.
pub fn ended(ended: &ContainerStateTerminated, memory_limit: Option<&str>) -> String {
    let code = ended.exit_code;
    let named = signal_of(ended).and_then(|signal| Signal::try_from(signal).ok());
    let mut text = match (ended.reason.as_deref(), named, memory_limit) {
        (Some(OOM_KILLED), _, Some(limit)) => {
            format!("exit code {code}, OOM-killed (memory limit {limit})")
        }
        (Some(OOM_KILLED), _, None) => format!("exit code {code}, OOM-killed"),
        (_, Some(signal), _) => format!("exit code {code} ({})", signal.as_str()),
        // These two say no more than the code.
        (None | Some("Error" | "Completed"), None, _) => format!("exit code {code}"),
        (Some(reason), None, _) => format!("exit code {code}, {reason}"),
    };
    let message = ended.message.as_deref().unwrap_or_default();
    if let Some(last) = message.lines().rfind(|line| !line.trim().is_empty()) {
        text.push_str(": ");
        text.push_str(&line(last));
    }
    text
}

pub fn times(count: i32) -> String {
    match count {
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::error(1, None, None, None, "exit code 1")]
    #[case::error_says_no_more_than_the_code(1, Some("Error"), None, None, "exit code 1")]
    #[case::killed(137, Some("Error"), None, None, "exit code 137 (SIGKILL)")]
    #[case::terminated(143, Some("Error"), None, None, "exit code 143 (SIGTERM)")]
    #[case::no_signal_of_that_number(255, Some("Error"), None, None, "exit code 255")]
    #[case::oom(
        137,
        Some("OOMKilled"),
        None,
        Some("2Gi"),
        "exit code 137, OOM-killed (memory limit 2Gi)"
    )]
    #[case::oom_of_the_node(137, Some("OOMKilled"), None, None, "exit code 137, OOM-killed")]
    #[case::could_not_start(
        128,
        Some("StartError"),
        Some("exec: \"k6x\": not found\n"),
        None,
        "exit code 128, StartError: exec: \"k6x\": not found"
    )]
    #[case::last_line_of_a_log(
        1,
        Some("Error"),
        Some("starting\n\nfailed parsing config\n\n"),
        None,
        "exit code 1: failed parsing config"
    )]
    fn how_a_container_ended(
        #[case] exit_code: i32,
        #[case] reason: Option<&str>,
        #[case] message: Option<&str>,
        #[case] memory_limit: Option<&str>,
        #[case] expected: &str,
    ) {
        let state = ContainerStateTerminated {
            exit_code,
            reason: reason.map(str::to_owned),
            message: message.map(str::to_owned),
            ..ContainerStateTerminated::default()
        };
        assert_eq!(ended(&state, memory_limit), expected);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let cut = line(&"ä ".repeat(1000));
        assert_eq!(cut.chars().count(), LONGEST + 1);
        assert!(cut.ends_with('…'), "{cut}");
        assert_eq!(line(" two\n  lines "), "two lines");
    }
}
