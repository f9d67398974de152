//! What is typed wrong: the nearest right word, and exit code 2.

mod support;

use support::Home;

#[test]
fn wrong_words_get_the_nearest_and_code_2() {
    let home = Home::new();
    let check = |arguments: &[&str], expected: &str| {
        let answer = home.call(arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{arguments:?}: {}", answer.stderr);
    };
    check(&["train", "learning_rat=1e-4"], "learning_rate");
    check(&["train", "method=lorra"], "lora");
    check(&["train", "batch_size=many"], "batch_size");
    check(&["train", "lora.rnk=8"], "lora.rank");
    check(&["eval", "data=x.jsonl", "precison=f32"], "precision");
    check(&["trian"], "train");
    check(&["data", "model=x"], "data: is missing");
    check(&["tokens", "data=x.jsonl"], "model: is missing");
    check(&["tokens", "data=x.jsonl", "model=x", "row=0"], "row: found \"0\"");
    check(&["logits", "model=x", "ids=1,a"], "ids: found \"a\"");
    check(&["run", "x", "hello", "--top-p", "2"], "top_p: found");
}

#[test]
fn errors_are_json_too() {
    let home = Home::new();
    let answer = home.call(&["--json", "train", "learning_rat=1e-4"]);
    assert_eq!(answer.code, 2);
    let error = &answer.json()["error"];
    assert!(error["message"].as_str().is_some_and(|message| message.contains("learning_rat")), "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("learning_rate")), "{error}");
}

#[test]
fn every_verb_helps() {
    let home = Home::new();
    for verb in [
        "train",
        "eval",
        "run",
        "tokens",
        "logits",
        "data",
        "runs",
        "watch",
        "stop",
        "show",
        "list",
        "doctor",
        "completions",
        "merge",
        "bench",
        "serve",
        "keys",
    ] {
        let answer = home.call(&[verb, "--help"]);
        assert_eq!(answer.code, 0, "{verb}: {}", answer.stderr);
        assert!(answer.stdout.contains("Usage: apertis"), "{verb}: {}", answer.stdout);
    }
    let found = home.json(&["doctor"]);
    assert!(found["cores"].as_u64().is_some_and(|cores| cores > 0), "{found}");
    assert!(home.call(&["completions", "bash"]).stdout.contains("apertis"));
}
