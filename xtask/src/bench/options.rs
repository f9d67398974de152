//! What a person asked the benchmarks to do.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// Every group of figures, in the order in which they run.
pub(super) const GROUPS: &[&str] = &["start", "products", "fine-tune", "scratch", "cost-growth", "data-scale"];

const USAGE: &str =
    "bench [start] [products] [fine-tune] [scratch] [cost-growth] [data-scale] [--rounds 3] [--threads 2] [--model FOLDER] [--data FILE]
      [--text FILE] [--megabytes 5000] [--peer FOLDER-OF-peer_train.py] [--torch] [--python PROGRAM]";

/// The settings of one call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) groups: Vec<String>,
    /// How often each side of a comparison runs.
    pub(super) rounds: usize,
    /// Threads of each side.
    pub(super) threads: usize,
    /// Model folder to fine-tune; one of the SmolLM2-135M shape is made where none is named.
    pub(super) model: Option<PathBuf>,
    /// Conversations to train on; the demo's questions where none is named.
    pub(super) data: Option<PathBuf>,
    /// Text to learn from nothing; the demo's corpus where none is named.
    pub(super) text: Option<PathBuf>,
    /// Size of the large file of `data-scale`.
    pub(super) megabytes: usize,
    /// Folder with `peer_train.py` and `peer_scratch.py`.
    pub(super) peer: Option<PathBuf>,
    /// Time PyTorch's matrix products beside ours.
    pub(super) has_torch: bool,
    /// A Python that has PyTorch, Transformers and PEFT.
    pub(super) python: PathBuf,
}

impl Options {
    /// # Errors
    /// An option that is unknown, or that lacks its value.
    pub(super) fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self {
            groups: Vec::new(),
            rounds: 3,
            threads: 2,
            model: None,
            data: None,
            text: None,
            megabytes: 5000,
            peer: None,
            has_torch: false,
            python: "python3".into(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("bench: {word} needs a value\nusage: {USAGE}"));
            match word.as_str() {
                "--rounds" => options.rounds = number(word, value()?)?,
                "--threads" => options.threads = number(word, value()?)?,
                "--model" => options.model = Some(value()?.into()),
                "--data" => options.data = Some(value()?.into()),
                "--text" => options.text = Some(value()?.into()),
                "--megabytes" => options.megabytes = number(word, value()?)?,
                "--peer" => options.peer = Some(value()?.into()),
                "--torch" => options.has_torch = true,
                "--python" => options.python = value()?.into(),
                group if GROUPS.contains(&group) => options.groups.push(group.to_owned()),
                _ => bail!("bench: unknown option {word}\nusage: {USAGE}"),
            }
        }
        if options.groups.is_empty() {
            options.groups = GROUPS.iter().map(|group| (*group).to_owned()).collect();
        }
        Ok(options)
    }
}

fn number(word: &str, value: &str) -> Result<usize> {
    let number = value.parse().with_context(|| format!("bench: {word}: expected a whole number, found `{value}`"))?;
    ensure!(number > 0, "bench: {word}: expected at least 1");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_group_runs_where_none_is_named() {
        assert_eq!(parse(&[]).unwrap().groups, GROUPS);
        assert_eq!(parse(&["scratch", "--rounds", "1"]).unwrap().groups, ["scratch"]);
    }

    #[test]
    fn unknown_options_and_missing_values_are_refused() {
        for (words, said) in [(&["--rounds"][..], "needs a value"), (&["--rounds", "0"], "at least 1"), (&["fast"], "unknown option")] {
            assert!(parse(words).unwrap_err().to_string().contains(said), "{words:?}");
        }
    }
}
