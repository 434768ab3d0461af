//! Ports that are free at the time of asking.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports that this process has handed out: a case must not get the port that
/// another one is about to bind.
static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Distinct ports of 127.0.0.1 that nobody listens on, none of them twice.
///
/// Another process can still take one before its new owner binds it; see
/// [`is_address_in_use`].
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    const TRIES_PER_PORT: usize = 100;
    let mut taken = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Vec::with_capacity(count);
    // Held until the end, so that the system does not offer the same port again.
    let mut held = Vec::with_capacity(count);
    for _ in 0..count.saturating_mul(TRIES_PER_PORT) {
        if ports.len() == count {
            break;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        if taken.insert(port) {
            ports.push(port);
        }
    }
    if ports.len() < count {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!(
                "only {} of {count} free ports found on 127.0.0.1",
                ports.len()
            ),
        ));
    }
    Ok(ports)
}

/// Whether a program's last words are that its port was taken.
pub fn is_address_in_use(log_tail: &str) -> bool {
    log_tail
        .to_ascii_lowercase()
        .contains("address already in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_never_handed_out_twice() {
        let first = free_ports(20).unwrap();
        let second = free_ports(20).unwrap();
        let all: BTreeSet<_> = first.iter().chain(&second).collect();
        assert_eq!(all.len(), 40);
        for port in first {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port can be bound");
        }
    }

    #[test]
    fn a_lost_port_is_recognised_in_the_words_of_go_and_rust() {
        assert!(is_address_in_use(
            "level=error msg=\"listen tcp 127.0.0.1:9090: bind: address already in use\""
        ));
        assert!(is_address_in_use("Address already in use (os error 98)"));
        assert!(!is_address_in_use("connection refused"));
    }
}
