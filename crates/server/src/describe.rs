//! Runs as they go over the wire, made from what stands of their logs.

use apertis_domain::{Action, Event, Recipe};
use apertis_protocol::home::NextStep;
use apertis_protocol::run::{
    CoachNote, Dependent, Energy, FieldValue, MemoryPart, Reason, RowCounts, Run, RunCommand, RunEvent, RunRow, State,
};
use apertis_runs::coach::{Note, Tone};
use apertis_runs::{RunCard, RunFolder};
use apertis_storage::index;
use serde_json::{Map, Value};

use crate::mirror::KnownRun;
use crate::recipes;
use crate::request::etag;

/// Row numbers of a reason that are sent.
const REASON_ROWS: usize = 20;

/// A run in a list.
pub(crate) fn row(row: &index::RunRow) -> RunRow {
    let index::RunRow { facts, status, .. } = row;
    RunRow {
        id: facts.id.clone(),
        name: facts.name.clone(),
        state: State { name: status.name.clone(), reason: status.reason.clone(), text: status.text.clone(), is_active: status.is_active },
        tags: facts.tags.clone(),
        method: facts.method.clone(),
        model: facts.model.clone(),
        data: facts.data.clone(),
        step: row.step,
        total_steps: row.total_steps,
        epoch: row.epoch,
        train_loss: row.train_loss,
        best_loss: row.best_loss,
        best_step: row.best_step,
        tokens_per_second: row.tokens_per_second.filter(|speed| *speed > 0.0),
        elapsed_ms: row.elapsed_ms,
        left_ms: row.left_ms,
        curve: row.curve.clone(),
        created_at: row.created_at.clone(),
        changed_at: row.changed_at.clone(),
        failure: row.failure.clone(),
        failure_hint: row.failure_hint.clone(),
        queue_place: facts.queue_place,
        sweep: facts.sweep.clone(),
    }
}

/// Rows of a list.
pub(crate) fn rows(rows: &[index::RunRow]) -> Vec<RunRow> {
    rows.iter().map(row).collect()
}

/// One run, whole: `others` are the runs that were made of it, `watts` what the machine takes under
/// load where a person said so.
pub(crate) fn whole(run: &KnownRun, recipe: &Recipe, others: &[index::RunRow], watts: f64) -> Run {
    let (facts, details) = (&run.row.facts, &run.details);
    let plan = details.plan.clone().unwrap_or_default();
    let mut lineage = made_from(recipe);
    lineage.extend(made_into(others));
    Run {
        row: row(&run.row),
        folder: run.folder.path().display().to_string(),
        notes: facts.notes.clone(),
        changed_fields: recipes::changed(recipe),
        parameters: plan.parameters,
        trainable_parameters: plan.trainable_parameters,
        memory: plan.memory.into_iter().map(|part| MemoryPart { component: part.component, bytes: part.bytes }).collect(),
        peak_memory_bytes: details.memory.as_ref().map(|memory| memory.peak_rss_bytes),
        rows: details.data.as_ref().map(row_counts),
        energy: (watts > 0.0).then(|| Energy { joules: watts * run.row.elapsed_ms as f64 / 1e3, source: "watts".to_owned() }),
        has_report: run.folder.report().is_file(),
        can: can(&run.row),
        next: next_steps(&run.folder, &run.row),
        lineage,
        command: recipe.to_command(),
        seq: run.row.seq.unwrap_or(0),
        etag: words_etag(&facts.name, &facts.tags, &facts.notes),
    }
}

/// Names the words that a person gave a run.
pub(crate) fn card_etag(card: &RunCard) -> String {
    words_etag(card.title(), &card.tags, &card.notes)
}

fn words_etag(name: &str, tags: &[String], notes: &str) -> String {
    etag(&[name, &tags.join("\u{1}"), notes])
}

/// What can be asked of a run in a state.
fn can(row: &index::RunRow) -> Vec<String> {
    let words: &[&str] = match row.status.name.as_str() {
        "training" | "evaluating" | "saving" => {
            &["pause", "save_now", "evaluate_now", "stop", "abort", "set_learning_rate", "set_eval_steps", "extend", "clone"]
        }
        "preparing" => &["stop", "abort", "clone"],
        "paused" => &["unpause", "stop", "abort", "clone"],
        // A worker waits in line itself.
        "queued" if row.seq.is_some() => &["stop", "clone"],
        "queued" => &["resume", "delete", "clone"],
        "finished" => &["extend", "delete", "clone", "reproduce"],
        "stopped" | "interrupted" | "failed" => &["resume", "delete", "clone", "reproduce"],
        _ => &["clone"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn next_steps(folder: &RunFolder, row: &index::RunRow) -> Vec<NextStep> {
    if !matches!(row.status.name.as_str(), "finished" | "stopped") || !folder.last().exists() {
        return Vec::new();
    }
    let (name, page) = (folder.name(), format!("/runs/{}", row.facts.id));
    let step =
        |text: &str, label: &str, href: String, command: String| NextStep { text: text.to_owned(), label: label.to_owned(), href, command };
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

fn made_from(recipe: &Recipe) -> Vec<Dependent> {
    let short = |text: &str| text.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(text).to_owned();
    let from = |kind: &str, name: &str| Dependent {
        kind: kind.to_owned(),
        name: short(name),
        href: String::new(),
        relation: "made_from".to_owned(),
    };
    let parts = [("model", &recipe.model), ("checkpoint", &recipe.adapter), ("data", &recipe.data), ("data", &recipe.eval_data)];
    parts.into_iter().filter(|(_, name)| !name.is_empty()).map(|(kind, name)| from(kind, name)).collect()
}

/// Runs that began from another one's checkpoints.
pub(crate) fn made_into(others: &[index::RunRow]) -> impl Iterator<Item = Dependent> {
    others.iter().map(|other| Dependent {
        kind: "run".to_owned(),
        name: other.facts.name.clone(),
        href: format!("/runs/{}", other.facts.id),
        relation: "made_into".to_owned(),
    })
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
        Action::EvaluateNow => RunCommand::EvaluateNow,
        Action::SetEvalSteps { eval_steps } => RunCommand::SetEvalSteps { eval_steps },
        Action::Extend { epochs, max_steps } => RunCommand::Extend { epochs, max_steps },
    });
    CoachNote { tone: tone.to_owned(), text: note.text, advice: note.advice, action, step: note.step }
}
