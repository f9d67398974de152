//! Keys and sessions in requests, and how often an address may be wrong.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};

/// Name of the cookie that holds a session.
pub(crate) const SESSION_COOKIE: &str = "apertis_session";
/// How long a session lasts: 30 days.
pub(crate) const SESSION_SECONDS: u64 = 30 * 24 * 3600;

const TRIES_MAX: usize = 10;
const TRIES_WITHIN: Duration = Duration::from_secs(60);
/// Addresses that are remembered; a crowd cannot fill the memory.
const ADDRESSES_MAX: usize = 10_000;

/// Who asks; put beside every request that is let through.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) address: Option<IpAddr>,
    /// Whether it may do anything beyond looking at the login page.
    pub(crate) is_open: bool,
    pub(super) was_wrong: bool,
    /// The session's secret, where there is one.
    pub(crate) session: Option<String>,
}

/// `Authorization: Bearer <key>`.
pub(super) fn bearer_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
}

/// The session of the cookie.
pub(super) fn session_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        (name.trim() == SESSION_COOKIE && !value.is_empty()).then(|| value.trim().to_owned())
    })
}

/// Wrong keys by address.
#[derive(Default)]
pub(super) struct Tries(Mutex<HashMap<Option<IpAddr>, VecDeque<Instant>>>);

impl Tries {
    /// Whether an address has to wait.
    pub(super) fn is_too_many(&self, address: Option<IpAddr>) -> bool {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = tries.get_mut(&address) else { return false };
        forget_old(times);
        times.len() >= TRIES_MAX
    }

    /// Counts a wrong key; whether the address has to wait now.
    pub(super) fn count(&self, address: Option<IpAddr>) -> bool {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= ADDRESSES_MAX {
            tries.retain(|_, times| {
                forget_old(times);
                !times.is_empty()
            });
        }
        let times = tries.entry(address).or_default();
        forget_old(times);
        if times.len() >= TRIES_MAX {
            return true;
        }
        times.push_back(Instant::now());
        false
    }
}

fn forget_old(times: &mut VecDeque<Instant>) {
    while times.front().is_some_and(|time| time.elapsed() > TRIES_WITHIN) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_keys_a_minute() {
        let (tries, one, other) = (Tries::default(), "10.0.0.1".parse().ok(), "10.0.0.2".parse().ok());
        for _ in 0..TRIES_MAX {
            assert!(!tries.is_too_many(one));
            assert!(!tries.count(one));
        }
        assert!(tries.is_too_many(one) && tries.count(one));
        assert!(!tries.is_too_many(other));
    }
}
