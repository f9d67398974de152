//! What stays of a run when a checkpoint cannot be written, and what lies in those that can.

#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::{Home, kill_at, text, tiny, wait, words};

/// Room for the log and its reserve, not for a model of [`wide`].
const FILE_BYTES: u64 = 2 << 20;

/// A tiny run with weights of more than [`FILE_BYTES`].
fn wide(data: &str, steps: usize) -> Vec<String> {
    let words = tiny(data, steps).into_iter().map(|word| word.replace("model.width=32", "model.width=256"));
    words.chain(["eval_steps=5".to_owned()]).collect()
}

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| (entry.path(), std::fs::read(entry.path()).expect("a file"))).collect()
}

#[test]
fn a_save_that_fails_leaves_the_checkpoint_before_and_the_same_command_goes_on() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    for name in ["whole", "full"] {
        home.json(&words(&wide(&data, 10), &["--name", name]));
    }
    home.json(&["train", "resume=whole", "max_steps=20"]);

    let checkpoints = home.run("full").join("checkpoints");
    let last = std::fs::canonicalize(checkpoints.join("last")).expect("it was saved");
    let (before, index) = (files(&last), std::fs::read(checkpoints.join("index.json")).expect("an index"));
    let more = ["train", "resume=full", "max_steps=20"];
    let refused = home.call_limited(FILE_BYTES, &more);
    assert!(refused.code == 1 && refused.stderr.contains("File too large"), "{}: {}", refused.code, refused.stderr);
    assert!(refused.stderr.contains("hint: Free some space"), "{}", refused.stderr);
    let failed = home.events("full").into_iter().find(|event| event["kind"] == "run_failed").expect("it is said in the log");
    assert_eq!((failed["code"].as_str(), failed["step"].as_u64()), (Some("disk_full"), Some(15)), "{failed}");
    assert!(files(&last) == before, "the checkpoint before is as it was");
    assert!(std::fs::read(checkpoints.join("index.json")).expect("an index") == index);
    let names: Vec<String> = files_in(&checkpoints);
    assert!(!names.iter().any(|name| name.contains("tmp") || name.contains("15")), "{names:?}");

    let found = home.json(&more);
    assert_eq!(found["steps"], 20, "{found}");
    let resumed: Vec<u64> =
        home.events("full").iter().filter(|event| event["kind"] == "run_resumed").filter_map(|event| event["from_step"].as_u64()).collect();
    assert_eq!(resumed, [10, 10]);
    assert!(home.last_weights("full") == home.last_weights("whole"), "the weights differ");
}

fn files_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn who_may_read_the_recipe_may_read_the_weights() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    home.json(&words(&tiny(&data, 4), &["--name", "read"]));
    let mode = |path: &Path| std::fs::metadata(path).expect("it was written").permissions().mode() & 0o777;
    let expected = mode(Path::new(&data));
    let saved = files(&home.run("read").join("checkpoints/last"));
    assert!(saved.len() >= 5, "{:?}", saved.keys());
    for path in saved.keys() {
        assert_eq!(mode(path), expected, "{}", path.display());
    }
}

#[test]
fn modules_trained_in_full_beside_an_adapter_are_resumed_to_the_bit() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    home.json(&words(&tiny(&data, 20), &["--name", "base"]));
    let data = format!("data={data}");
    let recipe = [
        "train",
        "model=base",
        &data,
        "lora.modules_to_save=embed_tokens",
        "max_steps=160",
        "max_length=32",
        "batch_size=4",
        "threads=1",
        "learning_rate=0.003",
        "patience=0",
        "save_every=20",
        "eval_steps=50",
    ];
    home.json(&[&recipe[..], &["--name", "whole"]].concat());
    let started = home.call(&[&recipe[..], &["--name", "killed", "--detach"]].concat());
    assert_eq!(started.code, 0, "{}", started.stderr);
    for step in [3, 47, 101] {
        kill_at(&home, "killed", step);
        let resumed = home.call(&["train", "resume=killed", "--detach"]);
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    }
    wait(&home, "killed", "the end", |events| events.iter().any(|event| event["kind"] == "run_finished"));
    let saved = |run: &str, file: &str| std::fs::read(home.run(run).join("checkpoints/last").join(file)).expect("it was saved");
    for file in ["adapter_model.safetensors", "training_state.safetensors"] {
        assert!(saved("whole", file) == saved("killed", file), "{file} differs");
    }
    let resumes = home.events("killed").iter().filter(|event| event["kind"] == "run_resumed").count();
    assert!(resumes >= 1, "no worker was killed before its end");

    // What is trained in full is in the adapter, and is no longer the base's.
    let weights = saved("whole", "adapter_model.safetensors");
    let length = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header = String::from_utf8_lossy(&weights[8..8 + length]).into_owned();
    assert!(header.contains("embed_tokens"), "{header}");
    let found = home.json(&["eval", "model=whole", &data, "precision=f32", "threads=1"]);
    let base = home.json(&["eval", "model=base", &data, "precision=f32", "threads=1"]);
    assert!(found["nll_per_token"].as_f64() < base["nll_per_token"].as_f64(), "{found} {base}");
}
