//! One-time codes of "open on your phone": short enough to be typed, gone after five minutes or a use.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

/// How long a code holds.
pub(crate) const CODE_SECONDS: u64 = 300;
/// Codes that hold at the same time, the newest ones.
const CODES_MAX: usize = 8;
/// Letters that are not mistaken for one another.
const LETTERS: &[u8; 32] = b"23456789abcdefghjkmnpqrstuvwxyz2";
/// Length: with ten tries a minute, 2^50 codes last.
const LENGTH: usize = 10;

/// The codes that hold.
#[derive(Default)]
pub(crate) struct Codes(Mutex<Vec<(String, Instant)>>);

impl Codes {
    /// Makes a code.
    pub(crate) fn make(&self) -> String {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        // The first of the letters stands twice, so that a letter is five bits.
        let code: String = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.push((code.clone(), Instant::now()));
        if codes.len() > CODES_MAX {
            codes.remove(0);
        }
        code
    }

    /// Uses a code up; whether it held.
    pub(crate) fn take(&self, code: &str) -> bool {
        self.take_at(code, Instant::now())
    }

    fn take_at(&self, code: &str, now: Instant) -> bool {
        let code = code.trim().to_lowercase();
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, since)| now.duration_since(*since) < Duration::from_secs(CODE_SECONDS));
        // All of them are looked at: how long it takes tells nothing.
        let found = codes.iter().filter(|(known, _)| known.as_bytes().ct_eq(code.as_bytes()).into()).count();
        codes.retain(|(known, _)| *known != code);
        found > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_holds_once_and_for_five_minutes() {
        let codes = Codes::default();
        let (one, other) = (codes.make(), codes.make());
        assert!(one.len() == LENGTH && one != other);
        assert!(!codes.take("") && !codes.take("0000000000"));
        assert!(codes.take(&format!(" {} ", one.to_uppercase())) && !codes.take(&one));
        assert!(!codes.take_at(&other, Instant::now() + Duration::from_secs(CODE_SECONDS)));
        let many: Vec<String> = (0..=CODES_MAX).map(|_| codes.make()).collect();
        assert!(!codes.take(&many[0]) && codes.take(&many[1]));
    }
}
