//! The little that we read from /proc. Elsewhere than on Linux nothing is found.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub pid: i32,
    state: u8,
    group: i32,
    cpu_ticks: u64,
    /// Ticks from boot to the process's start; with the pid it names one process.
    pub start: u64,
}

impl Stat {
    pub fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        let pid = text.split(' ').next()?.parse().ok()?;
        // The second field is the program's name in brackets, and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Stat {
            pid,
            state: *fields.first()?.as_bytes().first()?,
            group: fields.get(2)?.parse().ok()?,
            cpu_ticks: number(11)? + number(12)?,
            start: number(19)?,
        })
    }

    /// A zombie has ended; it only waits for its parent to take note.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }

    /// CPU time of all threads, in user and kernel mode.
    pub fn cpu_time(&self) -> Option<Duration> {
        use nix::unistd::{SysconfVar, sysconf};
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
        Some(Duration::from_secs_f64(
            self.cpu_ticks as f64 / per_second as f64,
        ))
    }
}

/// Living processes of a group.
pub(super) fn group_members(group: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Stat::of)
        .filter(|stat| stat.group == group && stat.is_alive())
        .map(|stat| stat.pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_may_hold_brackets_and_spaces() {
        let stat = Stat::parse(
            "4711 (a) R (b) S 1 4700 4700 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 12345 0 0",
        );
        let stat = stat.expect("a stat line must be read");
        assert_eq!((stat.pid, stat.group, stat.start), (4711, 4700, 12345));
        assert_eq!(stat.cpu_ticks, 200);
        assert!(stat.is_alive());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_entry_is_found() {
        let pid = std::process::id() as i32;
        let stat = Stat::of(pid).expect("our own process must be listed");
        assert!(stat.start > 0 && stat.is_alive());
        assert!(group_members(stat.group).contains(&pid));
    }
}
