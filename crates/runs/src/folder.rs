//! The folder of one run: its name, and where in it everything lies.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use apertis_domain::name::RunTitle;
use apertis_domain::{Recipe, RunName};

use crate::durable::replace_file;
use crate::error::AtPath;
use crate::{Home, RunCard, RunsError};

/// The folder of a run that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a new run. The recipe's `name` becomes the folder's, or its title where
    /// no folder can be called that; an empty one is numbered by method: `lora-1`, `lora-2`, …
    /// The recipe is written without the name, so that training from it again makes a new run.
    ///
    /// # Errors
    /// The name is taken or no name for a folder, or the folder cannot be written.
    pub fn create(home: &Home, recipe: &Recipe) -> Result<RunFolder, RunsError> {
        let folder = if recipe.name.is_empty() {
            RunFolder::create_numbered(home, recipe.method.name())?
        } else {
            RunFolder::create_named(home, &recipe.name.parse()?)?
        };
        let filled = folder.fill(recipe).and_then(|()| folder.fill_card(home, &recipe.name));
        if filled.is_err() {
            // A run without a recipe is none; what was made a moment ago goes again.
            let _ = fs::remove_dir_all(&folder.path);
        }
        filled.map(|()| folder)
    }

    fn create_named(home: &Home, title: &RunTitle) -> Result<RunFolder, RunsError> {
        let is_folder_name = title.as_str().parse::<RunName>().is_ok();
        let path = RunFolder::free_path(home, title.folder_name().as_str())?;
        let is_taken = path.file_name().is_some_and(|name| name != title.folder_name().as_str());
        let taken = || RunsError::NameTaken { name: title.as_str().to_owned() };
        if is_taken && (is_folder_name || RunFolder::is_titled(home, title)?) {
            return Err(taken());
        }
        fs::create_dir(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => taken(),
            _ => RunsError::File { operation: "create folder", path: path.clone(), source },
        })?;
        Ok(RunFolder { path })
    }

    /// Whether a run of the home has this title.
    fn is_titled(home: &Home, title: &RunTitle) -> Result<bool, RunsError> {
        let runs = RunFolder::all(home)?;
        Ok(runs.iter().any(|run| RunCard::open(home, run).is_ok_and(|card| card.title() == title.as_str())))
    }

    /// A path for a run of this name that no folder has in any mix of capitals: numbered where it
    /// is taken.
    ///
    /// # Errors
    /// The home cannot be listed.
    pub(crate) fn free_path(home: &Home, name: &str) -> Result<PathBuf, RunsError> {
        let runs = home.runs();
        let mut taken = BTreeSet::new();
        for entry in fs::read_dir(&runs).at("list", &runs)? {
            taken.insert(entry.at("list", &runs)?.file_name().to_string_lossy().to_lowercase());
        }
        let numbered = (2..).map(|number: u64| format!("{name}-{number}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(&name.to_lowercase()));
        Ok(runs.join(free.expect("a folder never holds every number")))
    }

    fn create_numbered(home: &Home, prefix: &str) -> Result<RunFolder, RunsError> {
        let runs = home.runs();
        let number_of = |name: &str| name.strip_prefix(prefix)?.strip_prefix('-')?.parse().ok();
        let mut number: u64 = 1;
        for entry in fs::read_dir(&runs).at("list", &runs)? {
            let entry = entry.at("list", &runs)?;
            if let Some(taken) = entry.file_name().to_str().and_then(number_of) {
                number = number.max(u64::saturating_add(taken, 1));
            }
        }
        loop {
            let path = runs.join(format!("{prefix}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { path }),
                // Somebody else took it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => {
                    return Err(RunsError::File { operation: "create folder", path, source });
                }
            }
        }
    }

    /// Writes the card of a new run: its title where that is not the folder's name.
    fn fill_card(&self, home: &Home, title: &str) -> Result<(), RunsError> {
        let mut card = RunCard::open(home, self)?;
        if title.is_empty() {
            return Ok(());
        }
        card.rename(title)?;
        card.write(self)
    }

    fn fill(&self, recipe: &Recipe) -> Result<(), RunsError> {
        for folder in [self.control(), self.checkpoints()] {
            fs::create_dir(&folder).at("create folder", &folder)?;
        }
        self.write_recipe(recipe)
    }

    /// Finds a run by name in the home, or by the path of its folder.
    ///
    /// # Errors
    /// There is none.
    pub fn find(home: &Home, name: &str) -> Result<RunFolder, RunsError> {
        for path in [home.runs().join(name), PathBuf::from(name)] {
            if !name.is_empty() && path.join("recipe.toml").is_file() {
                return RunFolder::open(&path);
            }
        }
        let nearest = RunFolder::all(home)?
            .into_iter()
            .map(|folder| folder.name())
            .map(|found| (strsim::damerau_levenshtein(&found, name), found))
            .filter(|(distance, found)| *distance <= found.len().max(name.len()).div_ceil(3))
            .min()
            .map(|(_, found)| found);
        Err(RunsError::NotFound { name: name.to_owned(), nearest })
    }

    /// The run at a path.
    ///
    /// # Errors
    /// There is no `recipe.toml` in it.
    pub fn open(path: &Path) -> Result<RunFolder, RunsError> {
        let path = std::path::absolute(path).at("find run", path)?;
        if path.join("recipe.toml").is_file() {
            Ok(RunFolder { path })
        } else {
            Err(RunsError::NotFound { name: path.display().to_string(), nearest: None })
        }
    }

    /// Every run of the home, by name.
    ///
    /// # Errors
    /// The home cannot be listed.
    pub fn all(home: &Home) -> Result<Vec<RunFolder>, RunsError> {
        let runs = home.runs();
        let mut folders = Vec::new();
        for entry in fs::read_dir(&runs).at("list", &runs)? {
            let path = entry.at("list", &runs)?.path();
            if path.join("recipe.toml").is_file() {
                folders.push(RunFolder { path });
            }
        }
        folders.sort_by_key(|folder| natural_key(&folder.name()));
        Ok(folders)
    }

    /// The run whose log changed last.
    ///
    /// # Errors
    /// The home cannot be listed.
    pub fn latest(home: &Home) -> Result<Option<RunFolder>, RunsError> {
        let changed = |folder: &RunFolder| {
            [folder.events(), folder.recipe_file()].iter().filter_map(|path| fs::metadata(path).and_then(|data| data.modified()).ok()).max()
        };
        Ok(RunFolder::all(home)?.into_iter().max_by_key(changed))
    }

    /// The run's name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every field, resolved.
    pub fn recipe_file(&self) -> PathBuf {
        self.path.join("recipe.toml")
    }

    /// The reproducibility record.
    pub fn run_lock(&self) -> PathBuf {
        self.path.join("run.lock")
    }

    /// Held by the living worker.
    pub fn worker_lock(&self) -> PathBuf {
        self.path.join("worker.lock")
    }

    /// Exists while a worker lives; its change time is the worker's heartbeat.
    pub fn worker_pid(&self) -> PathBuf {
        self.path.join("worker.pid")
    }

    /// What the worker prints.
    pub fn worker_log(&self) -> PathBuf {
        self.path.join("worker.log")
    }

    /// The truth about the run.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// What a list says of the run; made again from the log where it is missing.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// Machine samples.
    pub fn system(&self) -> PathBuf {
        self.path.join("system.jsonl")
    }

    /// Answers to the fixed prompts.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// Rows of the first batches.
    pub fn first_batches(&self) -> PathBuf {
        self.path.join("first-batches.json")
    }

    /// Requests to the run.
    pub fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    /// Checkpoints and their index.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The checkpoint with the best evaluation.
    pub fn best(&self) -> PathBuf {
        self.checkpoints().join("best")
    }

    /// The checkpoint to resume from.
    pub fn last(&self) -> PathBuf {
        self.checkpoints().join("last")
    }

    /// One row an evaluation.
    pub fn results_csv(&self) -> PathBuf {
        self.path.join("results.csv")
    }

    /// The curves.
    pub fn results_png(&self) -> PathBuf {
        self.path.join("results.png")
    }

    /// Before and after.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The recipe of the run.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn recipe(&self) -> Result<Recipe, RunsError> {
        let path = self.recipe_file();
        let text = fs::read_to_string(&path).at("read", &path)?;
        Ok(Recipe::from_sources::<&str>(Some(&text), &[])?.0)
    }

    /// Writes the recipe of the run, without its name.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<(), RunsError> {
        let path = self.recipe_file();
        let nameless = Recipe { name: String::new(), ..recipe.clone() };
        replace_file(&path, nameless.to_toml().as_bytes()).at("write", &path)
    }
}

/// Sorts `lora-2` before `lora-10`.
fn natural_key(name: &str) -> (String, u64, String) {
    let digits = name.len() - name.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(0), name.to_owned())
}
