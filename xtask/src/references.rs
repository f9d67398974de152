//! `references`: remakes the recorded PyTorch references and compares them with the committed ones.
//!
//! Apart because it is the only task that runs Python: it keeps an environment with
//! the pinned versions under `target/`, or takes one that is already there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const USAGE: &str = "references [--check | --write] [--only CASE]… [--python PROGRAM]
       references --exports FOLDER… --ids 1,2,3 [--base FOLDER] [--text TEXT] [--python PROGRAM]";

/// What to do, and with which Python.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    python: Option<PathBuf>,
    script: &'static str,
    arguments: Vec<String>,
}

/// Runs the task with the words after its name.
pub fn run(root: &Path, words: &[String]) -> Result<()> {
    let settings = parse(words)?;
    let scripts = root.join("fixtures").join("reference");
    let python = match settings.python {
        Some(python) => python,
        None => environment(root, &scripts.join("requirements.txt"))?,
    };
    call(Command::new(python).arg(scripts.join(settings.script)).args(settings.arguments).current_dir(root))
}

fn parse(words: &[String]) -> Result<Settings> {
    let mut settings = Settings { python: None, script: "make.py", arguments: Vec::new() };
    let mut is_check = true;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("references: {word} needs a value"));
        match word.as_str() {
            "--check" => is_check = true,
            "--write" => is_check = false,
            "--python" => settings.python = Some(PathBuf::from(value()?)),
            "--exports" => settings.script = "verify_export.py",
            "--only" | "--ids" | "--base" | "--text" | "--allow" => {
                let value = value()?.clone();
                settings.arguments.extend([word.clone(), value]);
            }
            folder if !folder.starts_with('-') => settings.arguments.push(folder.to_owned()),
            _ => bail!("references: unknown option {word}\nusage: {USAGE}"),
        }
    }
    if settings.script == "make.py" {
        if let Some(word) = settings.arguments.chunks(2).map(|pair| &pair[0]).find(|word| *word != "--only") {
            bail!("references: {word} needs --exports\nusage: {USAGE}");
        }
        if is_check {
            settings.arguments.push("--check".to_owned());
        }
    }
    Ok(settings)
}

/// The Python of an environment that has the pinned packages, made where it is missing or out of date.
fn environment(root: &Path, requirements: &Path) -> Result<PathBuf> {
    let folder = root.join("target").join("references");
    let python = if cfg!(windows) { folder.join("Scripts").join("python.exe") } else { folder.join("bin").join("python") };
    let wanted = std::fs::read_to_string(requirements).with_context(|| format!("references: cannot read {}", requirements.display()))?;
    let stamp = folder.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    println!("installing the packages of {} into {}", requirements.display(), folder.display());
    let base = if cfg!(windows) { "python" } else { "python3" };
    call(Command::new(base).args(["-m", "venv"]).arg(&folder))?;
    call(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))?;
    std::fs::write(&stamp, wanted).with_context(|| format!("references: cannot write {}", stamp.display()))?;
    Ok(python)
}

fn call(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_os_string();
    let status = command.status().with_context(|| format!("references: cannot start {}", program.display()))?;
    if status.success() {
        return Ok(());
    }
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    bail!("references: `{} {}` ended with {status}", program.display(), words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, expected: Result<(&str, &str), &str>) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        match (parse(&words), expected) {
            (Ok(settings), Ok((script, arguments))) => {
                assert_eq!((settings.script, settings.arguments.join(" ").as_str()), (script, arguments));
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{words:?}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn words_become_the_call_of_a_script() {
        check("", Ok(("make.py", "--check")));
        check("--check --only gpt2", Ok(("make.py", "--only gpt2 --check")));
        check("--write --only gpt2 --only dpo", Ok(("make.py", "--only gpt2 --only dpo")));
        check("--exports a b --ids 1,2 --base c", Ok(("verify_export.py", "a b --ids 1,2 --base c")));
        check("--only", Err("--only needs a value"));
        check("--ids 1,2", Err("--ids needs --exports"));
        check("folder", Err("folder needs --exports"));
        check("--fast", Err("unknown option --fast"));
    }
}
