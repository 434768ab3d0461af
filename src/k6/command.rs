//! How k6 is started: nothing sent to its makers, no port opened, nothing
//! downloaded, whatever its version and the environment say.

use std::ffi::OsString;
use std::path::Path;

use url::Url;

use super::Run;
use super::load::LOAD_VARIABLE;

/// Arguments and variables of one k6 process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K6Command {
    pub args: Vec<OsString>,
    /// Set these on top of the inherited environment.
    pub env: Vec<(&'static str, OsString)>,
    /// Inherited variables that must not reach k6.
    pub env_remove: Vec<&'static str>,
}

/// `k6 run` of `script` with the load in `load_file`; with `remote_write`, all
/// samples also go there every second, trends as native histograms; `run` is a
/// label of theirs, since two k6 at once would write the same series.
pub fn k6_command(
    script: &Path,
    load_file: &Path,
    run: Run,
    remote_write: Option<&Url>,
) -> K6Command {
    let mut args: Vec<OsString> = [
        "run",
        "--no-usage-report",
        // The REST API listens on a fixed port in 1.x: two k6 would collide.
        "--address",
        "",
        "--no-color",
        "--log-format",
        "logfmt",
        "--summary-mode",
        "compact",
    ]
    .map(OsString::from)
    .into();
    let mut env: Vec<(&'static str, OsString)> = vec![
        (LOAD_VARIABLE, load_file.into()),
        ("K6_AUTO_EXTENSION_RESOLUTION", "false".into()),
        ("K6_NO_USAGE_REPORT", "true".into()),
    ];
    if let Some(url) = remote_write {
        args.extend(["-o", "experimental-prometheus-rw", "--tag"].map(OsString::from));
        args.push(format!("run={run}").into());
        env.extend([
            ("K6_PROMETHEUS_RW_SERVER_URL", url.as_str().into()),
            ("K6_PROMETHEUS_RW_TREND_AS_NATIVE_HISTOGRAM", "true".into()),
            ("K6_PROMETHEUS_RW_PUSH_INTERVAL", "1s".into()),
        ]);
    }
    args.push(script.into());
    K6Command {
        args,
        env,
        // Each of them overrides options of the scripts.
        env_remove: vec![
            "K6_OUT",
            "K6_VUS",
            "K6_DURATION",
            "K6_ITERATIONS",
            "K6_STAGES",
            "K6_RPS",
            "K6_NO_SETUP",
            "K6_NO_THRESHOLDS",
            "K6_SYSTEM_TAGS",
            "K6_SUMMARY_TREND_STATS",
            "K6_SUMMARY_MODE",
            "K6_NEW_MACHINE_READABLE_SUMMARY",
            "K6_EXECUTION_SEGMENT",
            "K6_DISCARD_RESPONSE_BODIES",
            "K6_HTTP_DEBUG",
            "K6_PAUSED",
            "K6_LINGER",
            "K6_WEB_DASHBOARD",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_comes_last_and_the_load_by_variable() {
        let command = k6_command(
            Path::new("k6/x.js"),
            Path::new("/tmp/load.json"),
            Run::Query,
            None,
        );
        assert_eq!(command.args.last(), Some(&OsString::from("k6/x.js")));
        assert!(
            command
                .env
                .contains(&("TEMPO_PERF_LOAD", "/tmp/load.json".into()))
        );
        assert!(!command.args.contains(&OsString::from("-o")));
    }

    #[test]
    fn remote_write_is_an_output() {
        let url = Url::parse("http://127.0.0.1:9090/api/v1/write").expect("a URL");
        let command = k6_command(
            Path::new("s.js"),
            Path::new("l.json"),
            Run::Query,
            Some(&url),
        );
        assert!(command.args.contains(&"experimental-prometheus-rw".into()));
        assert!(command.args.contains(&"run=query".into()));
        assert!(
            command
                .env
                .contains(&("K6_PROMETHEUS_RW_SERVER_URL", url.as_str().into()))
        );
    }
}
