//! One process of the program: its last line of JSON is the answer, everything else its log.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use apertis_protocol::error::ErrorCode;
use apertis_runs::Home;
use serde_json::Value;

use super::Progress;
use crate::failure::{Answer, Failure};
use crate::settings::Workers;

/// Cancelling is looked at this often.
const POLL: Duration = Duration::from_millis(100);

/// Runs `program --home H --json words…` and returns its answer.
pub(super) fn run(home: &Home, workers: &Workers, words: &[String], progress: &Progress) -> Answer<Value> {
    let mut log = progress.log()?;
    writeln!(log, "apertis {}", words.join(" "))?;
    let mut child = Command::new(&workers.program)
        .arg("--home")
        .arg(home.root())
        .arg("--json")
        .args(words)
        .current_dir(home.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .spawn()?;
    let (sender, lines) = mpsc::channel();
    let out = child.stdout.take().ok_or_else(|| Failure::internal("a process without output"))?;
    let reader = thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        // Nobody listens any more once it is cancelled.
        lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
    });
    let mut last = String::new();
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => last = line,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if progress.is_cancelled() {
            // It may have ended in this very moment.
            let _ = child.kill();
            break;
        }
    }
    let status = child.wait()?;
    // It ends with the output, and can only have panicked.
    let _ = reader.join();
    if progress.is_cancelled() {
        return Err(Failure::new(ErrorCode::NotPossibleNow, "It was cancelled."));
    }
    let answer: Value = serde_json::from_str(&last).unwrap_or_default();
    if status.success() {
        return Ok(answer);
    }
    let said = |name: &str| answer["error"][name].as_str().or_else(|| answer[name].as_str()).map(str::to_owned);
    let message = said("message").unwrap_or_else(|| format!("The work ended with {status}."));
    let failure = Failure::new(ErrorCode::NotPossibleNow, message);
    Err(match said("hint") {
        Some(hint) => failure.hint(hint),
        None => failure.hint("Its log has the details."),
    })
}
