//! Makes the demo's text and questions: an almanac of a small imaginary harbour town. The prose,
//! the facts and the grammar were written by hand (`material/`); this module combines them, the
//! same way every time.

mod compose;
mod english;
mod grammar;
mod material;
mod questions;
mod random;
mod statistics;

use std::path::Path;

use anyhow::{Context, Result, bail};

use material::World;

/// The files of the demo, and how often the corpus tells each fact.
pub(crate) struct Demo {
    pub(crate) files: Vec<Made>,
    pub(crate) tellings: Vec<usize>,
}

/// A file of `fixtures/demo` and its content.
pub(crate) struct Made {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

const MATERIAL: [(&str, &str); 22] = [
    ("boats", include_str!("material/boats.txt")),
    ("care", include_str!("material/care.txt")),
    ("creatures", include_str!("material/creatures.txt")),
    ("facts", include_str!("material/facts.txt")),
    ("howto", include_str!("material/howto.txt")),
    ("knots", include_str!("material/knots.txt")),
    ("manners", include_str!("material/manners.txt")),
    ("months", include_str!("material/months.txt")),
    ("people", include_str!("material/people.txt")),
    ("places", include_str!("material/places.txt")),
    ("plants", include_str!("material/plants.txt")),
    ("products", include_str!("material/products.txt")),
    ("recipes", include_str!("material/recipes.txt")),
    ("scenes", include_str!("material/scenes.txt")),
    ("stories", include_str!("material/stories.txt")),
    ("sums", include_str!("material/sums.txt")),
    ("things", include_str!("material/things.txt")),
    ("town", include_str!("material/town.txt")),
    ("trees", include_str!("material/trees.txt")),
    ("units", include_str!("material/units.txt")),
    ("weather", include_str!("material/weather.txt")),
    ("words", include_str!("material/words.txt")),
];

/// `cargo xtask generate corpus [--stats] [--check]`: writes the files of `fixtures/demo`, or with
/// `--check` compares them with what is there.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut check = false;
    let mut stats = false;
    for argument in arguments {
        match argument.as_str() {
            "--check" => check = true,
            "--stats" => stats = true,
            other => bail!("generate corpus: expected --stats or --check, found {other}"),
        }
    }
    let folder = root.join("fixtures/demo");
    let demo = generate()?;
    for file in &demo.files {
        let path = folder.join(file.name);
        if check {
            let found = std::fs::read_to_string(&path).with_context(|| format!("generate corpus: cannot read {}", path.display()))?;
            if found != file.text {
                bail!("generate corpus: {} differs from what the generator makes; run `cargo xtask generate corpus`", path.display());
            }
        } else {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, &file.text).with_context(|| format!("generate corpus: cannot write {}", path.display()))?;
        }
    }
    if stats {
        print!("{}", statistics::report(&demo));
    }
    Ok(())
}

/// All files, in memory.
pub(crate) fn generate() -> Result<Demo> {
    let world = World::read(&MATERIAL)?;
    let (corpus, tellings) = compose::corpus(&world)?;
    let sets = questions::questions(&world)?;
    let files = vec![
        Made { name: "corpus.txt", text: corpus },
        Made { name: "questions.jsonl", text: sets.train },
        Made { name: "validation.jsonl", text: sets.validation },
        Made { name: "held-out.jsonl", text: sets.held_out },
        Made { name: "ask.txt", text: sets.ask },
    ];
    Ok(Demo { files, tellings })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::OnceLock;

    use super::*;

    /// Made once for all tests.
    fn demo() -> &'static Demo {
        static DEMO: OnceLock<Demo> = OnceLock::new();
        DEMO.get_or_init(|| generate().expect("the material is well formed"))
    }

    fn file<'d>(demo: &'d Demo, name: &str) -> &'d str {
        demo.files.iter().find(|file| file.name == name).map(|file| file.text.as_str()).expect("made")
    }

    #[test]
    fn committed_files_are_what_the_generator_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/demo");
        for made in &demo().files {
            let committed = std::fs::read_to_string(folder.join(made.name)).expect("committed");
            assert!(committed == made.text, "{} differs from what the generator makes; run `cargo xtask generate corpus`", made.name);
        }
    }

    #[test]
    fn text_is_clean() {
        for file in &demo().files {
            for mark in ["{", "}", "[", "]", "|", "(n)", "  ", " .", " ,", "..", "//", "\n\n\n"] {
                let is_json = file.name.ends_with(".jsonl") && ["{", "}", "[", "]"].contains(&mark);
                assert!(is_json || !file.text.contains(mark), "{}: found {mark:?}", file.name);
            }
            for wrong in [" a apple", " a egg", " a hour", " an unit", " an leek", " a 8", " the the "] {
                assert!(!file.text.contains(wrong), "{}: found {wrong:?}", file.name);
            }
        }
    }

    #[test]
    fn every_fact_is_told_and_repetition_stays_low() {
        assert!(demo().tellings.iter().all(|tellings| *tellings >= 2), "a fact was told less than twice");
        let corpus = file(demo(), "corpus.txt");
        let all = english::sentences(corpus);
        let distinct: HashSet<&str> = all.iter().copied().collect();
        assert!(distinct.len() * 10 > all.len() * 8, "{} of {}", distinct.len(), all.len());
        assert!((2_000_000..3_000_000).contains(&corpus.len()), "{}", corpus.len());
    }

    #[test]
    fn no_question_is_both_trained_and_held_out() {
        let question = |line: &str| line.split("\"},{").next().map(str::to_owned);
        let rows = |name: &str| file(demo(), name).lines().map(question).collect::<Vec<_>>();
        let sets = ["questions.jsonl", "validation.jsonl", "held-out.jsonl"].map(rows);
        let distinct: HashSet<_> = sets.iter().flatten().collect();
        assert_eq!(distinct.len(), sets.iter().map(Vec::len).sum::<usize>());
        for asked in file(demo(), "ask.txt").lines() {
            assert!(file(demo(), "held-out.jsonl").contains(asked), "{asked}");
        }
    }
}
