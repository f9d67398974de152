//! `report.html`: what the run was and whether the model got better, in one file without script.

use std::collections::BTreeMap;

use apertis_domain::event::{Evaluated, ReasonCount, Sampled};
use apertis_domain::recipe::fields;
use apertis_domain::{Event, EventKind, LockFacts, Recipe};

use super::number::{duration, grouped, significant, size};
use super::series::Curves;
use super::svg::loss_svg;
use crate::RunRecord;
use crate::record::Point;

/// The report of a run.
pub fn report_html(name: &str, record: &RunRecord, recipe: &Recipe) -> String {
    let title = escaped(name);
    let sections = [result(record), curve(record), samples(record), data(record), events(record), numbers(record), recipe_section(recipe)];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{}\n</main>\n</body>\n</html>\n",
        sections.concat(),
    )
}

const STYLE: &str = "\
:root { color-scheme: light dark; --page: #ffffff; --panel: #f0f4f9; --line: #e1e3e1; --text: #1f1f1f; --faint: #444746; --accent: #0b57d0; --raw: #a8c7fa; --held: #b85000; --good: #146c2e; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #131314; --panel: #1e1f20; --line: #333537; --text: #e3e3e3; --faint: #c4c7c5; --accent: #a8c7fa; --raw: #3d5680; --held: #ffb95c; --good: #6dd58c; --bad: #f2b8b5; } }
body { margin: 0; background: var(--page); color: var(--text); font: 14px/20px Inter, system-ui, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 900px; margin: 0 auto; padding: 32px 16px 64px; }
h1 { margin: 0 0 8px; font-size: 28px; line-height: 36px; font-weight: 500; }
h2 { font-size: 16px; line-height: 24px; font-weight: 500; margin: 32px 0 8px; }
p { margin: 0 0 8px; } .lead { font-size: 16px; line-height: 24px; } .faint { color: var(--faint); }
.better { color: var(--good); } .worse { color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 8px 16px 8px 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--faint); } td.number, th.number { text-align: right; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
pre { background: var(--panel); border-radius: 12px; padding: 16px; overflow-x: auto; margin: 0; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--faint); }
svg path { fill: none; } .grid { stroke: var(--line); } path.raw { stroke: var(--raw); stroke-width: 1; } path.train { stroke: var(--accent); stroke-width: 2; }
path.held { stroke: var(--held); stroke-width: 2; } circle.held { fill: var(--held); } circle.best { fill: none; stroke: var(--held); stroke-width: 2; }
.key { display: inline-block; width: 20px; height: 0; border-top: 3px solid; vertical-align: middle; margin-right: 4px; } .keys span { margin-right: 16px; }
summary { cursor: pointer; }
";

fn result(record: &RunRecord) -> String {
    let gone = LockFacts::default();
    let state = record.state.with(&gone);
    let mut html = String::new();
    let (before, best) = (record.before(), record.best());
    match (before, best) {
        (Some(before), Some(best)) if best.step > 0 => {
            let (from, to) = (before.value.loss, best.value.loss);
            let change = (to - from) / from * 100.0;
            let (class, verb) = if to < from { ("better", "fell") } else { ("worse", "rose") };
            html += &format!(
                "<p class=\"lead\">Held-out loss <span class=\"{class}\">{verb} by {}%</span>, from {} to {}, at step {} of {}.</p>\n",
                significant(change.abs(), 3),
                significant(from, 4),
                significant(to, 4),
                grouped(best.step),
                grouped(record.step()),
            );
        }
        (Some(before), Some(_)) => {
            html += &format!(
                "<p class=\"lead\"><span class=\"worse\">No evaluation was better than before training</span> (held-out loss {}).</p>\n",
                significant(before.value.loss, 4),
            );
        }
        (None, Some(best)) => {
            html += &format!(
                "<p class=\"lead\">Best held-out loss {} at step {} of {}.</p>\n",
                significant(best.value.loss, 4),
                grouped(best.step),
                grouped(record.step()),
            );
        }
        _ => html += "<p class=\"lead\">Nothing was held out, so nothing was evaluated.</p>\n",
    }
    html += &format!(
        "<p class=\"faint\">The run {} after {} of work, {} steps and {} tokens.</p>\n",
        escaped(&format!("is {state}")),
        duration(record.elapsed_ms),
        grouped(record.step()),
        grouped(record.tokens()),
    );
    if let Some(failed) = &record.failed {
        html += &format!("<p><span class=\"worse\">{}</span> {}</p>\n", escaped(&failed.message), escaped(&failed.hint));
    }
    if let (Some(before), Some(best)) = (before, best) {
        html += "<h2>Before and after</h2>\n<table>\n<thead><tr><th>on held-out rows</th><th class=\"number\">before</th><th class=\"number\">after</th></tr></thead>\n<tbody>\n";
        for (label, value) in ROWS {
            html += &format!(
                "<tr><th>{label}</th><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                value(&before.value),
                value(&best.value)
            );
        }
        html += "</tbody>\n</table>\n";
        if is_interval(&best.value) {
            html += "<p class=\"faint\">In brackets: 95% intervals over the rows.</p>\n";
        }
    }
    html
}

type Measure = (&'static str, fn(&Evaluated) -> String);

const ROWS: [Measure; 4] = [
    ("loss (nats per target token)", |evaluated| {
        let loss = significant(evaluated.loss, 4);
        match is_interval(evaluated) {
            true => format!("{loss} [{}, {}]", significant(evaluated.loss_low, 4), significant(evaluated.loss_high, 4)),
            false => loss,
        }
    }),
    ("perplexity", |evaluated| significant(evaluated.loss.exp(), 4)),
    ("next token right", |evaluated| format!("{}%", significant(evaluated.accuracy * 100.0, 3))),
    ("rows", |evaluated| grouped(evaluated.rows)),
];

fn is_interval(evaluated: &Evaluated) -> bool {
    evaluated.loss_low < evaluated.loss_high
}

fn curve(record: &RunRecord) -> String {
    if record.steps.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Loss</h2>\n<p class=\"faint keys\"><span><span class=\"key\" style=\"color: var(--raw)\"></span>training, each step</span><span><span class=\"key\" style=\"color: var(--accent)\"></span>training, smoothed</span><span><span class=\"key\" style=\"color: var(--held)\"></span>held out, best in a ring</span></p>\n{}",
        loss_svg(&Curves::of(record))
    )
}

fn samples(record: &RunRecord) -> String {
    let best = record.best().map_or(record.step(), |point| point.step);
    let mut by_prompt: BTreeMap<u64, Vec<&Point<Sampled>>> = BTreeMap::new();
    for point in &record.samples {
        by_prompt.entry(point.value.index).or_default().push(point);
    }
    if by_prompt.is_empty() {
        return String::new();
    }
    let mut html = "<h2>Answers</h2>\n<table>\n<thead><tr><th>prompt</th><th>before</th><th>after</th></tr></thead>\n<tbody>\n".to_owned();
    for points in by_prompt.values() {
        let before = points.first().filter(|point| point.step == 0);
        let after = points.iter().min_by_key(|point| point.step.abs_diff(best));
        let text = |point: Option<&&Point<Sampled>>| point.map_or_else(String::new, |point| escaped(&point.value.text));
        let sample = &points[0].value;
        let reference = match sample.reference.as_str() {
            "" => String::new(),
            reference => format!("\n<p class=\"faint text\">In the data: {}</p>", escaped(reference)),
        };
        html += &format!(
            "<tr><td><div class=\"text\">{}</div>{reference}</td><td class=\"text\">{}</td><td class=\"text\">{}</td></tr>\n",
            escaped(&sample.prompt),
            text(before),
            text(after.filter(|point| point.step > 0)),
        );
    }
    html + "</tbody>\n</table>\n"
}

fn data(record: &RunRecord) -> String {
    let Some(data) = &record.data else {
        return String::new();
    };
    let mut html = format!(
        "<h2>Data</h2>\n<p>{} rows found ({}); {} trained on, {} held out. {} tokens, {} of them targets.</p>\n",
        grouped(data.rows),
        escaped(&data.format),
        grouped(data.train_rows),
        grouped(data.eval_rows),
        grouped(data.tokens),
        grouped(data.target_tokens),
    );
    html += &reasons("Left out", &data.dropped);
    html += &reasons("Kept, but changed", &data.changed);
    if data.dropped.is_empty() && data.changed.is_empty() {
        html += "<p class=\"faint\">No row was left out or changed.</p>\n";
    }
    html
}

fn reasons(title: &str, reasons: &BTreeMap<String, ReasonCount>) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let mut html =
        format!("<table>\n<thead><tr><th>{title}</th><th class=\"number\">rows</th><th>first of them</th></tr></thead>\n<tbody>\n");
    for (reason, count) in reasons {
        let rows: Vec<_> = count.rows.iter().take(5).map(u64::to_string).collect();
        let place = if rows.is_empty() { String::new() } else { format!("row {}", rows.join(", ")) };
        let example = if count.example.is_empty() {
            place
        } else if place.is_empty() {
            count.example.clone()
        } else {
            format!("{place}: {}", count.example)
        };
        html += &format!(
            "<tr><th>{}</th><td class=\"number\">{}</td><td class=\"text\">{}</td></tr>\n",
            escaped(&reason.replace('_', " ")),
            grouped(count.count),
            escaped(&example),
        );
    }
    html + "</tbody>\n</table>\n"
}

fn events(record: &RunRecord) -> String {
    if record.notes.is_empty() {
        return String::new();
    }
    let mut html = "<h2>What happened on the way</h2>\n<table>\n<tbody>\n".to_owned();
    for event in &record.notes {
        html +=
            &format!("<tr><th class=\"number\">step {}</th><td class=\"text\">{}</td></tr>\n", grouped(event.step), escaped(&note(event)));
    }
    html + "</tbody>\n</table>\n"
}

fn note(event: &Event) -> String {
    let rows = |rows: &[u64]| rows.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match &event.kind {
        EventKind::RunResumed(resumed) => {
            let version = match resumed.version_before.as_str() {
                "" => String::new(),
                before => format!("; version {} after {before}: numbers may differ from here on", resumed.version),
            };
            format!("Resumed from step {} ({}){version}.", resumed.from_step, resumed.cause)
        }
        EventKind::RunRewound(rewound) => {
            format!("Went back to step {} ({}); rows {}.", rewound.to_step, rewound.reason.replace('_', " "), rows(&rewound.rows))
        }
        EventKind::BatchSkipped(skipped) => {
            format!("Skipped the batch of step {}; rows {}.", skipped.batch_step, rows(&skipped.rows))
        }
        EventKind::ScheduleReplanned(replanned) => {
            format!("Planned the schedule again ({}): {} steps in all.", replanned.reason.replace('_', " "), grouped(replanned.total_steps))
        }
        EventKind::LearningRateChanged(changed) => {
            format!("Changed the learning rate from {} to {}.", significant(changed.from, 4), significant(changed.to, 4))
        }
        EventKind::EvalStepsChanged(changed) => {
            format!("Evaluated every {} steps from here on, not every {}.", grouped(changed.to), grouped(changed.from))
        }
        EventKind::EvaluationAsked(_) => "Evaluated because somebody asked.".to_owned(),
        EventKind::MicroBatchHalved(halved) => format!(
            "Halved the micro-batch from {} to {} tokens ({}).",
            grouped(halved.from_tokens),
            grouped(halved.to_tokens),
            halved.reason
        ),
        EventKind::LogRepaired(repaired) => {
            format!("Cut {} bytes of an unfinished line off the log.", repaired.cut_bytes)
        }
        EventKind::CheckpointDamaged(damaged) => {
            format!("Put a damaged checkpoint aside: {}.", damaged.message)
        }
        EventKind::RunPaused(paused) => format!("Paused ({}).", paused.reason.replace('_', " ")),
        EventKind::WorkerSlept(slept) => format!("The machine slept for {}.", duration(slept.slept_ms)),
        EventKind::Other { name, fields } => {
            format!("{name} {}", serde_json::Value::Object(fields.clone()))
        }
        other => other.name().replace('_', " "),
    }
}

fn numbers(record: &RunRecord) -> String {
    let mut rows = Vec::new();
    if let Some(plan) = &record.plan {
        let share = 100.0 * plan.trainable_parameters as f64 / plan.parameters.max(1) as f64;
        rows.push(("parameters", grouped(plan.parameters)));
        rows.push(("trained", format!("{} ({}%)", grouped(plan.trainable_parameters), significant(share, 3))));
        rows.push(("computed in", format!("{}, {}", plan.precision, plan.instruction_set)));
        rows.push(("threads", grouped(plan.threads)));
        rows.push(("memory planned", size(plan.memory_bytes)));
    }
    if let Some(memory) = &record.memory {
        rows.push(("memory used at most", size(memory.peak_rss_bytes)));
    }
    let (tokens, seconds) = record
        .steps
        .iter()
        .fold((0, 0.0), |(tokens, seconds), point| (tokens + point.value.tokens, seconds + point.value.step_ms / 1000.0));
    if seconds > 0.0 {
        rows.push(("tokens per second", grouped((tokens as f64 / seconds).round() as u64)));
    }
    if let Some(started) = &record.started {
        rows.push(("made with", format!("apertis {}", started.version)));
    }
    rows.push(("began", record.began_at.clone()));
    let rows: Vec<_> = rows.iter().map(|(label, value)| format!("<tr><th>{label}</th><td>{}</td></tr>\n", escaped(value))).collect();
    format!("<h2>Numbers</h2>\n<table>\n<tbody>\n{}</tbody>\n</table>\n", rows.concat())
}

fn recipe_section(recipe: &Recipe) -> String {
    let changed = recipe.difference(&Recipe::default());
    let mut html = "<h2>Recipe</h2>\n".to_owned();
    html += &format!("<pre>{}</pre>\n", escaped(&recipe.to_command()));
    html += &format!("<p class=\"faint\">{} of {} fields differ from their defaults.</p>\n", changed.len(), fields().len());
    html + &format!("<details>\n<summary>Every field</summary>\n<pre>{}</pre>\n</details>\n", escaped(&recipe.to_toml()))
}

/// Text as text: never markup.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            letter => html.push(letter),
        }
    }
    html
}
