//! A run from start to end, killed and resumed: the same weights to the bit.

#![cfg(unix)]

mod support;

use support::{Home, kill_at, text, tiny, wait, words};

#[test]
fn a_run_from_scratch_finishes_and_can_be_used() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let found = home.json(&words(&tiny(&data, 40), &["--name", "first"]));
    let field = |name: &str| found.get(name).unwrap_or_else(|| panic!("{name} is missing in {found}"));
    assert_eq!(field("run"), "first");
    assert_eq!(field("dir"), &serde_json::json!(home.run("first")));
    assert_eq!(field("steps"), 40);
    let losses: Vec<f64> = field("train_losses").as_array().expect("a list").iter().filter_map(serde_json::Value::as_f64).collect();
    assert_eq!(losses.len(), 40);
    assert!(losses[39] < 0.9 * losses[0], "{losses:?}");
    for name in ["tokens", "timed_tokens", "timed_seconds", "wall_seconds", "tokens_per_second", "best_eval_loss", "best_step"] {
        assert!(field(name).as_f64().is_some_and(|value| value > 0.0), "{name} in {found}");
    }
    assert!(field("peak_rss_bytes").as_u64().is_some_and(|bytes| bytes > 1 << 20), "{found}");
    assert!(!home.run("first").join("worker.pid").exists());

    let before = home.last_weights("first");
    let events = home.events("first").len();
    let again = home.json(&["train", "resume=first"]);
    assert_eq!(again["steps"], 40);
    assert_eq!(home.events("first").len(), events, "a finished run stays as it is");
    assert!(before == home.last_weights("first"));

    let taken = home.call(&words(&tiny(&data, 40), &["--name", "first"]));
    assert_ne!(taken.code, 0);
    assert!(taken.stderr.contains("first"), "{}", taken.stderr);

    let evaluation = home.json(&["eval", "model=first", &format!("data={data}"), "precision=f32", "threads=1"]);
    let (loss, perplexity) = (evaluation["nll_per_token"].as_f64(), evaluation["perplexity"].as_f64());
    assert!((loss.expect("a loss").exp() - perplexity.expect("a perplexity")).abs() < 1e-6, "{evaluation}");
    let arguments = ["run", "first", "Line 1", "--raw", "--temperature", "0", "--max-tokens", "8", "--threads", "1"];
    let (one, two) = (home.json(&arguments), home.json(&arguments));
    assert_eq!(one["text"], two["text"]);
    assert_eq!(one["tokens"], 8);
    let stopped = home.json(&[&arguments[..], &["--stop", one["text"].as_str().expect("a text").get(..1).expect("ascii")]].concat());
    assert_eq!((stopped["text"].as_str(), stopped["finish_reason"].as_str()), (Some(""), Some("stop_string")));
    let listed = home.json(&["runs"]);
    assert_eq!(listed["runs"][0]["name"], "first");
    let shown = home.json(&["show", "first"]);
    assert_eq!(shown["layers"], 2);
    let checked = home.json(&["data", "model=first", &format!("data={data}")]);
    assert_eq!(checked["unit"], "tokens");
    assert_eq!(checked["tokens"], evaluation_tokens(&checked));
}

/// A character model of one text: a token a character, and the one that ends a text.
fn evaluation_tokens(checked: &serde_json::Value) -> serde_json::Value {
    let tokens = checked["tokens"].as_u64().expect("a count");
    let characters = text().chars().count() as u64;
    assert!((characters..=characters + 2).contains(&tokens), "{checked}");
    checked["tokens"].clone()
}

#[test]
fn a_killed_run_goes_on_to_the_same_weights() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let recipe = [tiny(&data, 240), vec!["save_every=20".to_owned(), "eval_steps=60".to_owned()]].concat();
    home.json(&words(&recipe, &["--name", "whole"]));

    let started = home.call(&words(&recipe, &["--name", "killed", "--detach"]));
    assert_eq!(started.code, 0, "{}", started.stderr);
    for step in [3, 47, 101, 160] {
        kill_at(&home, "killed", step);
        let resumed = home.call(&["train", "resume=killed", "--detach"]);
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    }
    wait(&home, "killed", "the end", |events| events.iter().any(|event| event["kind"] == "run_finished"));
    let found = home.json(&["train", "resume=killed"]);
    assert_eq!(found["steps"], 240);

    let mut saved = 0;
    let mut resumed = Vec::new();
    for event in home.events("killed") {
        match event["kind"].as_str() {
            Some("checkpoint_saved") => saved = event["step"].as_u64().expect("a step"),
            Some("run_resumed") => {
                let from = event["from_step"].as_u64().expect("a step");
                assert!(from >= saved, "resumed from step {from} although {saved} was saved");
                resumed.push(from);
            }
            _ => {}
        }
    }
    assert!(resumed.iter().any(|from| *from > 0), "{resumed:?}");
    assert!(home.last_weights("whole") == home.last_weights("killed"), "the weights differ");
}

#[test]
fn a_finished_run_is_extended() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let first = home.json(&words(&tiny(&data, 40), &["--name", "longer"]));
    let seconds = |found: &serde_json::Value, name: &str| found[name].as_f64().unwrap_or_else(|| panic!("{name} in {found}"));
    assert!((0.0..seconds(&first, "wall_seconds")).contains(&seconds(&first, "first_step_seconds")), "{first}");
    let found = home.json(&["train", "resume=longer", "max_steps=60"]);
    assert_eq!((found["state"].as_str(), found["steps"].as_u64()), (Some("finished"), Some(60)), "{found}");
    assert_eq!(found["train_losses"].as_array().map(Vec::len), Some(60));
    let replanned = home.events("longer").into_iter().filter(|event| event["kind"] == "schedule_replanned");
    let plans: Vec<_> = replanned.map(|event| (event["reason"].clone(), event["total_steps"].clone(), event["step"].clone())).collect();
    assert_eq!(plans, [("extended".into(), 60.into(), 40.into())]);
    // An epoch is what it says, however many steps were asked for before.
    let found = home.json(&["train", "resume=longer", "epochs=1"]);
    assert!(found["steps"].as_u64() > Some(60), "{found}");
    assert_eq!(home.json(&["runs"])["runs"][0]["step"], found["steps"]);
}

#[test]
fn less_than_what_is_done_is_refused_and_changes_nothing() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    home.json(&words(&tiny(&data, 40), &["--name", "done"]));
    let recipe = || std::fs::read_to_string(home.run("done").join("recipe.toml")).expect("a run has a recipe");
    let (events, before) = (home.events("done").len(), recipe());
    let check = |change: &str, expected: &[&str]| {
        let answer = home.call(&["train", "resume=done", change]);
        assert_eq!(answer.code, 2, "{change}: {}", answer.stderr);
        for expected in expected {
            assert!(answer.stderr.contains(expected), "{change}: expected {expected:?} in {}", answer.stderr);
        }
    };
    check("max_steps=10", &["max_steps is 10, and done has done 40", "hint: ", "max_steps=80"]);
    check("epochs=0.01", &["epochs=0.01 is ", "has done 40"]);
    check("time_limit_minutes=0.00001", &["the time limit is 0 s", "time_limit_minutes="]);
    // As many as were asked for: it has reached its end, as without a number.
    assert_eq!(home.json(&["train", "resume=done", "max_steps=40"])["steps"], 40);
    assert_eq!((home.events("done").len(), recipe()), (events, before));
}

#[test]
fn a_run_has_one_worker() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let started = home.call(&words(&tiny(&data, 4000), &["--name", "busy", "--detach"]));
    assert_eq!(started.code, 0, "{}", started.stderr);
    wait(&home, "busy", "a step", |events| events.iter().any(|event| event["kind"] == "step_finished"));
    let second = home.call(&["worker", &home.run("busy").display().to_string()]);
    assert_ne!(second.code, 0);
    assert!(second.stderr.starts_with("error: "), "{}", second.stderr);
    let stopped = home.call(&["stop", "busy"]);
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    wait(&home, "busy", "its stop", |events| events.iter().any(|event| event["kind"] == "run_stopped"));
    let attempts = home.events("busy").iter().filter_map(|event| event["attempt"].as_u64()).max();
    assert_eq!(attempts, Some(1));
}
