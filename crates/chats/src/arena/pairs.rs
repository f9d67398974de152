//! Pairs of answers and the votes on them, in an append-only log. A pair is drawn, answered, voted
//! on; each step survives a restart.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::{AtPath, refused};
use crate::lock::WriterLock;
use crate::log::{Durability, LogFile, read_log};
use crate::random::Random;
use crate::{ChatsError, ModelVersion, Role, Time, Turn};

/// Name of the log.
const LOG_FILE: &str = "votes.jsonl";

/// Version of its lines.
const LINE_VERSION: u32 = 1;

/// The number of a pair, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PairId(pub u64);

/// Under which letter an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The answer shown as A is better.
    A,
    /// The answer shown as B is better.
    B,
    /// Both are as good.
    Tie,
    /// Neither is good.
    BothBad,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Who answers. Not to be shown before the vote.
    pub model: ModelVersion,
    /// The answer, once it is whole.
    pub answer: Option<String>,
}

/// A pair, as it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its number.
    pub id: PairId,
    /// When it was drawn.
    pub at: Time,
    /// What both were asked.
    pub prompt: Vec<Turn>,
    /// What was shown as A.
    pub a: Side,
    /// What was shown as B.
    pub b: Side,
    /// Whether the order drawn is the other one than that in which the models were named.
    pub is_swapped: bool,
    /// The vote, once there is one.
    pub choice: Option<Choice>,
    /// When it was given.
    pub voted: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    v: u32,
    at: Time,
    pair: PairId,
    #[serde(flatten)]
    record: Record,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    PairDrawn {
        prompt: Vec<Turn>,
        a: ModelVersion,
        b: ModelVersion,
        is_swapped: bool,
    },
    PairAnswered {
        slot: Slot,
        text: String,
    },
    PairVoted {
        choice: Choice,
    },
    #[serde(other)]
    Other,
}

/// The pairs of a home.
pub struct Arena {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Time + Send + Sync>,
    _lock: WriterLock,
}

struct State {
    log: LogFile,
    pairs: Vec<Pair>,
    damaged_lines: u64,
}

impl Arena {
    /// Opens the folder of the votes, made where it is missing. A line that a kill left unfinished
    /// is cut.
    ///
    /// # Errors
    /// Another process has it open, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Arena, ChatsError> {
        Arena::open_with_clock(folder, Time::now)
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Arena::open`].
    pub fn open_with_clock(folder: &Path, clock: impl Fn() -> Time + Send + Sync + 'static) -> Result<Arena, ChatsError> {
        fs::create_dir_all(folder).at("create folder", folder)?;
        let lock = WriterLock::take(folder)?;
        let path = folder.join(LOG_FILE);
        let (log, _) = LogFile::open(&path)?;
        let (lines, damaged_lines) = read_log::<Line>(&path)?;
        let mut state = State { log, pairs: Vec::new(), damaged_lines };
        for line in lines {
            if !state.take(line) {
                state.damaged_lines += 1;
            }
        }
        Ok(Arena { state: Mutex::new(state), clock: Box::new(clock), _lock: lock })
    }

    /// Draws which of two models is shown as A, from a seed.
    ///
    /// # Errors
    /// Both are the same version, the prompt does not end with something to answer, or the disk
    /// refused.
    pub fn draw(&self, prompt: Vec<Turn>, first: ModelVersion, second: ModelVersion, seed: u64) -> Result<PairId, ChatsError> {
        if first == second {
            return Err(refused("draw pair", format!("expected two versions, found {} twice", first.label())));
        }
        if prompt.last().is_none_or(|turn| matches!(turn.role, Role::Assistant | Role::System) || turn.text.is_empty()) {
            return Err(refused("draw pair", "expected a prompt that ends with a question"));
        }
        let is_swapped = Random::new(seed).below(2) == 1;
        let (a, b) = if is_swapped { (second, first) } else { (first, second) };
        let mut state = self.state();
        let pair = PairId(state.pairs.last().map_or(0, |pair| pair.id.0) + 1);
        state.append((self.clock)(), pair, Record::PairDrawn { prompt, a, b, is_swapped })?;
        Ok(pair)
    }

    /// Keeps a whole answer of a pair.
    ///
    /// # Errors
    /// The pair is unknown or has that answer, or the disk refused.
    pub fn answer(&self, id: PairId, slot: Slot, text: &str) -> Result<(), ChatsError> {
        let mut state = self.state();
        let pair = state.expect("keep answer", id)?;
        let side = if slot == Slot::A { &pair.a } else { &pair.b };
        if side.answer.is_some() {
            return Err(refused("keep answer", format!("pair {} has its answer {slot:?}", id.0)));
        }
        state.append((self.clock)(), id, Record::PairAnswered { slot, text: text.to_owned() })
    }

    /// Votes on a pair, once. Returns the pair, whose models may be shown now.
    ///
    /// # Errors
    /// The pair is unknown, an answer is missing, it was voted on, or the disk refused.
    pub fn vote(&self, id: PairId, choice: Choice) -> Result<Pair, ChatsError> {
        let mut state = self.state();
        let pair = state.expect("vote", id)?;
        if pair.choice.is_some() {
            return Err(refused("vote", format!("pair {} was voted on", id.0)));
        }
        if pair.a.answer.is_none() || pair.b.answer.is_none() {
            return Err(refused("vote", format!("pair {} is not answered yet", id.0)));
        }
        state.append((self.clock)(), id, Record::PairVoted { choice })?;
        state.expect("vote", id).cloned()
    }

    /// A pair as it is now.
    ///
    /// # Errors
    /// It is unknown.
    pub fn pair(&self, id: PairId) -> Result<Pair, ChatsError> {
        self.state().expect("find pair", id).cloned()
    }

    /// All pairs, oldest first.
    pub fn pairs(&self) -> Vec<Pair> {
        self.state().pairs.clone()
    }

    /// Lines of the log that say nothing that fits.
    pub fn damaged_lines(&self) -> u64 {
        self.state().damaged_lines
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves nothing half done: lines are written before they are taken in.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, at: Time, pair: PairId, record: Record) -> Result<(), ChatsError> {
        let line = Line { v: LINE_VERSION, at, pair, record };
        self.log.append(&line, Durability::Now)?;
        self.take(line);
        Ok(())
    }

    fn find(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.binary_search_by_key(&id, |pair| pair.id).ok().map(|at| &mut self.pairs[at])
    }

    fn expect(&mut self, operation: &'static str, id: PairId) -> Result<&Pair, ChatsError> {
        match self.find(id) {
            Some(pair) => Ok(pair),
            None => Err(refused(operation, format!("there is no pair {}", id.0))),
        }
    }

    /// Takes a line in; says whether it fits.
    fn take(&mut self, line: Line) -> bool {
        let Line { at, pair: id, record, .. } = line;
        match record {
            Record::PairDrawn { prompt, a, b, is_swapped } => {
                let is_new = self.pairs.last().is_none_or(|last| last.id < id);
                if is_new {
                    let side = |model| Side { model, answer: None };
                    self.pairs.push(Pair { id, at, prompt, a: side(a), b: side(b), is_swapped, choice: None, voted: None });
                }
                is_new
            }
            Record::PairAnswered { slot, text } => self.find(id).is_some_and(|pair| {
                let side = if slot == Slot::A { &mut pair.a } else { &mut pair.b };
                let is_new = side.answer.is_none();
                side.answer.get_or_insert(text);
                is_new
            }),
            Record::PairVoted { choice } => self.find(id).is_some_and(|pair| {
                let is_new = pair.choice.is_none();
                pair.choice.get_or_insert(choice);
                pair.voted.get_or_insert(at);
                is_new
            }),
            Record::Other => true,
        }
    }
}
