//! Who holds a namespace: a process on a machine, as it is written down in the
//! namespace, and whether it is still there, as far as this machine can tell.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::process::Stat;

/// Annotation of a namespace of ours: its holder as JSON.
pub const HOLDER_ANNOTATION: &str = "tempo-perf/holder";

/// Runs of this process that hold a namespace: that our own process lives does
/// not prove that an earlier run of it does.
static HELD_BY_THIS_PROCESS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A run that holds a namespace, and the process that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    pub run: u32,
    pub since: Timestamp,
    pub pid: u32,
    /// Ticks from boot to the start of the process: with the PID it names one
    /// process. Absent where there is no /proc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start: Option<u64>,
    #[serde(flatten)]
    pub machine: Machine,
}

/// Where PIDs mean the same process: one boot of one machine, one PID namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub host: String,
    /// The kernel's random ID of this boot; absent elsewhere than on Linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Containers of one machine do not see each other's processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<String>,
}

impl Machine {
    /// The one that we run on.
    pub fn this() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let pid_namespace = std::fs::read_link("/proc/self/ns/pid").ok();
        Self {
            host: crate::machine::Machine::gather()
                .hostname
                .unwrap_or_else(|| "unknown".to_owned()),
            boot_id: boot_id.map(|id| id.trim().to_owned()),
            pid_namespace: pid_namespace.map(|link| link.to_string_lossy().into_owned()),
        }
    }

    /// Whether a PID of `other` can be looked up from here. Names of hosts alone
    /// prove nothing: many are called `localhost` or `runner`.
    fn shares_processes_with(&self, other: &Machine) -> bool {
        self.boot_id.is_some() && self.pid_namespace.is_some() && self == other
    }
}

impl Holder {
    /// This process, for a run of it that begins now.
    pub fn this_process(run: u32) -> Self {
        let pid = std::process::id();
        Self {
            run,
            since: Timestamp::now(),
            pid,
            process_start: process_start(pid),
            machine: Machine::this(),
        }
    }

    /// The value of [`HOLDER_ANNOTATION`].
    pub fn to_annotation(&self) -> String {
        // Numbers, texts and a time always make JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the annotation; `None` for one that somebody else has written.
    pub fn from_annotation(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { run, pid, .. } = self;
        write!(f, "run {run} on host {}, PID {pid}", self.machine.host)
    }
}

/// Start of a living process, in ticks from boot.
fn process_start(pid: u32) -> Option<u64> {
    let stat = Stat::of(i32::try_from(pid).ok()?)?;
    stat.is_alive().then_some(stat.start)
}

/// What this machine knows of a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalLiveness {
    Live,
    /// With the reason.
    Abandoned(String),
    /// It is for the Lease to say.
    Elsewhere,
}

/// Facts of this machine that tell whether a holder is alive.
pub struct Facts<'a> {
    pub machine: &'a Machine,
    pub pid: u32,
    /// Start of the living process with this PID.
    pub process_start: &'a dyn Fn(u32) -> Option<u64>,
    /// Whether a run of our own process holds a namespace.
    pub held_by_this_process: &'a dyn Fn(u32) -> bool,
}

/// What the facts of a machine say of a holder.
pub fn judge(holder: &Holder, facts: &Facts<'_>) -> LocalLiveness {
    if !facts.machine.shares_processes_with(&holder.machine) {
        return LocalLiveness::Elsewhere;
    }
    let Some(started) = holder.process_start else {
        return LocalLiveness::Elsewhere;
    };
    let pid = holder.pid;
    match (facts.process_start)(pid) {
        Some(start) if start != started => LocalLiveness::Abandoned(format!(
            "PID {pid} of this machine is another process by now"
        )),
        None => LocalLiveness::Abandoned(format!("no process {pid} runs on this machine any more")),
        Some(_) if pid == facts.pid && !(facts.held_by_this_process)(holder.run) => {
            LocalLiveness::Abandoned("it was an earlier run of this very process".to_owned())
        }
        Some(_) => LocalLiveness::Live,
    }
}

/// What this machine says of a holder, now.
pub fn judge_here(holder: &Holder) -> LocalLiveness {
    judge(
        holder,
        &Facts {
            machine: &Machine::this(),
            pid: std::process::id(),
            process_start: &process_start,
            held_by_this_process: &|run| held_by_this_process().contains(&run),
        },
    )
}

fn held_by_this_process() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    HELD_BY_THIS_PROCESS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Marks a run as one of this process until it is dropped.
#[derive(Debug)]
pub struct HeldByThisProcess(u32);

impl HeldByThisProcess {
    pub fn new(run: u32) -> Self {
        held_by_this_process().insert(run);
        Self(run)
    }
}

impl Drop for HeldByThisProcess {
    fn drop(&mut self) {
        held_by_this_process().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PID: u32 = 4711;

    fn machine(host: &str, boot_id: Option<&str>, pid_namespace: Option<&str>) -> Machine {
        Machine {
            host: host.to_owned(),
            boot_id: boot_id.map(str::to_owned),
            pid_namespace: pid_namespace.map(str::to_owned),
        }
    }

    fn this_machine() -> Machine {
        machine("bench", Some("b1"), Some("pid:[1]"))
    }

    fn holder(machine: Machine) -> Holder {
        Holder {
            run: 7,
            since: "2026-11-24T20:00:00Z".parse().unwrap(),
            pid: PID,
            process_start: Some(1000),
            machine,
        }
    }

    #[rstest]
    #[case::runs(this_machine(), Some(1000), LocalLiveness::Live)]
    #[case::ended(
        this_machine(),
        None,
        LocalLiveness::Abandoned("no process 4711 runs on this machine any more".to_owned())
    )]
    #[case::pid_used_again(
        this_machine(),
        Some(2000),
        LocalLiveness::Abandoned("PID 4711 of this machine is another process by now".to_owned())
    )]
    #[case::other_host(
        machine("other", Some("b2"), Some("pid:[1]")),
        None,
        LocalLiveness::Elsewhere
    )]
    #[case::a_host_of_the_same_name(
        machine("bench", Some("b2"), Some("pid:[1]")),
        None,
        LocalLiveness::Elsewhere
    )]
    #[case::another_container(
        machine("bench", Some("b1"), Some("pid:[2]")),
        None,
        LocalLiveness::Elsewhere
    )]
    #[case::a_machine_without_proc(machine("bench", None, None), None, LocalLiveness::Elsewhere)]
    fn a_process_of_this_machine_is_looked_up_and_no_other(
        #[case] machine: Machine,
        #[case] process_start: Option<u64>,
        #[case] expected: LocalLiveness,
    ) {
        let facts = Facts {
            machine: &this_machine(),
            pid: 1,
            process_start: &|pid| process_start.filter(|_| pid == PID),
            held_by_this_process: &|_| false,
        };
        assert_eq!(judge(&holder(machine), &facts), expected);
    }

    #[test]
    fn two_machines_without_proc_cannot_look_into_each_other() {
        let facts = Facts {
            machine: &machine("bench", None, None),
            pid: 1,
            process_start: &|_| None,
            held_by_this_process: &|_| false,
        };
        let holder = holder(machine("bench", None, None));
        assert_eq!(judge(&holder, &facts), LocalLiveness::Elsewhere);
    }

    #[rstest]
    #[case::held(true, LocalLiveness::Live)]
    #[case::let_go(
        false,
        LocalLiveness::Abandoned("it was an earlier run of this very process".to_owned())
    )]
    fn a_run_of_our_own_process_lives_as_long_as_it_holds_its_namespace(
        #[case] held: bool,
        #[case] expected: LocalLiveness,
    ) {
        let facts = Facts {
            machine: &this_machine(),
            pid: PID,
            process_start: &|_| Some(1000),
            held_by_this_process: &|run| held && run == 7,
        };
        assert_eq!(judge(&holder(this_machine()), &facts), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_live_while_it_holds() {
        let run = 4_000_000_001;
        let holder = Holder::this_process(run);
        assert!(matches!(judge_here(&holder), LocalLiveness::Abandoned(_)));
        let held = HeldByThisProcess::new(run);
        assert_eq!(judge_here(&holder), LocalLiveness::Live);
        drop(held);
        assert!(matches!(judge_here(&holder), LocalLiveness::Abandoned(_)));
    }

    #[test]
    fn a_holder_survives_the_annotation() {
        let holder = holder(this_machine());
        let text = holder.to_annotation();
        assert_eq!(
            text,
            r#"{"run":7,"since":"2026-11-24T20:00:00Z","pid":4711,"processStart":1000,"host":"bench","bootId":"b1","pidNamespace":"pid:[1]"}"#
        );
        assert_eq!(Holder::from_annotation(&text), Some(holder.clone()));
        assert_eq!(Holder::from_annotation("me"), None);
        assert_eq!(holder.to_string(), "run 7 on host bench, PID 4711");
    }
}
