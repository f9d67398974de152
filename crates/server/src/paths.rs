//! The one function that every path of the API, a recipe or the command box goes through.
//!
//! A path is resolved, links included, and then has to lie under an allowed root: the home, or a
//! folder that a person added. What it names is a regular file or a folder.

use std::fs;
use std::path::{Component, Path, PathBuf};

use apertis_domain::Recipe;
use apertis_protocol::error::ErrorCode;
use serde_json::json;

use crate::failure::{Answer, Failure};

/// Folders under which files may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roots {
    home: PathBuf,
    roots: Vec<PathBuf>,
}

impl Roots {
    /// The home and the folders that a person added; those that are gone allow nothing.
    pub(crate) fn new(home: &Path, added: &[String]) -> Roots {
        let folders = std::iter::once(home.to_owned()).chain(added.iter().map(PathBuf::from));
        Roots { home: home.to_owned(), roots: folders.filter_map(|folder| folder.canonicalize().ok()).collect() }
    }

    /// The file or folder that a text names, with every link followed. A relative path starts in
    /// the home.
    pub(crate) fn resolve(&self, text: &str) -> Answer<PathBuf> {
        let path = self.absolute(text)?;
        let found = path.canonicalize().map_err(|error| match error.kind() {
            // What lies outside is not told apart by whether it exists.
            std::io::ErrorKind::NotFound if self.is_inside(&path) => {
                Failure::new(ErrorCode::NotFound, format!("There is no file or folder {}.", shown(text)))
            }
            _ => refused(text),
        })?;
        if !self.is_inside(&found) {
            return Err(refused(text));
        }
        let kind = fs::metadata(&found).map_err(|_| refused(text))?;
        match kind.is_file() || kind.is_dir() {
            true => Ok(found),
            false => Err(refused(text)),
        }
    }

    /// The files and folders that a text names, which may be a folder or a pattern such as
    /// `data/*.jsonl`: every file that it leads to is checked.
    pub(crate) fn resolve_data(&self, text: &str) -> Answer<PathBuf> {
        let path = match text.contains(['*', '?', '[']) {
            true => self.absolute(text)?,
            false => self.resolve(text)?,
        };
        if !self.is_inside(&path) {
            return Err(refused(text));
        }
        let (files, _) = apertis_dataset::find_files(std::slice::from_ref(&path))?;
        files.iter().try_for_each(|file| self.resolve(&file.path.to_string_lossy()).map(|_| ()))?;
        Ok(path)
    }

    /// Checks every path of a recipe, and makes those absolute that name files.
    pub(crate) fn check_recipe(&self, recipe: &mut Recipe, places: apertis_library::Places<'_>) -> Answer<()> {
        let of = |field: &'static str| move |failure: Failure| failure.details(json!({ "field": field }));
        if !recipe.model.is_empty() {
            // A name of the home, or of a run, is no path.
            let is_name = apertis_library::find(places, &recipe.model).is_ok() && !Path::new(&recipe.model).is_absolute();
            let is_plain =
                !recipe.model.contains(['\\', '~']) && !Path::new(&recipe.model).components().any(|part| part == Component::ParentDir);
            if is_name && is_plain {
                let found = apertis_library::find(places, &recipe.model)?;
                self.resolve(&found.to_string_lossy()).map_err(of("model"))?;
            } else {
                recipe.model = self.resolve(&recipe.model).map_err(of("model"))?.display().to_string();
            }
        }
        for (field, path) in [("data", &mut recipe.data), ("eval_data", &mut recipe.eval_data)] {
            if !path.is_empty() {
                *path = self.resolve_data(path).map_err(of(field))?.display().to_string();
            }
        }
        if !recipe.adapter.is_empty() {
            recipe.adapter = self.resolve(&recipe.adapter).map_err(of("adapter"))?.display().to_string();
        }
        if !recipe.chat_template.is_empty() && recipe.chat_template != "chatml" {
            recipe.chat_template = self.resolve(&recipe.chat_template).map_err(of("chat_template"))?.display().to_string();
        }
        Ok(())
    }

    /// A folder that a person wants to add: it exists, and is neither the whole disk nor the system's.
    pub(crate) fn check_folder(text: &str) -> Answer<String> {
        check_text(text)?;
        let path = Path::new(text);
        let found = path.is_absolute().then(|| path.canonicalize().ok()).flatten().filter(|path| path.is_dir());
        let found = found.ok_or_else(|| Failure::bad(format!("There is no folder {}.", shown(text))))?;
        let of_system = ["/proc", "/sys", "/dev", "/etc", "/boot", "/run"];
        let is_system = found.parent().is_none() || of_system.iter().any(|root| found.starts_with(root));
        match is_system {
            true => Err(refused(text).hint("Add the folder that holds your data or models.")),
            false => Ok(found.display().to_string()),
        }
    }

    fn absolute(&self, text: &str) -> Answer<PathBuf> {
        check_text(text)?;
        let path = self.home.join(text);
        // Steps up are taken before links are followed, as a person reads them.
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::CurDir => {}
                part => plain.push(part),
            }
        }
        Ok(plain)
    }

    fn is_inside(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root)) || path.starts_with(&self.home)
    }
}

/// Refuses what no file of a person is called: shares, devices, streams, control characters.
fn check_text(text: &str) -> Answer<()> {
    let is_share = text.starts_with("\\\\") || text.starts_with("//");
    let has_control = text.is_empty() || text.chars().any(char::is_control);
    let is_device = Path::new(text).components().any(|part| match part {
        Component::Normal(name) => is_device_name(&name.to_string_lossy()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => false,
    });
    // `C:\` is a drive; any other colon on Windows opens a stream of a file.
    let has_stream = cfg!(windows) && text.char_indices().any(|(at, letter)| letter == ':' && at != 1);
    match is_share || has_control || is_device || has_stream {
        true => Err(refused(text)),
        false => Ok(()),
    }
}

fn is_device_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_lowercase();
    let is_numbered =
        |prefix: &str| stem.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest != "0" && rest.parse::<u8>().is_ok());
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$") || is_numbered("com") || is_numbered("lpt")
}

fn refused(text: &str) -> Failure {
    Failure::new(ErrorCode::PathNotAllowed, format!("{} is not under a folder that may be read.", shown(text)))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().filter(|letter| !letter.is_control()).take(120).collect();
    if short.is_empty() { "An empty path".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_under_a_root() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().canonicalize()?;
        let (home, added, outside) = (root.join("home"), root.join("added"), root.join("outside"));
        for folder in [&home, &added, &outside] {
            fs::create_dir(folder)?;
            fs::write(folder.join("data.jsonl"), "{}")?;
        }
        fs::create_dir(home.join("inner"))?;
        let roots = Roots::new(&home, &[added.display().to_string(), root.join("gone").display().to_string()]);
        let check = |text: &str, expected: Result<(), ErrorCode>| {
            assert_eq!(roots.resolve(text).map(|_| ()).map_err(|failure| failure.code), expected, "{text}");
        };
        let (allowed, refused, missing) = (Ok(()), Err(ErrorCode::PathNotAllowed), Err(ErrorCode::NotFound));
        check("data.jsonl", allowed);
        check("inner/../data.jsonl", allowed);
        check("./inner", allowed);
        check(&added.join("data.jsonl").display().to_string(), allowed);
        check("none.jsonl", missing);
        check(&outside.join("data.jsonl").display().to_string(), refused);
        check("../outside/data.jsonl", refused);
        check("inner/../../outside/data.jsonl", refused);
        // Whether something exists outside cannot be found out.
        check("../outside/none", refused);
        for text in ["", "//share/x", "\\\\share\\x", "a\0b", "a\nb", "nul", "inner/COM1.txt", "/dev/null", "/etc/passwd"] {
            check(text, refused);
        }
        let check = |text: &str, expected: Result<(), ErrorCode>| {
            assert_eq!(roots.resolve_data(text).map(|_| ()).map_err(|failure| failure.code), expected, "{text}");
        };
        check("*.jsonl", allowed);
        check(".", allowed);
        check("none*.jsonl", Err(ErrorCode::DataInvalid));
        check("../outside/*.jsonl", refused);
        check("../outside/none*.jsonl", refused);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_and_pipes_are_no_files() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().canonicalize()?.join("home");
        fs::create_dir(&home)?;
        fs::write(home.join("file"), "")?;
        std::os::unix::fs::symlink("/etc", home.join("out"))?;
        std::os::unix::fs::symlink(home.join("file"), home.join("in"))?;
        let socket = std::os::unix::net::UnixListener::bind(home.join("socket"))?;
        let roots = Roots::new(&home, &[]);
        let check = |text: &str, expected| assert_eq!(roots.resolve(text).is_ok(), expected, "{text}");
        check("in", true);
        check("out", false);
        check("out/passwd", false);
        check("socket", false);
        drop(socket);
        Ok(())
    }

    #[test]
    fn added_folders_are_folders_of_people() {
        for text in ["/", "/proc", "/dev/shm", "relative", "/no/such/folder"] {
            assert!(Roots::check_folder(text).is_err(), "{text}");
        }
    }
}
