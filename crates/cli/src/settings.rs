//! From raw arguments, files and the environment to checked settings.

use std::path::{Path, PathBuf};

use apertis_domain::Recipe;
use apertis_domain::recipe::Given;
use apertis_runs::Home;
use apertis_server::Database;
use apertis_trainer::Surroundings;

use crate::arguments::DatabaseArguments;
use crate::failure::Failure;

/// The home: `--home`, else `APERTIS_HOME`, else the platform's data folder.
pub(crate) fn home(given: Option<&Path>) -> Result<Home, Failure> {
    let root = match given {
        Some(root) => root.to_path_buf(),
        None => apertis_runs::default_root(|name| std::env::var_os(name))
            .ok_or_else(|| Failure::new("home: neither APERTIS_HOME nor HOME is set").hint("Say where with --home FOLDER."))?,
    };
    Ok(Home::open(&root)?)
}

/// The database of the studio: `--database-url`, else `APERTIS_DATABASE_URL`, else the file in the
/// home. An address with a password is better kept in the environment than on a command line.
pub(crate) fn database_url(given: &DatabaseArguments) -> Option<String> {
    given.database_url.clone().or_else(|| std::env::var("APERTIS_DATABASE_URL").ok().filter(|url| !url.is_empty()))
}

/// Opens the database of the studio.
pub(crate) fn database(given: &DatabaseArguments, home: &Home) -> Result<Database, Failure> {
    Ok(Database::open(home, database_url(given).as_deref())?)
}

/// A recipe from `recipe=file.toml` and `key=value` arguments; the command line wins.
pub(crate) fn recipe(assignments: &[String]) -> Result<(Recipe, Given), Failure> {
    let mut file: Option<String> = None;
    let mut rest = Vec::new();
    for assignment in assignments {
        match assignment.strip_prefix("recipe=") {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::usage(format!("recipe: {path}: {error}"))
                        .hint("recipe= names a text file of settings; the recipes folder has two")
                })?;
                file = Some(text);
            }
            None => rest.push(assignment.as_str()),
        }
    }
    let (mut recipe, given) = Recipe::from_sources(file.as_deref(), &rest)?;
    make_absolute(&mut recipe)?;
    Ok((recipe, given))
}

/// Paths of a recipe are written down absolute: a worker has another folder.
fn make_absolute(recipe: &mut Recipe) -> Result<(), Failure> {
    for path in [&mut recipe.data, &mut recipe.eval_data, &mut recipe.adapter] {
        if !path.is_empty() {
            *path = std::path::absolute(&*path).map_err(|error| Failure::usage(format!("{path}: {error}")))?.display().to_string();
        }
    }
    if !recipe.chat_template.is_empty() && recipe.chat_template != "chatml" {
        let path = std::path::absolute(&recipe.chat_template).map_err(|error| Failure::usage(format!("chat_template: {error}")))?;
        recipe.chat_template = path.display().to_string();
    }
    Ok(())
}

/// What a run has around it.
pub(crate) fn surroundings(recipe: &Recipe, home: &Home) -> Result<Surroundings, Failure> {
    let resolved = if recipe.model.is_empty() { None } else { Some(resolve(home, &recipe.model)?) };
    let adapter = if recipe.adapter.is_empty() {
        resolved.as_ref().and_then(|model| model.adapter.clone())
    } else {
        Some(PathBuf::from(&recipe.adapter))
    };
    Ok(Surroundings {
        model_folder: resolved.map(|model| model.folder),
        adapter_folder: adapter,
        cache_folder: home.cache(),
        cores: cores(),
        memory_limit_bytes: memory_limit_bytes(),
    })
}

/// The model that a person typed.
pub(crate) fn resolve(home: &Home, text: &str) -> Result<apertis_library::ResolvedModel, Failure> {
    let places = apertis_library::Places { models: &home.models(), runs: &home.runs() };
    Ok(apertis_library::resolve(places, text)?)
}

/// Cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory this process may use: what is free now, at most the limit of its control group.
pub(crate) fn memory_limit_bytes() -> u64 {
    // Without a number the plan cannot refuse anything.
    let Ok(mut system) = sysinfo::System::new() else { return u64::MAX };
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(limit)
}
