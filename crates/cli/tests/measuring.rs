//! What measures without making a run: evaluation, comparison, plans, benches.

mod support;

use support::{Home, text, tiny, words};

/// Questions that are answered by one word.
fn questions() -> String {
    let rows = (0..24).map(|n| format!("{{\"prompt\": \"Line {n}\", \"completion\": \"the boat\"}}\n"));
    rows.collect()
}

#[test]
fn two_models_are_compared_on_the_same_rows() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let recipe: Vec<String> = tiny(&data, 40).into_iter().map(|word| word.replace("tokenizer=char", "tokenizer=bpe")).collect();
    home.json(&words(&recipe, &["--name", "long"]));
    let short: Vec<String> = recipe.iter().map(|word| word.replace("max_steps=40", "max_steps=1")).collect();
    home.json(&words(&short, &["--name", "short"]));
    let rows = home.write("rows.jsonl", questions());
    let found = home.json(&["eval", "a.model=short", "b.model=long", &format!("data={rows}"), "threads=1"]);
    let loss = |side: &str| found[side]["nll_per_token"].as_f64().expect("a loss");
    let difference = &found["loss_difference"];
    let number = |name: &str| difference[name].as_f64().unwrap_or_else(|| panic!("{name} in {found}"));
    assert!((number("mean") - (loss("a") - loss("b"))).abs() < 1e-9, "{found}");
    assert!(number("low") <= number("mean") && number("mean") <= number("high"), "{found}");

    let generated = home.json(&["eval", "model=long", &format!("data={rows}"), "generate=true", "generate.rows=4", "generate.tokens=6"]);
    assert_eq!(generated["generated_rows"], 4);
    for name in ["exact_match", "token_f1", "rouge_l"] {
        assert!(generated[name]["mean"].as_f64().is_some_and(|mean| (0.0..=1.0).contains(&mean)), "{name} in {generated}");
    }
    assert_eq!(generated["answers"][0]["reference"], "the boat");
    let plain = home.call(&["eval", "model=long", &format!("data={data}"), "generate=true"]);
    assert_eq!(plain.code, 2, "{}", plain.stderr);

    let viewed = home.json(&["tokens", "model=long", &format!("data={rows}"), "row=2"]);
    let trained: String = viewed["tokens"]
        .as_array()
        .expect("tokens")
        .iter()
        .filter(|token| token["state"] == "trained")
        .filter_map(|token| token["text"].as_str())
        .collect();
    assert!(trained.starts_with("the boat"), "{trained:?} in {viewed}");
}

#[test]
fn a_plan_makes_no_run() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let plan = home.json(&words(&tiny(&data, 500), &["--dry-run"]));
    assert_eq!((&plan["steps"], &plan["measured_steps"]), (&serde_json::json!(500), &serde_json::json!(3)));
    let parts: u64 = plan["memory"].as_object().expect("parts").values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(plan["memory_bytes"], parts);
    assert!(plan["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{plan}");
    assert_eq!(home.json(&["runs"])["runs"], serde_json::json!([]));

    let bench = [vec!["bench".to_owned()], tiny(&data, 1)].concat();
    let bench = home.json(&words(&bench, &[]));
    assert!(bench["tokens_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{bench}");
}

#[test]
fn bad_rows_are_counted_with_examples() {
    let home = Home::new();
    let rows = home.write("rows.jsonl", questions() + "{not json\n{\"prompt\": \"x\", \"completion\": \"\"}\n");
    let found = home.json(&["data", &format!("data={rows}")]);
    assert_eq!((&found["rows_read"], &found["rows"], &found["unit"]), (&26.into(), &24.into(), &"bytes".into()));
    assert_eq!(found["dropped"]["not_json"]["examples"][0]["line"], 25);
    assert_eq!(found["dropped"]["empty_answer"]["count"], 1);
}

#[test]
fn a_merged_model_is_as_good_as_its_parts() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    home.json(&words(&tiny(&data, 20), &["--name", "base"]));
    let data = format!("data={data}");
    let tuned = ["train", "model=base", &data, "max_steps=10", "learning_rate=0.01", "threads=1", "eval_fraction=0", "precision=f32"];
    home.json(&[&tuned[..], &["--name", "tuned"]].concat());
    let out = home.path().join("merged").display().to_string();
    let (merge, out) = (["merge", "model=tuned", "precision=f32"], format!("out={out}"));
    home.json(&[&merge[..], &[&out]].concat());
    let loss = |model: &str| {
        let found = home.json(&["eval", &format!("model={model}"), &data, "precision=f32", "threads=1"]);
        found["nll_per_token"].as_f64().expect("a loss")
    };
    let (base, parts, merged) = (loss("base"), loss("tuned"), loss(out.trim_start_matches("out=")));
    // Two matrix products against one: rounding of f32, a few millionths.
    assert!((parts - merged).abs() < 1e-4 * parts && (base - merged).abs() > 1e-3, "{base} {parts} {merged}");
    let again = home.call(&[&merge[..], &[&out]].concat());
    assert!(again.code == 1 && again.stderr.contains("is there already"), "{}", again.stderr);
    let whole = home.call(&["merge", "model=base", "out=/nowhere"]);
    assert!(whole.code == 1 && whole.stderr.contains("whole model"), "{}", whole.stderr);
}

/// The plan is made before the first step, the peak is the system's: within a quarter of each other,
/// since how many pages of a program are in memory is up to the system.
#[cfg(target_os = "linux")]
#[test]
fn small_runs_take_the_memory_that_was_planned() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    home.json(&words(&tiny(&data, 20), &["--name", "scratch"]));
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo/base").display().to_string();
    let rows = home.write("rows.jsonl", questions());
    let (base, rows) = (format!("model={base}"), format!("data={rows}"));
    let tuned = ["train", &base, &rows, "max_steps=4", "threads=1"];
    home.json(&[&tuned[..], &["--name", "lora"]].concat());
    home.json(&[&tuned[..], &["--name", "saved", "lora.modules_to_save=embed_tokens"]].concat());
    home.json(&[&tuned[..], &["--name", "full", "method=full"]].concat());
    for run in ["scratch", "lora", "saved", "full"] {
        let measured = home.events(run).into_iter().find(|event| event["kind"] == "memory_measured").expect("it is said in the log");
        let bytes = |name: &str| measured[name].as_f64().expect("a number");
        let ratio = bytes("planned_bytes") / bytes("peak_rss_bytes");
        assert!((0.75..=1.25).contains(&ratio), "{run}: {measured}");
    }
}
