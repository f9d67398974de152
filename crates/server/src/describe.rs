//! Runs as they go over the wire, made from what stands of their logs.

use apertis_domain::{Action, Event, Recipe, RunState};
use apertis_protocol::run::{CoachNote, Dependent, FieldValue, MemoryPart, Reason, RowCounts, Run, RunCommand, RunEvent, RunRow, State};
use apertis_runs::coach::{Note, Tone};
use apertis_runs::{RunCard, RunFolder, RunRecord};
use serde_json::{Map, Value};

use crate::recipes;
use crate::request::etag;

/// Values of the small curve in a list.
const CURVE_POINTS: usize = 48;
/// Weight of the newest loss in the smoothed one.
const SMOOTHING: f64 = 0.1;
/// Row numbers of a reason that are sent.
const REASON_ROWS: usize = 20;

/// A state with what a person reads.
pub(crate) fn state(state: &RunState) -> State {
    let reason = match state {
        RunState::Paused { reason } | RunState::Finished { reason } => reason.clone(),
        RunState::Failed { code } => code.clone(),
        RunState::Elsewhere { host } => host.clone(),
        _ => String::new(),
    };
    State { name: state.name().to_owned(), reason, text: state.to_string(), is_active: state.is_active() }
}

/// The last part of a path, or a text as it is.
fn short(text: &str) -> String {
    let end = text.trim_end_matches(['/', '\\']);
    end.rsplit(['/', '\\']).next().unwrap_or(end).to_owned()
}

/// A run in a list.
pub(crate) fn row(card: &RunCard, recipe: &Recipe, record: &RunRecord, state_now: &RunState) -> RunRow {
    let best = record.best();
    let failed = record.failed.clone().unwrap_or_default();
    RunRow {
        id: card.id.clone(),
        name: card.title().to_owned(),
        state: state(state_now),
        tags: card.tags.clone(),
        method: recipe.method.name().to_owned(),
        model: if recipe.model.is_empty() { recipe.shape.family.clone() } else { short(&recipe.model) },
        data: short(&recipe.data),
        step: record.step(),
        total_steps: record.total_steps,
        epoch: record.steps.last().map_or(0.0, |point| point.value.epoch),
        train_loss: smoothed_loss(record),
        best_loss: best.map(|point| point.value.loss),
        best_step: best.map(|point| point.step),
        tokens_per_second: Some(record.tokens_per_second()).filter(|speed| *speed > 0.0),
        elapsed_ms: record.elapsed_ms,
        left_ms: record.seconds_left().filter(|_| state_now.is_active()).map(|seconds| (seconds * 1e3) as u64),
        curve: curve(record),
        created_at: card.created_at.clone(),
        changed_at: if record.changed_at.is_empty() { card.created_at.clone() } else { record.changed_at.clone() },
        failure: failed.message,
        failure_hint: failed.hint,
        queue_place: None,
        sweep: card.sweep.as_ref().map(|place| place.id.clone()),
    }
}

fn smoothed_loss(record: &RunRecord) -> Option<f64> {
    // Older points hardly weigh in.
    let recent = &record.steps[record.steps.len().saturating_sub(60)..];
    let losses = recent.iter().map(|point| point.value.loss).filter(|loss| loss.is_finite());
    losses.reduce(|smooth, loss| smooth + SMOOTHING * (loss - smooth))
}

fn curve(record: &RunRecord) -> Vec<Option<f32>> {
    let steps = &record.steps;
    let size = steps.len().div_ceil(CURVE_POINTS).max(1);
    steps
        .chunks(size)
        .map(|chunk| {
            let finite: Vec<f64> = chunk.iter().map(|point| point.value.loss).filter(|loss| loss.is_finite()).collect();
            (!finite.is_empty()).then(|| (finite.iter().sum::<f64>() / finite.len() as f64) as f32)
        })
        .collect()
}

/// What a run's page shows of it.
pub(crate) struct Whole<'a> {
    pub(crate) row: RunRow,
    pub(crate) card: &'a RunCard,
    pub(crate) folder: &'a RunFolder,
    pub(crate) recipe: &'a Recipe,
    pub(crate) record: &'a RunRecord,
    pub(crate) state: &'a RunState,
}

/// One run, whole.
pub(crate) fn whole(of: Whole<'_>) -> Run {
    let Whole { row, card, folder, recipe, record, state } = of;
    let plan = record.plan.clone().unwrap_or_default();
    Run {
        folder: folder.path().display().to_string(),
        notes: card.notes.clone(),
        changed_fields: recipes::changed(recipe),
        parameters: plan.parameters,
        trainable_parameters: plan.trainable_parameters,
        memory: plan.memory.into_iter().map(|part| MemoryPart { component: part.component, bytes: part.bytes }).collect(),
        peak_memory_bytes: record.memory.as_ref().map(|memory| memory.peak_rss_bytes),
        rows: record.data.as_ref().map(row_counts),
        energy: None,
        has_report: folder.report().is_file(),
        can: can(state, record),
        next: next_steps(card, folder, record, state),
        lineage: lineage(recipe),
        command: recipe.to_command(),
        seq: record.seq.unwrap_or(0),
        etag: card_etag(card),
        row,
    }
}

/// Names the words that a person gave a run.
pub(crate) fn card_etag(card: &RunCard) -> String {
    let tags = card.tags.join("\u{1}");
    etag(&[card.title(), &tags, &card.notes])
}

/// What can be asked of a run in a state.
pub(crate) fn can(state: &RunState, record: &RunRecord) -> Vec<String> {
    let words: &[&str] = match state {
        RunState::Training | RunState::Evaluating | RunState::Saving => {
            &["pause", "save_now", "stop", "abort", "set_learning_rate", "extend", "clone"]
        }
        RunState::Preparing => &["stop", "abort", "clone"],
        RunState::Paused { .. } => &["unpause", "stop", "abort", "clone"],
        // A worker waits in line itself.
        RunState::Queued if record.seq.is_some() => &["stop", "clone"],
        RunState::Queued => &["resume", "delete", "clone"],
        RunState::Stopping | RunState::NotAnswering | RunState::Elsewhere { .. } => &["clone"],
        RunState::Finished { .. } => &["extend", "delete", "clone", "reproduce"],
        RunState::Stopped | RunState::Interrupted | RunState::Failed { .. } => &["resume", "delete", "clone", "reproduce"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn next_steps(card: &RunCard, folder: &RunFolder, record: &RunRecord, state: &RunState) -> Vec<apertis_protocol::home::NextStep> {
    if !matches!(state, RunState::Finished { .. } | RunState::Stopped) || record.checkpoints.is_empty() {
        return Vec::new();
    }
    let (name, page) = (folder.name(), format!("/runs/{}", card.id));
    let step = |text: &str, label: &str, href: String, command: String| apertis_protocol::home::NextStep {
        text: text.to_owned(),
        label: label.to_owned(),
        href,
        command,
    };
    vec![
        step("Ask the model something in a terminal.", "Copy the command", page.clone(), format!("apertis run {name}")),
        step(
            "Build the adapter into a model of its own.",
            "Copy the command",
            page,
            format!("apertis merge model={name} out=./{name}-model"),
        ),
        step(
            "Start the next run from what this one learned.",
            "Train on",
            format!("/train?model={name}"),
            format!("apertis train model={name} data=…"),
        ),
    ]
}

fn lineage(recipe: &Recipe) -> Vec<Dependent> {
    let from = |kind: &str, name: &str| Dependent {
        kind: kind.to_owned(),
        name: short(name),
        href: String::new(),
        relation: "made_from".to_owned(),
    };
    let parts = [("model", &recipe.model), ("checkpoint", &recipe.adapter), ("data", &recipe.data), ("data", &recipe.eval_data)];
    parts.into_iter().filter(|(_, name)| !name.is_empty()).map(|(kind, name)| from(kind, name)).collect()
}

fn row_counts(data: &apertis_domain::event::DataChecked) -> RowCounts {
    let reasons = |is_dropped: bool, counts: &std::collections::BTreeMap<String, apertis_domain::event::ReasonCount>| {
        let made = counts.iter().map(move |(code, found)| Reason {
            code: code.clone(),
            is_dropped,
            count: found.count,
            rows: found.rows.iter().copied().take(REASON_ROWS).collect(),
            example: found.example.clone(),
        });
        made.collect::<Vec<Reason>>()
    };
    RowCounts {
        rows: data.rows,
        train_rows: data.train_rows,
        eval_rows: data.eval_rows,
        tokens: data.tokens,
        target_tokens: data.target_tokens,
        reasons: reasons(true, &data.dropped).into_iter().chain(reasons(false, &data.changed)).collect(),
    }
}

/// A line of a log.
pub(crate) fn run_event(event: &Event) -> RunEvent {
    const SHARED: [&str; 7] = ["v", "seq", "attempt", "step", "at", "elapsed_ms", "kind"];
    let fields = match serde_json::to_value(event) {
        Ok(Value::Object(fields)) => fields.into_iter().filter(|(name, _)| !SHARED.contains(&name.as_str())).collect(),
        _ => Map::new(),
    };
    RunEvent {
        seq: event.seq,
        attempt: event.attempt,
        step: event.step,
        at: event.at.clone(),
        elapsed_ms: event.elapsed_ms,
        kind: event.kind.name().to_owned(),
        fields: Value::Object(fields),
    }
}

/// A field with a value to set.
pub(crate) fn field_value(name: &str, value: String) -> FieldValue {
    FieldValue { name: name.to_owned(), value }
}

/// What the coach says.
pub(crate) fn coach_note(note: Note) -> CoachNote {
    let tone = match note.tone {
        Tone::Good => "good",
        Tone::Info => "info",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    };
    let action = note.action.map(|action| match action {
        Action::Pause => RunCommand::Pause,
        Action::Unpause => RunCommand::Unpause,
        Action::SaveNow => RunCommand::SaveNow,
        Action::Stop { now: false } => RunCommand::Stop,
        Action::Stop { now: true } => RunCommand::Abort,
        Action::SetLearningRate { learning_rate } => RunCommand::SetLearningRate { learning_rate },
        Action::Extend { epochs, max_steps } => RunCommand::Extend { epochs, max_steps },
    });
    CoachNote { tone: tone.to_owned(), text: note.text, advice: note.advice, action, step: note.step }
}
