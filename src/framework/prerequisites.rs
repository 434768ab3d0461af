//! What must be there before anything is set up.

use std::fmt;

use crate::error_chain::chain;
use crate::tools::{TempoStatus, Tool, ToolStatus, Toolbox, Way};

/// One thing that a run needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prerequisite {
    /// `Tempo`, `OTel`, `k6` or `Prometheus`.
    pub name: &'static str,
    pub met: bool,
    /// Where it is, or what is wrong and what to do.
    pub detail: String,
}

/// All that a run needs. Displays as `prerequisites met`, or as
/// `prerequisites not met: Tempo=true, OTel=false, …` with a line for each that
/// is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prerequisites {
    pub all_met: bool,
    pub each: Vec<Prerequisite>,
    /// What a cluster says is missing, where it is one that was asked.
    pub in_full: Option<String>,
}

impl Prerequisites {
    pub(super) fn new(each: Vec<Prerequisite>) -> Self {
        Self {
            all_met: each.iter().all(|one| one.met),
            each,
            in_full: None,
        }
    }

    /// Of a cluster, which tells all that is missing in one text.
    pub(super) fn of_cluster(found: Result<(), String>) -> Self {
        let says = |word: &str| match &found {
            Ok(()) => Ok("its operator is installed".to_string()),
            // A cluster that does not answer says nothing of its operators.
            Err(why) if why.contains(word) || !why.contains("prerequisites not met") => {
                Err(why.clone())
            }
            Err(_) => Ok("its operator is installed".to_string()),
        };
        Self {
            each: vec![
                prerequisite("Tempo", says("Tempo=false")),
                prerequisite("OTel", says("OTel=false")),
            ],
            all_met: found.is_ok(),
            in_full: found.err(),
        }
    }
}

impl fmt::Display for Prerequisites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all_met {
            return f.write_str("prerequisites met");
        }
        if let Some(all) = &self.in_full {
            return f.write_str(all);
        }
        let each: Vec<String> = self
            .each
            .iter()
            .map(|one| format!("{}={}", one.name, one.met))
            .collect();
        write!(f, "prerequisites not met: {}", each.join(", "))?;
        for one in self.each.iter().filter(|one| !one.met) {
            write!(f, "\n  {}: {}", one.name, one.detail)?;
        }
        Ok(())
    }
}

pub(super) fn prerequisite(name: &'static str, found: Result<String, String>) -> Prerequisite {
    Prerequisite {
        name,
        met: found.is_ok(),
        detail: found.unwrap_or_else(|why| why),
    }
}

/// A tool is met when it is there, or when it can be downloaded or built.
pub(super) async fn tool(toolbox: &Toolbox, tool: Tool) -> Prerequisite {
    let look = async {
        match toolbox.look(tool).await {
            Ok(ToolStatus::Ready(found)) => {
                Ok(format!("{} ({})", found.path.display(), found.origin))
            }
            Ok(ToolStatus::Missing(missing)) => {
                let version = missing.version;
                match toolbox.can_get(missing).await {
                    Ok(Way::Download) => Ok(format!("{version} will be downloaded")),
                    Ok(Way::Build) => Ok(format!(
                        "{version} will be built, which takes about 2 minutes"
                    )),
                    Err(err) => Err(chain(&err)),
                }
            }
            Err(err) => Err(chain(&err)),
        }
    };
    let name = match tool {
        Tool::K6 => "k6",
        Tool::Otelcol => "OTel",
        Tool::Prometheus => "Prometheus",
    };
    prerequisite(name, look.await)
}

/// A local Tempo, or what stands in for it.
pub(super) async fn local_tempo(toolbox: &Toolbox) -> Prerequisite {
    let found = match toolbox.look_tempo().await {
        Ok(TempoStatus::Ready(tempo)) => Ok(format!("{} ({})", tempo.path.display(), tempo.origin)),
        Ok(TempoStatus::Missing(version)) => match toolbox.can_get_tempo().await {
            Ok(()) => Ok(format!("{version} will be downloaded")),
            Err(err) => Err(chain(&err)),
        },
        Ok(TempoStatus::None) => Ok("the built-in trace store stands in for it".into()),
        Err(err) => Err(chain(&err)),
    };
    prerequisite("Tempo", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let met = prerequisite("Tempo", Ok("/bin/tempo (PATH)".into()));
        let missing = prerequisite("OTel", Err("no collector; install one".into()));
        assert!(Prerequisites::new(vec![met.clone()]).all_met);
        insta::assert_snapshot!(Prerequisites::new(vec![met, missing]), @r"
        prerequisites not met: Tempo=true, OTel=false
          OTel: no collector; install one
        ");
    }
}
