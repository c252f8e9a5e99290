//! Idle connections of the keep-alive clients.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connection::Connection;

/// A connection between two requests.
struct Idle {
    connection: Connection,
    /// Its client does not send before this.
    thinks_until: Instant,
}

/// The idle connections, longest idle first.
pub struct Pool {
    idle: VecDeque<Idle>,
    think: Vec<Duration>,
    turn: usize,
    idle_max: usize,
}

impl Pool {
    /// An empty pool whose clients think for `think_ms`, in turn, and that keeps `idle_max` connections.
    pub fn new(think_ms: &[u64], idle_max: usize) -> Pool {
        let think = think_ms.iter().copied().map(Duration::from_millis).collect();
        Pool { idle: VecDeque::new(), think, turn: 0, idle_max }
    }

    /// A connection whose client has thought for long enough and that is healthy. Those that the service
    /// has closed meanwhile are dropped, as any client does.
    pub fn take(&mut self, now: Instant) -> Option<Connection> {
        let mut kept = VecDeque::with_capacity(self.idle.len());
        let mut found = None;
        while let Some(idle) = self.idle.pop_front() {
            if !idle.connection.is_healthy() {
                continue;
            }
            if idle.thinks_until > now {
                kept.push_back(idle);
                continue;
            }
            found = Some(idle.connection);
            break;
        }
        kept.append(&mut self.idle);
        self.idle = kept;
        found
    }

    /// Takes a connection back after an answer; beyond the limit it is closed.
    pub fn put(&mut self, connection: Connection, now: Instant) {
        if self.idle.len() >= self.idle_max {
            return;
        }
        let think = self.think.get(self.turn % self.think.len().max(1)).copied().unwrap_or_default();
        self.turn = self.turn.wrapping_add(1);
        self.idle.push_back(Idle { connection, thinks_until: now + think });
    }
}
