//! Loopback ports that stay ours while nobody listens on them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use lock_core::{Entropy, SystemEntropy};

/// A loopback port on which nobody listens now, and neither on the ports so much higher.
///
/// It lies below the range from which operating systems give ports to outgoing connections, so that
/// a server that is killed finds it free when it comes back. Another process may still take it
/// first: whoever binds it tries again with another.
pub(crate) fn free_port(also: &[u16]) -> u16 {
    let mut port = FIRST;
    for _ in 0..TRIES_MAX {
        let mut random = [0; 2];
        SystemEntropy.fill(&mut random);
        port = FIRST.saturating_add(u16::from_le_bytes(random) % COUNT);
        let free = |port: u16| TcpListener::bind(loopback(port)).is_ok();
        if free(port) && also.iter().all(|more| free(port.saturating_add(*more))) {
            break;
        }
    }
    port
}

/// The port on 127.0.0.1.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

const FIRST: u16 = 16_000;
const COUNT: u16 = 16_000;
const TRIES_MAX: u32 = 100;
