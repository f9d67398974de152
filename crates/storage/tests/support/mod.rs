//! Databases for tests, and logs of made-up runs.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use apertis_domain::event::*;
use apertis_domain::{Event, EventKind};
use apertis_storage::Storage;
use apertis_storage::index::{LogLine, LogPart, LogPlace, RunFacts, RunParts};

/// A home in a temporary folder with a database.
pub struct Place {
    pub home: tempfile::TempDir,
    pub url: Option<String>,
}

impl Place {
    /// The file in the home.
    pub fn sqlite() -> Place {
        Place { home: tempfile::tempdir().unwrap(), url: None }
    }

    /// A schema of its own in the PostgreSQL that `cargo xtask test` starts and names; without it
    /// the test says that it left PostgreSQL out.
    #[expect(clippy::print_stderr, reason = "a test says what it left out")]
    pub async fn postgres() -> Option<Place> {
        let Some(base) = std::env::var("APERTIS_TEST_POSTGRES").ok().filter(|url| url != "none") else {
            eprintln!("PostgreSQL is left out: APERTIS_TEST_POSTGRES names none; `cargo xtask test` starts one");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let name = home.path().file_name().unwrap().to_string_lossy().to_lowercase();
        let schema: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let schema = format!("test_{schema}_{}", std::process::id());
        sqlx::any::install_default_drivers();
        let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&base).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&mut connection).await.unwrap();
        let mark = if base.contains('?') { '&' } else { '?' };
        Some(Place { home, url: Some(format!("{base}{mark}options=-c%20search_path%3D{schema}")) })
    }

    /// A connection of the test's own, past the storage.
    pub async fn connect(&self) -> sqlx::AnyConnection {
        sqlx::any::install_default_drivers();
        let file = format!("sqlite://{}", self.home.path().join("apertis.db").display());
        let url = self.url.as_deref().unwrap_or(&file);
        <sqlx::AnyConnection as sqlx::Connection>::connect(url).await.unwrap()
    }

    pub async fn open(&self) -> Storage {
        Storage::open(self.home.path(), self.url.as_deref()).await.unwrap()
    }
}

/// The log of a made-up run.
#[derive(Default)]
pub struct Log {
    pub lines: Vec<LogLine>,
    pub offset: u64,
    attempt: u32,
}

impl Log {
    pub fn add(&mut self, step: u64, kind: impl Into<EventKind>) -> &mut Log {
        let kind = kind.into();
        let seq = self.lines.len() as u64;
        if matches!(kind, EventKind::RunResumed(_)) {
            self.attempt += 1;
        }
        let at = format!("2026-11-22T{:02}:{:02}:{:02}.000Z", seq / 3600 % 24, seq / 60 % 60, seq % 60);
        let event = Event { v: 1, seq, attempt: self.attempt, step, at, elapsed_ms: seq * 100, kind, extra: serde_json::Map::new() };
        let length = event.to_line().len() as u64 + 1;
        self.lines.push(LogLine { offset: self.offset, event });
        self.offset += length;
        self
    }

    pub fn start(&mut self) -> &mut Log {
        self.add(0, RunStarted { run: "lora-1".into(), method: "lora".into(), ..RunStarted::default() });
        self.add(0, PlanMade { total_steps: 1000, parameters: 124, ..PlanMade::default() })
    }

    pub fn steps(&mut self, from: u64, to: u64) -> &mut Log {
        for step in from..=to {
            self.add(step, finished_step(step));
        }
        self
    }

    pub fn place(&self, lines: usize) -> LogPlace {
        let offset = self.lines.get(lines).map_or(self.offset, |line| line.offset);
        let first = self.lines.first().filter(|_| lines > 0);
        LogPlace { offset, first_line: first.map(|line| line.event.to_line()).unwrap_or_default() }
    }

    /// The lines from one number to another.
    pub fn part(&self, from: usize, to: usize) -> LogPart {
        LogPart { from: self.place(from), to: self.place(to), lines: self.lines[from..to].to_vec(), bad_lines: 0 }
    }

    pub fn whole(&self) -> LogPart {
        self.part(0, self.lines.len())
    }

    pub fn events(&self) -> Vec<Event> {
        self.lines.iter().map(|line| line.event.clone()).collect()
    }
}

pub fn finished_step(step: u64) -> StepFinished {
    StepFinished {
        loss: 4.0 / (1.0 + step as f64 / 100.0) + (step % 7) as f64 / 100.0,
        learning_rate: 1e-4,
        grad_norm: if step % 50 == 3 { f64::NAN } else { 1.0 + (step % 5) as f64 },
        tokens: 1000 + step % 3,
        target_tokens: 500,
        rows: 8,
        epoch: step as f64 / 250.0,
        tokens_per_second: 10_000.0,
        step_ms: 100.0,
    }
}

pub fn evaluated(loss: f64) -> Evaluated {
    Evaluated { loss, accuracy: 0.5, loss_low: loss - 0.1, loss_high: loss + 0.1, rows: 10, tokens: 100, best: false, duration_ms: 5.0 }
}

pub fn resumed(from_step: u64) -> RunResumed {
    RunResumed { from_step, cause: "signal".into(), ..RunResumed::default() }
}

pub fn facts(id: &str) -> RunFacts {
    RunFacts {
        id: id.to_owned(),
        folder: format!("runs/{id}"),
        name: id.to_owned(),
        method: "lora".to_owned(),
        model: "starter".to_owned(),
        data: "sample".to_owned(),
        ..RunFacts::default()
    }
}

pub fn parts(id: &str, log: LogPart) -> RunParts {
    RunParts { facts: facts(id), log: Some(log), ..RunParts::default() }
}
