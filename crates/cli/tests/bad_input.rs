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
    let header = |folder: &std::path::Path, change: &dyn Fn(&mut serde_json::Value)| {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).expect("weights");
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let mut document: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
        change(&mut document);
        let text = document.to_string();
        let file = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &bytes[8 + length..]].concat();
        std::fs::write(path, file).expect("other weights");
    };
    let norm = "model.norm.weight";
    let lying = copy("lying", &|folder| header(folder, &|document| document[norm]["shape"] = serde_json::json!([1u64 << 60])));
    let overlapping = copy("overlapping", &|folder| {
        header(folder, &|document| {
            let offsets = [document[norm]["data_offsets"][0].as_u64(), document[norm]["data_offsets"][1].as_u64()];
            document[norm]["data_offsets"] = serde_json::json!(offsets.map(|offset| offset.map(|offset| offset.saturating_sub(2))));
        });
    });
    let nan = copy("nan", &|folder| {
        let path = folder.join("model.safetensors");
        let mut bytes = std::fs::read(&path).expect("weights");
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&[0xc0, 0x7f, 0xc0, 0x7f]);
        std::fs::write(path, bytes).expect("other weights");
    });
    let ids = copy("ids", &|folder| {
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo/base").join(name);
            std::fs::copy(demo, folder.join(name)).expect("the demo's tokenizer");
        }
    });
    let template =
        copy("template", &|folder| std::fs::write(folder.join("chat_template.jinja"), "{% for m in messages %}{{ m").expect("it"));
    for (folder, expected) in [
        (&lying, "model.safetensors"),
        (&overlapping, "model.safetensors"),
        (&nan, "NaN"),
        (&ids, "largest id is 4095"),
        (&template, "template"),
    ] {
        check(&home, &["run", folder, "hello"], expected);
        check(&home, &["train", &format!("model={folder}"), &format!("data={data}"), "max_steps=1", "threads=1"], expected);
    }
    for (folder, expected) in [(&missing, "weights"), (&truncated, "model.safetensors"), (&unknown, "lhama"), (&shapes, "expected")] {
        check(&home, &["run", folder, "hello"], expected);
        check(&home, &["train", &format!("model={folder}"), &format!("data={data}"), "max_steps=1", "threads=1"], expected);
    }
    for verb in ["tokens", "data"] {
        check(&home, &[verb, &format!("model={ids}"), &format!("data={data}")], "largest id is 4095");
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

#[test]
fn recipes_that_cannot_be_used() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    for (content, expected) in [
        ("epochs = [1, 2]\n", "epochs"),
        ("lora.rank = \"many\"\n", "lora.rank"),
        ("epochs = \n", "line 1"),
        ("epohcs = 3\n", "epohcs"),
        ("\u{0}\u{1}", "line 1"),
        ("max_length = -4\n", "max_length"),
    ] {
        let recipe = home.write("recipe.toml", content);
        check(&home, &["train", &format!("recipe={recipe}"), &format!("data={data}")], expected);
    }
    let binary = home.write("recipe.toml", [0xff, 0xfe, 0x80]);
    check(&home, &["train", &format!("recipe={binary}")], "recipe.toml");
    check(&home, &["train", "recipe=/nowhere/recipe.toml"], "/nowhere/recipe.toml");
    check(&home, &["logits", "ids="], "ids");
}

#[test]
fn rows_none_of_which_can_be_used() {
    let home = Home::new();
    let data = home.write("rows.jsonl", "{\"prompt\": \"a\", \"completion\": \"\"}\nnot JSON at all\n");
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo/base").display().to_string();
    for verb in ["train", "eval"] {
        check(&home, &[verb, &format!("model={base}"), &format!("data={data}"), "threads=1"], "no usable row in 2 read");
    }
}

#[test]
fn a_model_larger_than_any_memory() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let huge = ["model.width=16384", "model.heads=128", "model.layers=400", "model.context=64", "max_length=64"];
    for more in [&[][..], &["--dry-run"][..]] {
        let scratch = ["train", "method=scratch", &format!("data={data}"), "tokenizer=char", "threads=1"];
        let began = std::time::Instant::now();
        check(&home, &[&scratch[..], &huge[..], more].concat(), "GB are needed");
        assert!(began.elapsed().as_secs() < 30, "it is refused before any of it is filled");
    }
    // A folder whose config promises as much; its weights need not be looked at.
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 16384, "intermediate_size": 65536, "num_hidden_layers": 400,
        "num_attention_heads": 128, "vocab_size": 32000, "rms_norm_eps": 1e-5,
    });
    let folder = home.write("huge/config.json", config.to_string());
    home.write("huge/model.safetensors", "");
    let folder = folder.trim_end_matches("/config.json");
    check(&home, &["run", folder, "hello"], "GB are needed");
}

#[test]
fn two_workers_on_one_run() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let started = home.call(&words(&tiny(&data, 20_000), &["--name", "one", "--detach"]));
    assert_eq!(started.code, 0, "{}", started.stderr);
    let held = home.run("one").join("worker.pid");
    let began = std::time::Instant::now();
    while !held.exists() && began.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let folder = home.run("one").display().to_string();
    check(&home, &["worker", &folder], "already at work");
    check(&home, &words(&tiny(&data, 2), &["--name", "one"]), "already exists");
    assert_eq!(home.call(&["stop", "one"]).code, 0);
}

/// A file system of its own that can be filled, which only the superuser can mount: `None` where
/// the tests run as somebody else.
#[cfg(target_os = "linux")]
struct SmallDisk {
    folder: std::path::PathBuf,
}

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(folder: std::path::PathBuf) -> Option<SmallDisk> {
        std::fs::create_dir_all(&folder).expect("a folder");
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(&folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(SmallDisk { folder })
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.folder).output();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_the_last_checkpoint_stays_good() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let Some(disk) = SmallDisk::mount(home.path().join("small")) else { return };
    let there = disk.folder.join("home");
    let first = home.call_at(&there, &words(&tiny(&data, 10), &["--name", "full", "save_every=5"]));
    assert_eq!(first.code, 0, "{}", first.stderr);
    let checkpoint = std::fs::canonicalize(there.join("runs/full/checkpoints/last")).expect("it was saved");
    let before = std::fs::read(checkpoint.join("model.safetensors")).expect("weights");
    // All but room for some lines of the log.
    let mut filler = std::fs::File::create(disk.folder.join("filler")).expect("a file");
    let piece = [1u8; 16 << 10];
    while std::io::Write::write_all(&mut filler, &piece).is_ok() {}
    let length = filler.metadata().expect("a size").len();
    filler.set_len(length - (64 << 10)).expect("shorter");
    let none = home.call_at(&there, &["train", "resume=full", "max_steps=40"]);
    assert!(none.code == 1 && none.stderr.contains("No space left") && none.stderr.contains("hint: "), "{}", none.stderr);
    assert_eq!(std::fs::read(checkpoint.join("model.safetensors")).expect("still there"), before);
    // With room again the run is as it was.
    drop(filler);
    std::fs::remove_file(disk.folder.join("filler")).expect("gone");
    let third = home.call_at(&there, &["train", "resume=full", "max_steps=40", "--json"]);
    assert_eq!(third.code, 0, "{}", third.stderr);
    assert_eq!(third.json()["steps"], 40, "the same command again does what it says: {}", third.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_read_only() {
    let home = Home::new();
    let data = home.write("book.txt", text());
    let Some(disk) = SmallDisk::mount(home.path().join("small")) else { return };
    let remount = |how: &str| {
        let status = std::process::Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&disk.folder).status();
        assert!(status.is_ok_and(|status| status.success()), "the disk was mounted by this test");
    };
    remount("ro");
    let answer = home.call_at(&disk.folder.join("home"), &words(&tiny(&data, 2), &[]));
    assert!(answer.code == 1 && answer.stderr.contains("Read-only") && answer.stderr.contains("hint: "), "{}", answer.stderr);
    // Reading from there is no writing.
    remount("rw");
    std::fs::copy(&data, disk.folder.join("book.txt")).expect("room");
    remount("ro");
    let data = disk.folder.join("book.txt").display().to_string();
    home.json(&words(&tiny(&data, 2), &[]));
}
