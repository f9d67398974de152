//! What is made of a log: CSV, curves, samples, report and list.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use apertis_domain::Recipe;
use apertis_runs::output::{draw_curves, remake, report_html, results_csv};
use apertis_runs::result::TrainResult;
use apertis_runs::{RunFolder, RunRecord, list};
use support::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/logs").join(name)
}

fn recorded() -> RunRecord {
    RunRecord::read(&fixture("v1.jsonl")).unwrap()
}

fn recorded_recipe() -> Recipe {
    let arguments = ["model=models/tiny", "data=data/answers.jsonl", "sample_prompts=<script>alert(1)</script>"];
    Recipe::from_sources(None, &arguments).unwrap().0
}

/// Set `APERTIS_UPDATE=1` to write the file anew.
#[test]
fn the_csv_of_a_recorded_log_is_golden() {
    let csv = results_csv(&recorded());
    let path = fixture("v1.results.csv");
    if std::env::var_os("APERTIS_UPDATE").is_some() {
        fs::write(&path, &csv).unwrap();
    }
    assert_eq!(csv, fs::read_to_string(path).unwrap().replace("\r\n", "\n"));
    assert_eq!(csv.lines().filter(|line| line.ends_with(",1")).count(), 1, "one best row");
}

#[test]
fn the_csv_of_a_run_without_evaluations_has_a_row_a_checkpoint() {
    let mut record = recorded();
    record.evaluations.clear();
    let csv = results_csv(&record);
    assert_eq!(csv.lines().count(), 1 + record.checkpoints.len(), "{csv}");
    assert_eq!(results_csv(&RunRecord::default()).lines().count(), 1, "only the header");
}

#[test]
fn the_report_of_a_recorded_log() {
    let report = report_html("lora-1", &recorded(), &recorded_recipe());
    assert!(!report.contains("<script"), "texts are texts");
    assert!(!report.contains("http://") && !report.contains("https://"), "nothing is loaded");
    insta::assert_snapshot!("report", report);
}

#[test]
fn a_report_of_nothing_is_a_report() {
    let report = report_html("empty", &RunRecord::default(), &Recipe::default());
    assert!(report.contains("Nothing was held out") && report.ends_with("</html>\n"));
}

#[test]
fn curves_are_drawn_of_any_record() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, record: &RunRecord| {
        let path = folder.path().join(format!("{name}.png"));
        draw_curves(&path, name, record).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n", "{name}");
        bytes.len()
    };
    let empty = check("empty", &RunRecord::default());
    let whole = check("whole", &recorded());
    assert!(whole > empty + 10_000, "{whole} and {empty} bytes");
    let mut one_step = recorded();
    one_step.steps.truncate(1);
    one_step.evaluations.truncate(1);
    check("one step", &one_step);
    let mut not_finite = recorded();
    for point in &mut not_finite.steps {
        point.value.loss = f64::NAN;
        point.value.grad_norm = f64::INFINITY;
    }
    check("not finite", &not_finite);
}

#[test]
fn everything_can_be_made_again_from_the_log() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recorded_recipe()).unwrap();
    fs::copy(fixture("v1.jsonl"), folder.events()).unwrap();
    remake(&folder).unwrap();
    assert_eq!(fs::read_to_string(folder.results_csv()).unwrap(), results_csv(&recorded()));
    let samples = fs::read_to_string(folder.samples()).unwrap();
    assert_eq!(samples.lines().count(), recorded().samples.len());
    let first: serde_json::Value = serde_json::from_str(samples.lines().next().unwrap()).unwrap();
    assert_eq!((&first["step"], &first["index"]), (&0.into(), &0.into()));
    assert!(folder.results_png().exists() && folder.report().exists());

    let summaries = list(&home).unwrap();
    let summary = &summaries[0];
    assert_eq!(summary.name, "lora-1");
    assert_eq!(summary.state.to_string(), "finished (early stop)");
    assert_eq!((summary.step, summary.total_steps, summary.progress), (162, 180, 1.0));
    assert_eq!(summary.best_step, recorded().best().map(|point| point.step));
    assert!(summary.tokens_per_second > 1000.0 && summary.seconds_left.is_none());
    let json = serde_json::to_value(summary).unwrap();
    assert_eq!((&json["state"], &json["reason"]), (&"finished".into(), &"early_stop".into()));

    let result = TrainResult::of(&folder, &recorded(), 100.0, 1_000_000);
    assert_eq!((result.state, result.steps, result.train_losses.len()), ("finished", 162, 161));
    assert_eq!(result.peak_rss_bytes, 62_000_000);
    let tokens: u64 = recorded().steps[2..].iter().map(|point| point.value.tokens).sum();
    assert_eq!(result.timed_tokens, tokens, "from the end of step 2");
    assert!((result.tokens_per_second - 2280.0).abs() < 30.0, "{}", result.tokens_per_second);
    let json = serde_json::to_value(&result).unwrap();
    for name in ["run", "dir", "wall_seconds", "eval_loss", "best_eval_loss", "best_step"] {
        assert!(!json[name].is_null(), "{name}");
    }
}

#[test]
fn a_list_reads_only_logs_that_changed() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recorded_recipe()).unwrap();
    fs::copy(fixture("v1.jsonl"), folder.events()).unwrap();
    let first = list(&home).unwrap();
    assert_eq!(list(&home).unwrap(), first);

    // As many other bytes under the same time: whoever reads them sees nothing of the run.
    let text = fs::read_to_string(folder.events()).unwrap();
    let modified = fs::metadata(folder.events()).unwrap().modified().unwrap();
    let fill = |text: &str| {
        fs::write(folder.events(), text).unwrap();
        fs::File::options().append(true).open(folder.events()).unwrap().set_modified(modified).unwrap();
    };
    fill(&"x".repeat(text.len()));
    assert_eq!(list(&home).unwrap(), first, "the log was not read");
    fs::write(folder.summary(), "{\"version\":1").unwrap();
    assert_eq!(list(&home).unwrap()[0].step, 0, "the log was read");

    // Another attempt goes back to a step and on from there.
    fs::remove_file(folder.summary()).unwrap();
    fill(&text);
    let events = apertis_runs::log::read_log(&folder.events()).unwrap();
    assert_eq!(list(&home).unwrap(), first);
    let last = events.last().unwrap();
    let mut more = text;
    for (seq, kind) in [
        (last.seq + 1, serde_json::json!({"kind": "run_resumed", "from_step": 120, "cause": "finished"})),
        (last.seq + 2, serde_json::json!({"kind": "step_finished", "loss": 0.25, "tokens": 10, "step_ms": 5.0})),
    ] {
        let mut line = serde_json::json!({"v": 1, "seq": seq, "attempt": last.attempt + 1, "step": if kind["loss"].is_null() { 120 } else { 121 },
            "at": last.at, "elapsed_ms": last.elapsed_ms});
        line.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        more.push_str(&format!("{line}\n"));
    }
    fs::write(folder.events(), more).unwrap();
    let after = &list(&home).unwrap()[0];
    let whole = RunRecord::read(&folder.events()).unwrap();
    assert_eq!((after.step, after.loss), (121, Some(0.25)));
    assert_eq!(*after, apertis_runs::RunSummary::of(&folder, &whole));
    assert_eq!(list(&home).unwrap()[0], *after);
}
