//! One process of the program: its last line of JSON is the answer, everything else its log.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use apertis_protocol::error::ErrorCode;
use apertis_runs::Home;
use serde_json::Value;

use super::Progress;
use crate::failure::{Answer, Failure};
use crate::settings::Workers;

/// Cancelling is looked at this often.
const POLL: Duration = Duration::from_millis(100);
/// Lines of the log are handed on together, this often.
const LOG_INTERVAL: Duration = Duration::from_millis(250);

/// A line that was printed.
enum Line {
    Answer(String),
    Log(String),
}

/// Runs `program --home H --json words…` and returns its answer.
pub(super) fn run(home: &Home, workers: &Workers, words: &[String], progress: &Progress) -> Answer<Value> {
    progress.log(vec![format!("apertis {}", words.join(" "))]);
    let mut child = Command::new(&workers.program)
        .arg("--home")
        .arg(home.root())
        .arg("--json")
        .args(words)
        .current_dir(home.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, lines) = mpsc::channel();
    let readers = [
        child.stdout.take().map(|out| read(out, sender.clone(), Line::Answer)),
        child.stderr.take().map(|errors| read(errors, sender, Line::Log)),
    ];
    let (mut last, mut log, mut logged_at) = (String::new(), Vec::new(), Instant::now());
    loop {
        match lines.recv_timeout(POLL) {
            Ok(Line::Answer(line)) => last = line,
            Ok(Line::Log(line)) => log.push(line),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if logged_at.elapsed() >= LOG_INTERVAL && !log.is_empty() {
            progress.log(std::mem::take(&mut log));
            logged_at = Instant::now();
        }
        if progress.is_cancelled() {
            // It may have ended in this very moment.
            let _ = child.kill();
            break;
        }
    }
    if !log.is_empty() {
        progress.log(log);
    }
    let status = child.wait()?;
    for reader in readers.into_iter().flatten() {
        // It ends with the output, and can only have panicked.
        let _ = reader.join();
    }
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

fn read(from: impl Read + Send + 'static, to: Sender<Line>, line: fn(String) -> Line) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        // Nobody listens any more once it is cancelled.
        let _ = lines.map(|text| to.send(line(text))).all(|sent| sent.is_ok());
    })
}
