//! The catalogue as the reference page `docs/reference/recipe.md`.

use super::{Field, Group, Kind, Level, Value, Zero, fields};

/// The page, in Markdown.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Recipe fields\n\n\
         Generated from the catalogue in `crates/domain/src/recipe/catalogue.rs`.\n\n\
         Write fields as `key=value` after `apertis train`, or in a TOML file given as \
         `recipe=FILE`. Defaults come first, then the file, then the command line; the later one \
         wins. Fields with a dot stand in a table of the file (`[lora]`, `rank = 16`) or are \
         written with the dot (`lora.rank = 16`). Since `model` is a field too, a file that has \
         both quotes the dotted ones: `\"model.layers\" = 6`.\n\n\
         Fields marked with · are for experts.\n",
    );
    for group in Group::ALL {
        page += &format!("\n## {}\n\n", group.title());
        page += "| field | takes | default | meaning |\n|---|---|---|---|\n";
        for field in fields().iter().filter(|field| field.group == group) {
            page += &row(field);
        }
    }
    page += "\n## Words\n";
    for field in fields() {
        if let Kind::Choice(choices) = field.kind {
            page += &format!("\n`{}`\n\n", field.name);
            for choice in choices {
                page += &format!("- `{}`: {}\n", choice.name, choice.meaning);
            }
        }
    }
    page
}

fn row(field: &Field) -> String {
    let mark = match field.level {
        Level::Simple => "",
        Level::Expert => " ·",
    };
    let unit = match field.unit {
        "" => String::new(),
        unit => format!(" ({unit})"),
    };
    format!(
        "| `{}`{mark} | {}{unit} | {} | {}{} |\n",
        field.name,
        takes(field),
        default(field),
        field.meaning.replace('|', "\\|"),
        zero(field),
    )
}

fn takes(field: &Field) -> String {
    match field.kind {
        Kind::Choice(choices) => {
            let names: Vec<_> = choices.iter().map(|choice| format!("`{}`", choice.name)).collect();
            names.join(", ")
        }
        Kind::List(',') => "names, separated by commas".to_owned(),
        _ => field.expected(),
    }
}

fn default(field: &Field) -> String {
    match (field.default_value(), zero_of(field)) {
        (Value::Integer(0), Zero::Auto(_)) => "auto".to_owned(),
        (Value::Number(0.0), Zero::Auto(_)) => "auto".to_owned(),
        (Value::Integer(0), Zero::Off) => "off".to_owned(),
        (Value::Number(0.0), Zero::Off) => "off".to_owned(),
        (Value::Text(text), _) if text.is_empty() => "none".to_owned(),
        (Value::List(list), _) if list.is_empty() => "none".to_owned(),
        (Value::Number(number), _) => format!("{number}"),
        (value, _) => format!("{value}"),
    }
}

fn zero(field: &Field) -> String {
    match zero_of(field) {
        Zero::Auto(rule) => format!(" Auto (0): {rule}."),
        Zero::AutoWord(rule) => format!(" Auto: {rule}."),
        Zero::Off => " 0 is off.".to_owned(),
        Zero::Plain => String::new(),
    }
}

fn zero_of(field: &Field) -> Zero {
    match field.kind {
        Kind::Integer { zero, .. } | Kind::Number { zero, .. } => zero,
        _ => Zero::Plain,
    }
}
