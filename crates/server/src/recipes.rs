//! Recipes between their three forms: fields, a file, a command. All of them are read by the
//! catalogue; no shell ever sees a command.

use std::collections::BTreeMap;

use apertis_domain::Recipe;
use apertis_domain::recipe::{Field, Group, Kind, Level, Zero, fields};
use apertis_protocol::recipe::{Catalogue, CatalogueField, FieldChoice, FieldProblem, RecipeDraft, RecipeForm};
use apertis_protocol::run::FieldValue;

use crate::failure::{Answer, Failure};

/// Longest command or file.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// The recipe of a draft.
pub(crate) fn read(draft: &RecipeDraft) -> Answer<Recipe> {
    let forms = [draft.fields.is_some(), draft.toml.is_some(), draft.command.is_some()];
    if forms.iter().filter(|is_given| **is_given).count() != 1 {
        return Err(Failure::bad("A recipe is given in exactly one form: fields, toml or command."));
    }
    let mut recipe = Recipe::default();
    if let Some(fields) = &draft.fields {
        for (name, value) in fields {
            recipe.apply_argument(&format!("{name}={value}"))?;
        }
    }
    if let Some(text) = &draft.toml {
        check_length(text)?;
        recipe.apply_toml(text)?;
    }
    if let Some(command) = &draft.command {
        check_length(command)?;
        for argument in arguments_of(command)? {
            recipe.apply_argument(&argument)?;
        }
    }
    Ok(recipe)
}

/// A recipe in all of its forms, with what keeps it from being started.
pub(crate) fn form(recipe: &Recipe) -> RecipeForm {
    let changed = changed(recipe);
    RecipeForm {
        fields: recipe.values().map(|(field, _)| (field.name.to_owned(), text_of(field, recipe))).collect(),
        changed: changed.into_iter().map(|field| field.name).collect(),
        toml: recipe.to_toml(),
        command: recipe.to_command(),
        problems: recipe.check().err().map(|error| problem(&error.into())).into_iter().collect(),
    }
}

/// A failure that names a field, as a form shows it.
pub(crate) fn problem(failure: &Failure) -> FieldProblem {
    FieldProblem {
        field: failure.details.get("field").and_then(|field| field.as_str()).unwrap_or_default().to_owned(),
        message: failure.message.clone(),
        hint: failure.hint.clone().unwrap_or_default(),
    }
}

/// The fields that are not the default, with their values.
pub(crate) fn changed(recipe: &Recipe) -> Vec<FieldValue> {
    let different = recipe.difference(&Recipe::default());
    different.into_iter().map(|(field, ..)| FieldValue { name: field.name.to_owned(), value: text_of(field, recipe) }).collect()
}

/// A field's value, as a form or a command line has it; reading it gives the same value.
pub(crate) fn text_of(field: &'static Field, recipe: &Recipe) -> String {
    match field.get(recipe) {
        apertis_domain::recipe::Value::List(list) if list.is_empty() => String::new(),
        apertis_domain::recipe::Value::List(list) => serde_json::to_string(&list).expect("texts are JSON"),
        other => other.to_string(),
    }
}

/// The catalogue as forms need it.
pub(crate) fn catalogue() -> Catalogue {
    Catalogue {
        groups: Group::ALL.iter().map(|group| group.title().to_owned()).collect(),
        fields: fields().iter().map(catalogue_field).collect(),
        glossary: crate::glossary::WORDS
            .iter()
            .map(|(word, meaning)| ((*word).to_owned(), (*meaning).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn catalogue_field(field: &'static Field) -> CatalogueField {
    let (kind, range, zero) = match field.kind {
        Kind::Text => ("text", None, Zero::Plain),
        Kind::Path => ("path", None, Zero::Plain),
        Kind::Switch => ("switch", None, Zero::Plain),
        // What has no upper end has none on the wire either.
        Kind::Integer { min, max, zero } => ("integer", Some((min as f64, (max != i64::MAX).then_some(max as f64))), zero),
        Kind::Number { min, max, zero } => ("number", Some((min, (max != f64::MAX).then_some(max))), zero),
        Kind::Choice(_) => ("choice", None, Zero::Plain),
        Kind::List(_) => ("list", None, Zero::Plain),
    };
    let choices = match field.kind {
        Kind::Choice(choices) => choices.iter(),
        _ => [].iter(),
    };
    let is_wide = range.is_some_and(|(min, max)| max.is_none_or(|max| max >= 1000.0 * min.max(1.0)));
    CatalogueField {
        name: field.name.to_owned(),
        label: label(field.name),
        meaning: field.meaning.to_owned(),
        unit: field.unit.to_owned(),
        group: field.group.title().to_owned(),
        is_simple: field.level == Level::Simple,
        kind: kind.to_owned(),
        min: range.map(|(min, _)| min),
        max: range.and_then(|(_, max)| max),
        is_logarithmic: is_wide || LOGARITHMIC.contains(&field.name),
        zero: match zero {
            Zero::Plain => String::new(),
            Zero::Off => "off".to_owned(),
            Zero::Auto(rule) | Zero::AutoWord(rule) => rule.to_owned(),
        },
        choices: choices.map(|choice| FieldChoice { name: choice.name.to_owned(), meaning: choice.meaning.to_owned() }).collect(),
        default: text_of(field, &Recipe::default()),
        methods: methods(field).iter().map(|method| (*method).to_owned()).collect(),
    }
}

/// Fields that move by factors although their range is short.
const LOGARITHMIC: [&str; 4] = ["learning_rate", "adam_epsilon", "weight_decay", "lora.rank"];

/// Methods that read a field; empty where all do. The catalogue's sentences say the same.
fn methods(field: &Field) -> &'static [&'static str] {
    match (field.group, field.name) {
        (_, "freeze_layers") => &["freeze"],
        (_, "model") => &["continue", "full", "lora", "freeze"],
        (Group::Adapter, _) => &["lora"],
        (Group::Shape, _) => &["scratch"],
        _ => &[],
    }
}

/// `lora.rank` as a form calls it: `Rank`.
fn label(name: &str) -> String {
    let words = name.rsplit('.').next().unwrap_or(name).replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    match words.as_str() {
        "rslora" => "Rank-stabilised".to_owned(),
        "dora" => "DoRA".to_owned(),
        _ => first + letters.as_str(),
    }
}

fn check_length(text: &str) -> Answer<()> {
    match text.len() > TEXT_BYTES_MAX {
        true => Err(Failure::bad("The recipe is longer than any recipe is.")),
        false => Ok(()),
    }
}

/// The `key=value` words of `apertis train key=value …`. Quotes hold words together as in a shell;
/// nothing else of a shell means anything.
fn arguments_of(command: &str) -> Answer<Vec<String>> {
    let mut words = split_words(command)?.into_iter().peekable();
    for expected in ["apertis", "train"] {
        words.next_if(|word| word == expected);
    }
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--name" => {
                let name = words.next().ok_or_else(|| Failure::bad("The command ends after --name."))?;
                arguments.push(format!("name={name}"));
            }
            flag if flag.starts_with('-') => {
                return Err(Failure::bad(format!("The command box takes settings as key=value, not {flag}.")));
            }
            word if word.starts_with("recipe=") || word.starts_with("resume=") => {
                return Err(Failure::bad("The command box takes a new recipe: no recipe= and no resume=."));
            }
            word => arguments.push(word.to_owned()),
        }
    }
    Ok(arguments)
}

fn split_words(text: &str) -> Answer<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut is_word, mut quote) = (String::new(), false, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some('\''), letter) => word.push(letter),
            (_, '\\') => {
                // The end of a line that goes on in the next one.
                if let Some(next) = letters.next()
                    && next != '\n'
                {
                    word.push(next);
                    is_word = true;
                }
            }
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                is_word = true;
            }
            (None, letter) if letter.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                    is_word = false;
                }
            }
            (None, letter) => {
                word.push(letter);
                is_word = true;
            }
        }
    }
    if quote.is_some() {
        return Err(Failure::bad("A quote in the command is not closed."));
    }
    if is_word {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft_of_command(command: &str) -> RecipeDraft {
        RecipeDraft { command: Some(command.to_owned()), ..RecipeDraft::default() }
    }

    #[test]
    fn the_three_forms_are_the_same_recipe() -> Result<(), Failure> {
        let command = "apertis train model=./base 'data=my chats.jsonl' lora.rank=8 \\\n  learning_rate=1e-4 sample_prompts='[\"a, b\",\"it'\\''s\"]'";
        let recipe = read(&draft_of_command(command))?;
        assert_eq!((recipe.data.as_str(), recipe.lora.rank), ("my chats.jsonl", 8));
        assert_eq!(recipe.sample_prompts, ["a, b", "it's"]);
        let form = form(&recipe);
        assert_eq!(form.changed, ["model", "data", "learning_rate", "sample_prompts", "lora.rank"]);
        assert!(form.problems.is_empty());
        let drafts = [
            draft_of_command(&form.command),
            RecipeDraft { toml: Some(form.toml), ..RecipeDraft::default() },
            RecipeDraft { fields: Some(form.fields), ..RecipeDraft::default() },
        ];
        for draft in drafts {
            assert_eq!(read(&draft)?, recipe, "{draft:?}");
        }
        Ok(())
    }

    #[test]
    fn the_command_box_is_no_shell() {
        let check = |command: &str, expected: &str| {
            let message = read(&draft_of_command(command)).expect_err("it is refused").message;
            assert!(message.contains(expected), "{command}: {message}");
        };
        check("apertis train; rm -rf /", "-rf");
        check("apertis train data=x && curl evil", "expected key=value");
        check("apertis train --home /etc data=x", "--home");
        check("apertis train recipe=/etc/passwd", "recipe=");
        check("apertis train 'data=x", "not closed");
        check("apertis train lora.rnak=3", "no field");
        let recipe = read(&draft_of_command("apertis train data=$(id)`id`")).expect("only a strange file name");
        assert_eq!(recipe.data, "$(id)`id`");
    }

    #[test]
    fn every_field_of_the_catalogue_is_in_the_form() {
        let catalogue = catalogue();
        assert_eq!(catalogue.fields.len(), fields().len());
        for field in &catalogue.fields {
            assert!(catalogue.groups.contains(&field.group) && !field.label.is_empty(), "{}", field.name);
        }
    }
}
