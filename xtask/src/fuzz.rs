//! `cargo xtask fuzz [TARGET…] [--seconds N]`: builds the fuzz targets with the nightly compiler,
//! gives each its seeds, and runs one after the other.
//!
//! The flags are those of `cargo fuzz`, which therefore need not be installed; the folder is laid
//! out for it too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// Every target, and the files its first inputs are made from: a pattern under `fixtures/`, and
/// the bytes put in front, which choose what the target takes the rest for.
const TARGETS: &[(&str, &[(&str, &[u8])])] = &[
    (
        "safetensors",
        &[("formats/safetensors_f16/model.safetensors", b"\0"), ("formats/safetensors_sharded/model.safetensors.index.json", b"\x02")],
    ),
    ("torch", &[("formats/bin_f16/pytorch_model.bin", b"\0"), ("formats/bin_legacy/pytorch_model.bin", b"\0")]),
    ("llama2c", &[]),
    ("config", &[("families/*/config.json", b""), ("families/*/config.legacy.json", b"")]),
    (
        "tokenizer",
        &[
            ("tokenizer/sentencepiece_bpe/tokenizer.model", b"\x01"),
            ("tokenizer/sentencepiece_unigram/tokenizer.model", b"\x01"),
            ("tokenizer/llama2c/tok.bin", b"\x02"),
            ("tokenizer/byte_level/vocab.json", b"\x03"),
            ("tokenizer/byte_level/merges.txt", b"\x05"),
        ],
    ),
    ("chat_template", &[("tokenizer/templates/*.jinja", b"")]),
    ("recipe", &[("../recipes/*.toml", b"\n"), ("../recipes/*.toml", b"epochs=3\n")]),
    ("data_json", &[("demo/held-out.jsonl", b"\0"), ("optimizers/expected.json", b"\x01")]),
    ("data_table", &[("logs/v1.results.csv", b"\0")]),
    ("data_parquet", &[("data/*.parquet", b"")]),
    ("data_text", &[("demo/ask.txt", b"\0")]),
    ("data_compressed", &[("data/rows.jsonl.gz", b"\0"), ("data/rows.jsonl.zst", b"\x01")]),
];

/// Inputs that no fixture holds.
const OWN_SEEDS: &[(&str, &str, &[u8])] = &[
    ("safetensors", "header", b"\x01{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[8,16]}}"),
    ("torch", "pickle", b"\x01\x80\x02}q\0X\x01\0\0\0aq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\0\0\0storageq\x03ctorch\nFloatStorage\nq\x04X\x01\0\0\x000q\x05X\x03\0\0\0cpuq\x06K\x08tq\x07QK\0K\x02K\x02\x86q\x08K\x02K\x01\x86q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."),
    ("data_json", "array", b"\x01[{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}]},\n{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":\"a\"}]}]"),
    ("data_table", "quoted", b"\0question,answer\n\"q, 1\",\"a\n2\"\nq2;3,\"\"\"x\"\"\"\n"),
    ("data_table", "tabs", b"\x01instruction\tinput\toutput\na\tb\tc\n\t\t\n"),
    ("data_text", "utf16", b"\0\xff\xfeA\0b\0\x3d\xd8\0\xde\n\0"),
];

/// Longest input; larger ones only slow the search down.
const INPUT_BYTES: usize = 16 << 10;

/// Instrumentation of libFuzzer, the address sanitizer, and every check of the debug profile.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address \
    -Cdebug-assertions -Coverflow-checks";

/// Runs the named targets, or all of them.
pub(crate) fn run(root: &Path, words: &[String]) -> Result<()> {
    let (chosen, seconds) = parse(words)?;
    let host = host()?;
    let target_folder = root.join("target").join("fuzz");
    build(root, &host, &target_folder, &chosen)?;
    for name in &chosen {
        let corpus = seeds(root, &target_folder, name)?;
        let program = target_folder.join(&host).join("release").join(name);
        let began = Instant::now();
        println!("── {name}: {seconds} s");
        search(&program, &corpus, name, seconds, &target_folder)?;
        println!("── {name}: nothing found in {} s", began.elapsed().as_secs());
    }
    Ok(())
}

fn parse(words: &[String]) -> Result<(Vec<&'static str>, u64)> {
    let (mut chosen, mut seconds) = (Vec::new(), 60);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let value = words.next().context("fuzz: --seconds needs a number")?;
            seconds = value.parse().with_context(|| format!("fuzz: --seconds: found {value}, expected a number"))?;
        } else if let Some((name, _)) = TARGETS.iter().find(|(name, _)| name == word) {
            chosen.push(*name);
        } else {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            bail!("fuzz: found {word:?}, expected --seconds N or some of {}", names.join(", "));
        }
    }
    if chosen.is_empty() {
        chosen = TARGETS.iter().map(|(name, _)| *name).collect();
    }
    Ok((chosen, seconds))
}

/// What the compiler calls this machine.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc does not say its host")
}

fn build(root: &Path, host: &str, target_folder: &Path, chosen: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "build", "--release", "--target", host, "--target-dir"]).arg(target_folder);
    command.args(chosen.iter().flat_map(|name| ["--bin", *name]));
    // The compiler that runs this program must not decide over the one that is asked for.
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command.env("RUSTFLAGS", FLAGS).current_dir(root.join("fuzz"));
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "fuzz: building ended with {status}; is the nightly compiler there (rustup toolchain install nightly)?");
    Ok(())
}

/// Lays first inputs into the target's corpus, which keeps what earlier runs found.
fn seeds(root: &Path, target_folder: &Path, name: &str) -> Result<PathBuf> {
    let corpus = target_folder.join("corpus").join(name);
    std::fs::create_dir_all(&corpus).with_context(|| format!("fuzz: {}", corpus.display()))?;
    let save = |seed: &str, content: &[u8]| std::fs::write(corpus.join(format!("seed-{seed}")), content).context("fuzz: a seed");
    let patterns = TARGETS.iter().filter(|(target, _)| *target == name).flat_map(|(_, patterns)| patterns.iter());
    for (index, (pattern, prefix)) in patterns.enumerate() {
        for path in matching(&root.join("fixtures"), pattern)? {
            let mut content = std::fs::read(&path).with_context(|| format!("fuzz: {}", path.display()))?;
            content.truncate(INPUT_BYTES - prefix.len());
            let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            save(&format!("{index}-{folder}-{file}"), &[prefix, &content[..]].concat())?;
        }
    }
    for (_, seed, content) in OWN_SEEDS.iter().filter(|(target, _, _)| *target == name) {
        save(seed, content)?;
    }
    if name == "llama2c" {
        for (version, vocabulary) in [(0, 5), (0, -5), (1, 5), (2, 5)] {
            save(&format!("v{version}-{vocabulary}"), &llama2c(version, vocabulary))?;
        }
    }
    Ok(corpus)
}

/// Files of a folder by a path in which one part may hold one `*`.
fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_path_buf()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for path in found {
            match part.split_once('*') {
                None => next.push(path.join(part)),
                Some((start, end)) => {
                    for entry in std::fs::read_dir(&path).with_context(|| format!("fuzz: {}", path.display()))? {
                        let name = entry?.file_name().to_string_lossy().into_owned();
                        if name.starts_with(start) && name.ends_with(end) {
                            next.push(path.join(name));
                        }
                    }
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found.sort();
    ensure!(!found.is_empty(), "fuzz: no fixture is {pattern}");
    Ok(found)
}

/// A model file of one layer of width 4.
fn llama2c(version: i32, vocabulary: i32) -> Vec<u8> {
    let sizes = [4, 6, 1, 1, 1, vocabulary, 8];
    let mut bytes: Vec<u8> = Vec::new();
    if version > 0 {
        bytes.extend(0x616b_3432u32.to_le_bytes());
        bytes.extend(version.to_le_bytes());
    }
    bytes.extend(sizes.iter().flat_map(|size: &i32| size.to_le_bytes()));
    if version > 0 {
        bytes.push(1);
        bytes.extend(if version == 2 { 4i32.to_le_bytes() } else { [0; 4] });
        bytes.resize(256, 0);
    }
    let matrices = 5 * 4 + 4 * 16 + 3 * 24;
    let head_bytes = if vocabulary < 0 { 5 * 4 * 4 } else { 0 };
    let body_bytes = match version {
        0 => 4 * (matrices + 3 * 4 + 8 * 4) + head_bytes,
        1 => 4 * (matrices + 3 * 4),
        _ => 4 * 3 * 4 + matrices + 4 * (matrices / 4),
    };
    bytes.extend((0..body_bytes).map(|at| if at % 4 == 3 { 0x3d } else { (at % 251) as u8 }));
    bytes
}

/// One search; ends early at the first input that breaks a promise, which is kept and named.
fn search(program: &Path, corpus: &Path, name: &str, seconds: u64, target_folder: &Path) -> Result<()> {
    let found = target_folder.join("found").join(name);
    std::fs::create_dir_all(&found).with_context(|| format!("fuzz: {}", found.display()))?;
    let mut command = Command::new(program);
    command.arg(corpus).arg(format!("-artifact_prefix={}/", found.display()));
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={INPUT_BYTES}")]);
    command.args(["-timeout=10", "-rss_limit_mb=4096", "-malloc_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]);
    // Inputs pass through files; in memory they cost no disk.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        command.env("TMPDIR", memory);
    }
    command.env("ASAN_OPTIONS", "allocator_may_return_null=1:detect_leaks=0");
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(status.success(), "fuzz: {name} ended with {status}; the input lies in {}", found.display());
    Ok(())
}
