//! What is wrong with a person's files: one sentence, a hint, a non-zero exit code, no panic.

mod support;

use support::{Home, text, tiny, words};

fn check(home: &Home, arguments: &[&str], expected: &str) {
    let answer = home.call(arguments);
    let shown = format!("{arguments:?}: {}", answer.stderr);
    assert!(answer.code == 1 || answer.code == 2, "{shown}");
    assert!(!answer.stderr.contains("panicked"), "{shown}");
    assert!(answer.stderr.to_lowercase().contains(&expected.to_lowercase()), "expected {expected:?}: {shown}");
    assert!(answer.stderr.contains("error: ") && answer.stderr.contains("hint: "), "{shown}");
}

#[test]
fn data_that_cannot_be_used() {
    let home = Home::new();
    let empty = home.write("empty.jsonl", "");
    let binary = home.write("binary.jsonl", (0..4096u32).map(|n| (n * 37 % 256) as u8).collect::<Vec<u8>>());
    let other = home.write("other.jsonl", "{\"colour\": \"red\", \"size\": 3}\n{\"colour\": \"blue\", \"size\": 4}\n");
    for path in [&empty, &binary, &other] {
        let name = path.rsplit('/').next().expect("a name").split('.').next().expect("a stem");
        check(&home, &words(&tiny(path, 2), &[]), name);
        check(&home, &["data", &format!("data={path}")], name);
    }
    check(&home, &words(&tiny("/nowhere/at/all.txt", 2), &[]), "/nowhere/at/all.txt");
    let table = home.write("table.csv", "q,a\none,two\nthree,four\n");
    check(&home, &["data", &format!("data={table}"), "columns.prompt=question", "columns.response=a"], "question");
}

#[test]
fn models_that_cannot_be_used() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    home.json(&words(&tiny(&data, 2), &["--name", "good"]));
    let good = home.run("good").join("checkpoints/last");
    let copy = |name: &str, change: &dyn Fn(&std::path::Path)| {
        let folder = home.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for entry in std::fs::read_dir(&good).expect("a model").flatten().filter(|entry| entry.path().is_file()) {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
        }
        change(&folder);
        folder.display().to_string()
    };
    let missing = copy("missing", &|folder| std::fs::remove_file(folder.join("model.safetensors")).expect("it was there"));
    let truncated = copy("truncated", &|folder| {
        let bytes = std::fs::read(folder.join("model.safetensors")).expect("weights");
        std::fs::write(folder.join("model.safetensors"), &bytes[..bytes.len() / 2]).expect("half of them");
    });
    let unknown = copy("unknown", &|folder| {
        let config = std::fs::read_to_string(folder.join("config.json")).expect("a config").replace("\"llama\"", "\"lhama\"");
        std::fs::write(folder.join("config.json"), config).expect("another config");
    });
    let shapes = copy("shapes", &|folder| {
        let config = std::fs::read_to_string(folder.join("config.json")).expect("a config");
        let mut config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        config["hidden_size"] = serde_json::json!(64);
        std::fs::write(folder.join("config.json"), config.to_string()).expect("another config");
    });
    for (folder, expected) in [(&missing, "weights"), (&truncated, "model.safetensors"), (&unknown, "lhama"), (&shapes, "expected")] {
        check(&home, &["run", folder, "hello"], expected);
        check(&home, &["train", &format!("model={folder}"), &format!("data={data}"), "max_steps=1", "threads=1"], expected);
    }
    check(&home, &["run", "god", "hello"], "did you mean `good`");
    check(&home, &["eval", "model=good", "data=/nowhere.jsonl"], "/nowhere.jsonl");
}

#[cfg(unix)]
#[test]
fn a_home_that_cannot_be_written() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    // A file where a folder belongs refuses everybody, also the superuser.
    let file = home.write("file", "");
    let other = std::path::Path::new(&file).join("home");
    let answer = home.call_at(&other, &words(&tiny(&data, 2), &[]));
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    assert!(answer.stderr.starts_with("error: create folder") && answer.stderr.contains("file/home"), "{}", answer.stderr);
}
