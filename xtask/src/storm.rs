//! `cargo xtask storm [--kills N] [--seed S]`: kills a real run with `kill -9` at random moments,
//! resumes it each time, and compares it with a run that nobody disturbed, byte by byte.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::demo::Program;

const STEPS: u64 = 240;
const SAVE_EVERY: u64 = 8;
/// Files of the last checkpoint that hold everything that training changed.
const COMPARED: [&str; 2] = ["model.safetensors", "training_state.safetensors"];
/// A worker that is asked for something and has not done it by then hangs.
const LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(2);

/// When a worker is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after it was started.
    Start(Duration),
    /// So long after a step is done.
    Step(u64, Duration),
    /// So long after the first checkpoint from this step on is begun.
    Saving(u64, Duration),
}

/// What was found.
#[derive(Default)]
struct Tally {
    kills: u64,
    /// What the run was doing, by its last event or the unfinished folder.
    while_starting: u64,
    while_saving: u64,
    resumed_from: Vec<u64>,
}

/// Runs the storm and prints what it found.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (kills, seed) = options(arguments)?;
    let program = Program::build(root)?;
    let home = root.join("target").join("storm");
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("storm: cannot empty {}", home.display()))?;
    }
    let storm = Storm { program, home };
    let began = Instant::now();
    storm.call(&["train", "--name", "calm"], &storm.recipe())?;
    println!("undisturbed: {STEPS} steps in {:.1} s; {kills} kills follow, seed {seed}", began.elapsed().as_secs_f64());

    let mut random = Random(seed);
    let mut tally = Tally::default();
    let first = ["train", "--name", "storm", "--detach", "--now"];
    storm.call(&first, &storm.recipe())?;
    let mut number = 0;
    while number < kills {
        let moment = moment(number, kills, &mut random);
        if !storm.kill(moment, &mut tally)? {
            bail!("storm: the run ended before kill {} of {kills} ({moment:?}); {} were done", number + 1, tally.kills);
        }
        number += 1;
        storm.call(&["train", "resume=storm", "--detach", "--now"], &[])?;
    }
    storm.wait("the end", |events| events.iter().any(|event| event["kind"] == "run_finished"))?;
    storm.wait_until_free()?;
    check_log(&storm.events("storm")?, &mut tally)?;
    storm.compare()?;
    println!(
        "{} kills ({} at the start, {} while a checkpoint was written); resumed from {:?}; the last checkpoint and its optimizer state are \
         the undisturbed run's to the bit; {:.0} s",
        tally.kills,
        tally.while_starting,
        tally.while_saving,
        tally.resumed_from,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn options(arguments: &[String]) -> Result<(u64, u64)> {
    let (mut kills, mut seed) = (20, 1);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().and_then(|text| text.parse().ok()).with_context(|| format!("storm: {word} expects a whole number"))?;
        match word.as_str() {
            "--kills" => kills = value,
            "--seed" => seed = value,
            _ => bail!("storm: expected --kills or --seed, found `{word}`"),
        }
    }
    Ok((kills, seed))
}

/// A moment of the part of the run that belongs to this kill: every fourth at the start of a
/// worker, every fourth while a checkpoint is written.
fn moment(number: u64, kills: u64, random: &mut Random) -> Moment {
    let part = STEPS * 9 / 10 / kills.max(1);
    let step = number * part + random.below(part.max(1));
    match number % 4 {
        1 => Moment::Start(Duration::from_millis(random.below(400))),
        3 => Moment::Saving(step, Duration::from_micros(random.below(40_000))),
        _ => Moment::Step(step, Duration::from_micros(random.below(60_000))),
    }
}

struct Storm {
    program: Program,
    home: PathBuf,
}

impl Storm {
    fn recipe(&self) -> Vec<String> {
        let words = format!(
            "model=fixtures/demo/base data=fixtures/demo/questions.jsonl eval_data=fixtures/demo/validation.jsonl method=full \
             learning_rate=3e-4 batch_size=8 patience=0 sample_tokens=0 eval_steps=60 max_steps={STEPS} save_every={SAVE_EVERY}"
        );
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn call(&self, words: &[&str], fields: &[String]) -> Result<()> {
        let mut command = self.program.command(words);
        let output =
            command.args(fields).env("APERTIS_HOME", &self.home).stdin(Stdio::null()).output().context("storm: cannot start apertis")?;
        ensure!(output.status.success(), "storm: `apertis {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn folder(&self, run: &str) -> PathBuf {
        self.home.join("runs").join(run)
    }

    /// The whole lines of a log.
    fn events(&self, run: &str) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.folder(run).join("events.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("storm: {run}: `{line}`"))).collect()
    }

    fn wait(&self, what: &str, is_there: impl Fn(&[Value]) -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_there(&self.events("storm")?) {
            ensure!(began.elapsed() < LIMIT, "storm: waited for {what}");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits for a moment and kills the worker; false when the run had ended before.
    fn kill(&self, moment: Moment, tally: &mut Tally) -> Result<bool> {
        let pid_file = self.folder("storm").join("worker.pid");
        let began = Instant::now();
        let pid = loop {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            // A worker that was killed left its own behind.
            if let Some(pid) = text.trim().parse::<u32>().ok().filter(|pid| is_alive(*pid)) {
                break pid;
            }
            ensure!(began.elapsed() < LIMIT, "storm: waited for a worker");
            std::thread::sleep(POLL);
        };
        let ended = |events: &[Value]| events.iter().any(|event| event["kind"] == "run_finished");
        let reached = |events: &[Value], step| {
            let last = events.iter().rev().find(|event| event["kind"] == "step_finished" || event["kind"] == "run_resumed");
            ended(events) || last.is_some_and(|event| event["step"].as_u64() >= Some(step))
        };
        match moment {
            Moment::Start(delay) => std::thread::sleep(delay),
            Moment::Step(step, delay) => {
                self.wait("a step", |events| reached(events, step))?;
                std::thread::sleep(delay);
            }
            Moment::Saving(step, delay) => {
                self.wait("a checkpoint", |events| ended(events) || reached(events, step) && self.is_saving())?;
                std::thread::sleep(delay);
            }
        }
        if ended(&self.events("storm")?) {
            return Ok(false);
        }
        let status = Command::new("kill").args(["-9", &pid.to_string()]).status().context("storm: cannot start kill")?;
        ensure!(status.success(), "storm: worker {pid} was not there to be killed ({moment:?})");
        self.wait_until_free()?;
        let events = self.events("storm")?;
        tally.kills += 1;
        tally.while_saving += u64::from(self.is_saving());
        let last_start = events.iter().rposition(|event| event["kind"] == "run_started" || event["kind"] == "run_resumed");
        let has_stepped = last_start.is_some_and(|start| events[start..].iter().any(|event| event["kind"] == "step_finished"));
        tally.while_starting += u64::from(!has_stepped);
        Ok(true)
    }

    fn is_saving(&self) -> bool {
        let entries = std::fs::read_dir(self.folder("storm").join("checkpoints")).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
    }

    /// Waits until no worker holds the run.
    fn wait_until_free(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.folder("storm").join("worker.pid")).unwrap_or_default();
            if text.trim().parse().ok().is_none_or(|pid| !is_alive(pid)) {
                return Ok(());
            }
            ensure!(began.elapsed() < LIMIT, "storm: the worker stays");
            std::thread::sleep(POLL);
        }
    }

    fn compare(&self) -> Result<()> {
        for name in COMPARED {
            let read = |run: &str| {
                let path = self.folder(run).join("checkpoints/last").join(name);
                std::fs::read(&path).with_context(|| format!("storm: cannot read {}", path.display()))
            };
            ensure!(read("calm")? == read("storm")?, "storm: {name} differs from the undisturbed run's");
        }
        let losses = |run: &str| -> Result<Vec<Value>> {
            let events = self.events(run)?;
            Ok(standing_steps(&events)?.into_iter().map(|event| event["loss"].clone()).collect())
        };
        ensure!(losses("calm")? == losses("storm")?, "storm: a loss differs from the undisturbed run's");
        Ok(())
    }
}

/// Numbers without a gap, no start from nothing once a checkpoint stood, every step once.
fn check_log(events: &[Value], tally: &mut Tally) -> Result<()> {
    let mut saved = 0;
    for (number, event) in events.iter().enumerate() {
        ensure!(event["seq"].as_u64() == Some(number as u64), "storm: line {number} has seq {}", event["seq"]);
        match event["kind"].as_str() {
            Some("checkpoint_saved") => saved = event["step"].as_u64().context("storm: a checkpoint without a step")?,
            Some("run_resumed") => {
                let from = event["from_step"].as_u64().context("storm: a resume without a step")?;
                ensure!(from >= saved, "storm: resumed from step {from} although {saved} was saved");
                tally.resumed_from.push(from);
            }
            _ => {}
        }
    }
    let steps = standing_steps(events)?.len() as u64;
    ensure!(steps == STEPS, "storm: {steps} steps stand, expected {STEPS}");
    Ok(())
}

/// Steps that no resume took back, each one after the other.
fn standing_steps(events: &[Value]) -> Result<Vec<&Value>> {
    let mut steps: Vec<&Value> = Vec::new();
    for event in events {
        match event["kind"].as_str() {
            Some("run_resumed") => steps.truncate(event["from_step"].as_u64().unwrap_or(0) as usize),
            Some("step_finished") => {
                let next = steps.len() as u64 + 1;
                ensure!(event["step"].as_u64() == Some(next), "storm: step {} stands where {next} was expected", event["step"]);
                steps.push(event);
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// Whether a process runs; one that ended and that nobody waited for does not.
fn is_alive(pid: u32) -> bool {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the name, which is in brackets and may hold anything.
        return stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']));
    }
    let has_processes = Path::new("/proc/self").exists();
    let asked = || Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
    !has_processes && asked().is_ok_and(|status| status.success())
}

/// SplitMix64, Steele et al. 2014.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}
