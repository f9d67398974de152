//! What the index is told of a run that is not in its log: from its card, its recipe, and where its
//! folder lies.

use std::collections::HashMap;
use std::path::{Component, Path};

use apertis_domain::Recipe;
use apertis_storage::index::RunFacts;

use crate::{Home, QueuePlace, RunCard, RunFolder, RunsError, trash};

/// The folders of every run of a home, those in the trash last.
///
/// # Errors
/// The home cannot be listed.
pub fn folders(home: &Home) -> Result<Vec<RunFolder>, RunsError> {
    let mut folders = RunFolder::all(home)?;
    folders.extend(trash::list(home)?.iter().filter_map(|run| RunFolder::open(&run.path).ok()));
    Ok(folders)
}

/// The card of a run. One that lies in the trash keeps its card as it was.
///
/// # Errors
/// A card has to be made, and cannot be written.
pub fn card_of(home: &Home, folder: &RunFolder) -> Result<RunCard, RunsError> {
    match is_trashed(home, folder) {
        true => Ok(RunCard::look(folder).unwrap_or_else(|| RunCard { id: folder.name(), folder: folder.name(), ..RunCard::default() })),
        false => RunCard::open(home, folder),
    }
}

/// What belongs to a run but is not in its log.
pub fn facts_of(home: &Home, folder: &RunFolder, card: &RunCard, recipe: &Recipe, queue_place: Option<u64>) -> RunFacts {
    let inside = folder.path().strip_prefix(home.root()).unwrap_or(folder.path());
    RunFacts {
        id: card.id.clone(),
        folder: inside.display().to_string(),
        name: card.title().to_owned(),
        tags: card.tags.clone(),
        notes: card.notes.clone(),
        method: recipe.method.name().to_owned(),
        model: match recipe.model.is_empty() {
            true => recipe.shape.family.clone(),
            false => model_name(home, &recipe.model),
        },
        data: data_name(home, &recipe.data),
        created_at: card.created_at.clone(),
        queue_place,
        sweep: card.sweep.as_ref().map(|place| place.id.clone()),
        is_trash: is_trashed(home, folder),
    }
}

/// Places from 1 in the order in which waiting runs begin, by id.
pub fn queue_places<'a>(waiting: impl Iterator<Item = (&'a str, &'a QueuePlace)>) -> HashMap<String, u64> {
    let mut waiting: Vec<(&str, &QueuePlace)> = waiting.collect();
    waiting.sort_by(|a, b| a.1.key().cmp(&b.1.key()).then_with(|| a.0.cmp(b.0)));
    waiting.into_iter().map(|(id, _)| id.to_owned()).zip(1..).collect()
}

/// The folders' names of the runs whose checkpoints a recipe begins from.
pub fn runs_below(home: &Home, recipe: &Recipe) -> Vec<String> {
    let of = |text: &String| run_of_path(home, text).or_else(|| run_of_name(home, text));
    [&recipe.model, &recipe.adapter].into_iter().filter(|text| !text.is_empty()).filter_map(of).collect()
}

/// `lora-1` of `<home>/runs/lora-1/checkpoints/best`.
fn run_of_path(home: &Home, text: &str) -> Option<String> {
    let inside = Path::new(text).strip_prefix(home.runs()).ok()?;
    first_name(inside)
}

/// `lora-1` of `lora-1:best`, where there is such a run.
fn run_of_name(home: &Home, text: &str) -> Option<String> {
    let name = text.split(':').next().unwrap_or(text);
    let is_plain = !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && home.runs().join(name).join("recipe.toml").is_file()).then(|| name.to_owned())
}

fn first_name(path: &Path) -> Option<String> {
    match path.components().next() {
        Some(Component::Normal(name)) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    }
}

/// What a list calls a model: the last part of a path; of a run's checkpoint the run.
pub fn model_name(home: &Home, text: &str) -> String {
    run_of_path(home, text).unwrap_or_else(|| short(text))
}

/// What a list calls data: the last part of a path; of a data set of the home its name.
fn data_name(home: &Home, text: &str) -> String {
    Path::new(text).strip_prefix(home.data()).ok().and_then(first_name).unwrap_or_else(|| short(text))
}

fn short(text: &str) -> String {
    let end = text.trim_end_matches(['/', '\\']);
    end.rsplit(['/', '\\']).next().unwrap_or(end).to_owned()
}

fn is_trashed(home: &Home, folder: &RunFolder) -> bool {
    folder.path().starts_with(home.trash())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_people_know() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::open(folder.path()).expect("a new home");
        let recipe = |model: &str, data: &str| Recipe { model: model.to_owned(), data: data.to_owned(), ..Recipe::default() };
        let base = RunFolder::create(&home, &Recipe { name: "first".to_owned(), ..Recipe::default() }).expect("a run");
        let check = |model: String, data: &str, expected: (&str, &str, &[&str])| {
            let recipe = recipe(&model, data);
            let facts = facts_of(&home, &base, &RunCard::default(), &recipe, Some(3));
            assert_eq!((facts.model.as_str(), facts.data.as_str()), (expected.0, expected.1));
            assert_eq!(runs_below(&home, &recipe), expected.2);
            assert_eq!((facts.folder.as_str(), facts.queue_place, facts.is_trash), ("runs/first", Some(3), false));
        };
        let in_home = |path: &str| home.root().join(path).display().to_string();
        check("./models/base/".to_owned(), "a/rows.jsonl", ("base", "rows.jsonl", &[]));
        check(in_home("runs/first/checkpoints/step-000100"), &in_home("data/chats/v1/rows.jsonl"), ("first", "chats", &["first"]));
        check("first:best".to_owned(), "", ("first:best", "", &["first"]));
        check("other:best".to_owned(), "", ("other:best", "", &[]));
    }
}
