//! The machine that carried the load: numbers without it cannot be compared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the operating system tells; absent where it does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub os: String,
    pub arch: String,
    /// CPUs that this process may use: fewer than there are under an affinity
    /// or a cgroup quota.
    pub cpus: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_model: Option<String>,
    /// The machine's, or the cgroup's limit if that is less.
    pub memory_bytes: Option<u64>,
    pub kernel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hostname: Option<String>,
}

impl Machine {
    pub fn gather() -> Self {
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpus: cpus(),
            cpu_model: read("/proc/cpuinfo").and_then(|text| cpu_model(&text)),
            memory_bytes: memory_bytes(),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
            hostname: read("/proc/sys/kernel/hostname").map(|text| text.trim().to_owned()),
        }
    }
}

fn cpus() -> Option<usize> {
    let count = std::thread::available_parallelism().ok()?;
    Some(count.get())
}

/// Cores that this process may use; one where the system does not tell.
pub fn cores() -> usize {
    cpus().unwrap_or(1)
}

/// A file of `/proc` or `/sys`; absent on other systems and kernels, which is
/// what the fields are optional for.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn memory_bytes() -> Option<u64> {
    let installed = read("/proc/meminfo").and_then(|text| mem_total(&text));
    // "max" without a limit, which does not parse and shall not.
    let limit = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    installed.into_iter().chain(limit).min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let rest = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    })
}

/// CPU time that this machine has spent on anything but idling, over all cores.
///
/// # Errors
/// The kernel does not tell; only Linux does here.
pub fn busy_time() -> Result<Duration, String> {
    // proc(5): user nice system idle iowait irq softirq steal, in clock ticks.
    let stat = std::fs::read_to_string("/proc/stat")
        .map_err(|err| format!("cannot read /proc/stat: {err}"))?;
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = ticks[..] else {
        return Err("/proc/stat has another form than expected".into());
    };
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .filter(|ticks| *ticks > 0)
        .ok_or("the kernel does not tell the length of its clock ticks")?;
    let busy = user + nice + system + irq + softirq + steal;
    Ok(Duration::from_secs_f64(busy as f64 / per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let meminfo = "MemTotal:       16316412 kB\nMemFree: 1 kB\n";
        assert_eq!(mem_total(meminfo), Some(16_316_412 * 1024));
        assert_eq!(mem_total("MemFree: 1 kB"), None);
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.5GHz\n";
        assert_eq!(cpu_model(cpuinfo).as_deref(), Some("Some CPU @ 2.5GHz"));
    }

    #[test]
    fn this_machine_has_cpus() {
        let machine = Machine::gather();
        assert!(machine.cpus.is_some_and(|cpus| cpus > 0), "{machine:?}");
    }
}
