//! Keeping the machine awake while something trains: a helper of the system that is started again
//! and again, so that none is left behind by a server that is killed. Where there is none, nothing
//! happens.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::studio::Studio;

/// Runs begin and end slowly enough for this.
const INTERVAL: Duration = Duration::from_secs(5);

/// The program that keeps this system awake for a minute.
const HELPER: &[&str] = if cfg!(target_os = "linux") {
    &["systemd-inhibit", "--what=sleep:idle", "--who=Apertis", "--why=A model is being trained", "sleep", "60"]
} else if cfg!(target_os = "macos") {
    &["caffeinate", "-i", "-t", "60"]
} else {
    &[]
};

/// Looks after it on a thread of its own, for as long as the server lives.
pub(crate) fn watch(studio: &Arc<Studio>) -> std::io::Result<()> {
    let studio = Arc::downgrade(studio);
    thread::Builder::new().name("keep-awake".to_owned()).spawn(move || {
        let mut helper = Helper::new(HELPER);
        while let Some(studio) = studio.upgrade() {
            helper.set(studio.preferences.settings().keep_awake && studio.mirror.is_busy());
            drop(studio);
            thread::sleep(INTERVAL);
        }
    })?;
    Ok(())
}

/// A process that lives while it is wanted.
struct Helper {
    words: &'static [&'static str],
    child: Option<Child>,
    /// Whether it could not be started: it is not tried again.
    is_missing: bool,
}

impl Helper {
    fn new(words: &'static [&'static str]) -> Helper {
        Helper { words, child: None, is_missing: words.is_empty() }
    }

    fn set(&mut self, is_wanted: bool) {
        if self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            self.child = None;
        }
        if is_wanted && self.child.is_none() && !self.is_missing {
            let quiet = |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            match self.words.split_first().map(|(program, rest)| quiet(Command::new(program).args(rest))) {
                Some(Ok(child)) => self.child = Some(child),
                _ => self.is_missing = true,
            }
        }
        if !is_wanted {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn it_lives_while_it_is_wanted_and_may_be_missing() {
        let mut helper = Helper::new(&["sleep", "100"]);
        let is_alive = |helper: &mut Helper| helper.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        assert!(!is_alive(&mut helper));
        helper.set(true);
        assert!(is_alive(&mut helper));
        helper.set(true);
        helper.set(false);
        assert!(helper.child.is_none());
        let mut short = Helper::new(&["true"]);
        let mut ids = std::collections::BTreeSet::new();
        while ids.len() < 2 {
            // One that ended by itself is started again.
            short.set(true);
            ids.extend(short.child.as_ref().map(std::process::Child::id));
            thread::sleep(Duration::from_millis(5));
        }
        let mut missing = Helper::new(&["no-such-program-of-ours"]);
        missing.set(true);
        assert!(missing.child.is_none() && missing.is_missing);
    }
}
