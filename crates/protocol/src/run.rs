//! Runs: rows of the list, one run whole, and what can be asked of it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A state, as a word and with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct State {
    /// queued, preparing, training, evaluating, saving, paused, stopping, finished, stopped, failed,
    /// interrupted, not_answering, elsewhere.
    pub name: String,
    /// Why it pauses or finished, or the code of the failure, or the other host; empty where the name says all.
    pub reason: String,
    /// What a person reads.
    pub text: String,
    /// Whether a worker is expected to be at work on it.
    pub is_active: bool,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunRow {
    /// Never changes; part of addresses.
    pub id: String,
    /// What a person calls it: 1–80 characters in any script.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Words given by a person.
    pub tags: Vec<String>,
    /// scratch, continue, full, lora or freeze.
    pub method: String,
    /// Name of the model it begins from.
    pub model: String,
    /// Name of its data.
    pub data: String,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run; 0 while unknown.
    pub total_steps: u64,
    /// Passes through the data so far.
    pub epoch: f64,
    /// Newest loss in training, smoothed.
    pub train_loss: Option<f64>,
    /// Lowest held-out loss.
    pub best_loss: Option<f64>,
    /// Its step.
    pub best_step: Option<u64>,
    /// Newest real tokens a second.
    pub tokens_per_second: Option<f64>,
    /// Working time.
    pub elapsed_ms: u64,
    /// Working time that is left, where it trains.
    pub left_ms: Option<u64>,
    /// Loss in training, at most 48 values evenly over its steps: the curve in a list.
    pub curve: Vec<Option<f32>>,
    /// When it was made.
    pub created_at: String,
    /// When its newest event was written.
    pub changed_at: String,
    /// Why it failed, in one sentence; empty where it did not.
    pub failure: String,
    /// What to do about it.
    pub failure_hint: String,
    /// Place in the queue from 1; `None` where it does not wait.
    pub queue_place: Option<u64>,
    /// The sweep it belongs to.
    pub sweep: Option<String>,
}

/// Order and filter of the list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct RunQuery {
    /// Rows a page, 1–200; 50 where absent.
    pub limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub cursor: Option<String>,
    /// created, changed, name, best_loss, tokens_per_second, elapsed, step, state.
    pub sort: Option<String>,
    /// asc or desc.
    pub order: Option<String>,
    /// State names, separated by commas.
    pub state: Option<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// Name of the data.
    pub data: Option<String>,
    /// A tag.
    pub tag: Option<String>,
    /// Words that name, model, data, tags or notes contain.
    pub text: Option<String>,
    /// Whether to list the trash instead.
    pub trash: Option<bool>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// What stands in lists.
    pub row: RunRow,
    /// Absolute path of its folder.
    pub folder: String,
    /// What a person wrote about it.
    pub notes: String,
    /// The recipe's fields that are not the default, as texts.
    pub changed_fields: Vec<FieldValue>,
    /// Parameters of the model; 0 while unknown.
    pub parameters: u64,
    /// Of these, trained.
    pub trainable_parameters: u64,
    /// Memory by part, as planned.
    pub memory: Vec<MemoryPart>,
    /// Largest memory seen, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Rows and tokens, as counted.
    pub rows: Option<RowCounts>,
    /// Energy, where it is known.
    pub energy: Option<Energy>,
    /// Whether there is a report.
    pub has_report: bool,
    /// What can be asked of it now.
    pub can: Vec<String>,
    /// Three things to do next, where it ended.
    pub next: Vec<crate::home::NextStep>,
    /// Where it comes from and what was made of it.
    pub lineage: Vec<Dependent>,
    /// The command that starts the same.
    pub command: String,
    /// Number of the newest event that this answer knows.
    pub seq: u64,
    /// For `If-Match`: changes with name, tags and notes.
    pub etag: String,
}

/// A field of a recipe with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldValue {
    /// Full name: `lora.rank`.
    pub name: String,
    /// As it stands in a file or on the command line.
    pub value: String,
}

/// Bytes that one part takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryPart {
    /// weights, adapter, optimizer, activations, …
    pub component: String,
    /// How much.
    pub bytes: u64,
}

/// What the data check counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowCounts {
    /// Rows found.
    pub rows: u64,
    /// Rows trained on.
    pub train_rows: u64,
    /// Rows held out.
    pub eval_rows: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Of these, targets.
    pub target_tokens: u64,
    /// Rows left out or changed, by reason.
    pub reasons: Vec<Reason>,
}

/// Rows with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// too_long, empty_answer, …
    pub code: String,
    /// Whether they were left out, rather than changed.
    pub is_dropped: bool,
    /// How many.
    pub count: u64,
    /// Row numbers of the first, from 0.
    pub rows: Vec<u64>,
    /// One sentence about the first.
    pub example: String,
}

/// Energy with its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Energy {
    /// Joules since the start.
    pub joules: f64,
    /// nvml, rapl or watts.
    pub source: String,
}

/// Something that this run stands on, or that stands on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dependent {
    /// model, data, run, checkpoint, sweep.
    pub kind: String,
    /// What a person calls it.
    pub name: String,
    /// Its page, or empty.
    pub href: String,
    /// made_from or made_into.
    pub relation: String,
}

/// A new run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewRun {
    /// What to train.
    pub recipe: crate::recipe::RecipeDraft,
    /// Its name; numbered from the method where absent.
    pub name: Option<String>,
    /// Words for it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Begin at once or as soon as the device is free; `false` only makes the folder.
    #[serde(default = "yes")]
    pub start: bool,
}

fn yes() -> bool {
    true
}

/// What a person changes about a run. Absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RunChange {
    /// New name.
    pub name: Option<String>,
    /// New tags, all of them.
    pub tags: Option<Vec<String>>,
    /// New notes.
    pub notes: Option<String>,
}

/// What is asked of a living run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum RunCommand {
    /// Finish the step and wait.
    Pause,
    /// Go on.
    Unpause,
    /// Save a checkpoint after this step.
    SaveNow,
    /// Save and end.
    Stop,
    /// End without saving.
    Abort,
    /// Use another highest learning rate from here on.
    SetLearningRate {
        /// The new one.
        learning_rate: f64,
    },
    /// Evaluate after this step.
    EvaluateNow,
    /// Evaluate after every so many steps from here on.
    SetEvalSteps {
        /// Steps from one evaluation to the next, at least 1.
        eval_steps: u64,
    },
    /// Train until another end. The rest of the schedule is planned again from here.
    Extend {
        /// Passes through the data in total; 0 leaves them.
        #[serde(default)]
        epochs: f64,
        /// Steps in total; 0 leaves them.
        #[serde(default)]
        max_steps: u64,
    },
}

/// How a command was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandAnswer {
    /// Its id: the event that answers it carries the same.
    pub id: String,
    /// waiting, accepted or refused; waiting where the worker had not answered within a second.
    pub outcome: String,
    /// One sentence.
    pub message: String,
}

/// How a run is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloneRequest {
    /// as_started or as_became.
    pub how: String,
}

/// What differs between a run's record and this machine now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reproduction {
    /// Whether the same bits come out.
    pub is_same: bool,
    /// data, base, version, device, threads, instruction set.
    pub parts: Vec<ReproductionPart>,
    /// The command that runs it again.
    pub command: String,
}

/// One thing that decides about the bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReproductionPart {
    /// What.
    pub name: String,
    /// In the record.
    pub then: String,
    /// Here and now.
    pub now: String,
    /// Whether they are the same.
    pub is_same: bool,
}

/// A line of the log, as it stands there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// Its number over the run's life.
    pub seq: u64,
    /// Which worker start wrote it.
    pub attempt: u32,
    /// Steps done.
    pub step: u64,
    /// When.
    pub at: String,
    /// Working time.
    pub elapsed_ms: u64,
    /// step_finished, evaluated, checkpoint_saved, … The page shows unknown ones plainly.
    pub kind: String,
    /// The kind's own fields.
    pub fields: serde_json::Value,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct EventQuery {
    /// Only those after this number, the oldest first; the newest where absent.
    pub after: Option<u64>,
    /// How many, 1–2,000; 200 where absent.
    pub limit: Option<u32>,
    /// Whether finished steps are listed too.
    pub points: Option<bool>,
}

/// Events of a run, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub items: Vec<RunEvent>,
    /// Whether there are more than these.
    pub more: bool,
    /// Number of the newest event of the log.
    pub seq: u64,
}

/// How a file is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct FileQuery {
    /// `frame` shows the report in a frame of our pages; a download where absent.
    pub view: Option<String>,
}

/// The end of a text file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogText {
    /// Its newest lines.
    pub text: String,
    /// Size of the whole file.
    pub bytes: u64,
}

/// Answers to the fixed prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SampleAnswer {
    /// Which prompt, from 0.
    pub index: u64,
    /// Steps done.
    pub step: u64,
    /// The prompt.
    pub prompt: String,
    /// The answer.
    pub text: String,
    /// What the data says; empty where unknown.
    pub reference: String,
}

/// A token of "What it sees".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeenToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// trained, masked or cut.
    pub kind: String,
}

/// A row of one of the first batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeenRow {
    /// Batch, from 0.
    pub batch: u64,
    /// Row number in the data.
    pub row: u64,
    /// Its tokens.
    pub tokens: Vec<SeenToken>,
}

/// A sentence of the coach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoachNote {
    /// good, info, warn or bad.
    pub tone: String,
    /// What it sees, with its numbers.
    pub text: String,
    /// What to do.
    pub advice: String,
    /// A command that does so, where there is one.
    pub action: Option<RunCommand>,
    /// The step it speaks of.
    pub step: u64,
}

/// A file of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunFile {
    /// Path from the run's folder.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// When it was changed.
    pub changed_at: String,
}
