//! What listens, as /proc tells it.

use std::collections::BTreeSet;
use std::fs;

use super::proc::Process;

/// Ports on which any of `processes` listens.
pub fn ports_of(processes: &[Process]) -> BTreeSet<u16> {
    let mut sockets = BTreeSet::new();
    for process in processes {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else {
            continue;
        };
        for file in open.flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let target = target.display().to_string();
            if let Some(inode) = target.strip_prefix("socket:[") {
                sockets.insert(inode.trim_end_matches(']').to_owned());
            }
        }
    }
    listening()
        .into_iter()
        .filter(|(_, inode)| sockets.contains(inode))
        .map(|(port, _)| port)
        .collect()
}

/// Ports that somebody listens on, with the socket's inode.
pub fn listening() -> Vec<(u16, String)> {
    const LISTEN: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables
        .iter()
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .collect();
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = words.get(1)?.rsplit_once(':')?.1;
            (words.get(3) == Some(&LISTEN)).then_some(())?;
            Some((
                u16::from_str_radix(port, 16).ok()?,
                (*words.get(9)?).to_owned(),
            ))
        })
        .collect()
}
