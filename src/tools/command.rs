//! `tempo-perf tools`: gets what is missing and shows all.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use crate::error_chain::chain;
use crate::process::{Interrupt, Supervisor};
use crate::settings::Settings;

use super::resolve::{MissingTool, ResolvedTool, ToolError, ToolStatus, Toolbox};
use super::tempo::{Tempo, TempoStatus};
use super::{PassedOver, Progress, Tool};

/// Downloads or builds the pinned tools that are missing, and shows where each one is
///
/// The variables are those of a run: TEMPO_PERF_TOOLS, TEMPO_PERF_TEMPO_VERSION,
/// TEMPO_PERF_TOOLS_DIR, and for each of K6, OTELCOL, PROMETHEUS and TEMPO
/// TEMPO_PERF_…_BIN and TEMPO_PERF_…_RELEASES.
#[derive(Debug, Args)]
pub struct ToolsArgs {
    /// Only show; exit code 1 if a tool is missing
    #[arg(long, visible_alias = "list")]
    check: bool,
}

impl ToolsArgs {
    /// Runs the command; the exit code is 130 or 143 after a signal.
    pub fn run(self) -> ExitCode {
        match self.try_run() {
            Ok(code) => code,
            Err(Failure::Tool(error)) => {
                eprintln!("error: {}", chain(&error));
                match error.signal() {
                    Some(signal) => ExitCode::from(signal.exit_code()),
                    None => ExitCode::FAILURE,
                }
            }
            Err(Failure::Other(text)) => {
                eprintln!("error: {text}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_run(self) -> Result<ExitCode, Failure> {
        let check = self.check;
        let other = |what: &str, error: &dyn std::error::Error| {
            Failure::Other(format!("cannot {what}: {}", chain(error)))
        };
        let interrupt = Interrupt::install().map_err(|error| other("handle signals", &error))?;
        let program = std::env::current_exe()
            .map_err(|error| other("find the path of tempo-perf", &error))?;
        // The same variables as those of a run.
        let settings = Settings::from_args([OsString::from("tempo-perf")])
            .map_err(|error| Failure::Other(error.to_string()))?
            .settings;
        let toolbox = Toolbox::new(
            settings.tools,
            Supervisor::new(program, false),
            interrupt,
            Progress::stderr(),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| other("start a runtime", &error))?;
        runtime.block_on(async {
            let (tools, tempo) = if check {
                let tools = toolbox.look_all(&Tool::ALL).await?;
                (tools, toolbox.look_tempo().await?)
            } else {
                let (tools, tempo) = toolbox.resolve_local().await?;
                let tools = tools.into_iter().map(ToolStatus::Ready).collect();
                (tools, tempo.map_or(TempoStatus::None, TempoStatus::Ready))
            };
            print!("{}", table(&tools, &tempo));
            let all_there = !matches!(tempo, TempoStatus::Missing(_))
                && tools
                    .iter()
                    .all(|status| matches!(status, ToolStatus::Ready(_)));
            Ok(ExitCode::from(u8::from(!all_there)))
        })
    }
}

enum Failure {
    Tool(ToolError),
    Other(String),
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Failure::Tool(error)
    }
}

fn table(tools: &[ToolStatus], tempo: &TempoStatus) -> String {
    let mut rows = vec![["TOOL", "VERSION", "ORIGIN", "PATH"].map(str::to_owned)];
    let mut notes = Vec::new();
    for status in tools {
        let passed_over: &[PassedOver] = match status {
            ToolStatus::Ready(found) => {
                let ResolvedTool {
                    tool,
                    path,
                    version,
                    origin,
                    ..
                } = found;
                rows.push([
                    tool.name().to_owned(),
                    version.clone(),
                    origin.to_string(),
                    path.display().to_string(),
                ]);
                &found.passed_over
            }
            ToolStatus::Missing(MissingTool {
                tool,
                version,
                way,
                passed_over,
            }) => {
                rows.push([
                    tool.name().to_owned(),
                    version.to_string(),
                    format!("to {way}"),
                    "-".to_owned(),
                ]);
                passed_over
            }
        };
        notes.extend(passed_over.iter().map(|passed| passed.reason.clone()));
    }
    rows.push(match tempo {
        TempoStatus::Ready(Tempo {
            path,
            version,
            origin,
        }) => [
            "tempo".to_owned(),
            version.map_or_else(|| "unknown".to_owned(), |version| version.to_string()),
            origin.to_string(),
            path.display().to_string(),
        ],
        TempoStatus::Missing(version) => ["tempo", version, "to download", "-"].map(str::to_owned),
        TempoStatus::None => [
            "tempo",
            "-",
            "none",
            "- (runs use the built-in trace store)",
        ]
        .map(str::to_owned),
    });
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [tool, version, origin, path] in &rows {
        text.push_str(&format!(
            "{tool:0$}  {version:1$}  {origin:2$}  {path}\n",
            widths[0], widths[1], widths[2]
        ));
    }
    for note in notes {
        text.push_str(&format!("not used: {note}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::{Origin, Version, Way};

    #[test]
    fn the_table_shows_each_tool_and_what_was_passed_over() {
        let tools = [
            ToolStatus::Ready(ResolvedTool {
                tool: Tool::K6,
                path: "/cache/k6-1.8.1-0123456789ab/k6".into(),
                version: "1.8.1".to_owned(),
                origin: Origin::Cache,
                passed_over: Vec::new(),
            }),
            ToolStatus::Missing(MissingTool {
                tool: Tool::Otelcol,
                version: Version::new(0, 160, 0),
                way: Way::Build,
                passed_over: vec![PassedOver {
                    path: "/usr/bin/otelcol".into(),
                    reason: "/usr/bin/otelcol has no otlp exporter".to_owned(),
                }],
            }),
        ];
        insta::assert_snapshot!(table(&tools, &TempoStatus::None), @"
        TOOL     VERSION  ORIGIN    PATH
        k6       1.8.1    cache     /cache/k6-1.8.1-0123456789ab/k6
        otelcol  0.160.0  to build  -
        tempo    -        none      - (runs use the built-in trace store)
        not used: /usr/bin/otelcol has no otlp exporter
        ");
    }
}
