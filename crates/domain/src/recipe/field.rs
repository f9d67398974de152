//! One field of the catalogue: what it takes, and how a text or value becomes one it accepts.

use super::{Recipe, RecipeError, Value, choices::Choice, fields};

/// Where a field stands in forms and on the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// What is trained, on what.
    Basics,
    /// Reading and preparing rows.
    Data,
    /// Steps, batches and stopping.
    Training,
    /// Learning rate, optimizer and regularisation.
    Optimization,
    /// Adapters.
    Adapter,
    /// Held-out rows, samples and checkpoints.
    Evaluation,
    /// The shape of a new model.
    Shape,
    /// Threads, memory and number formats.
    Machine,
}

impl Group {
    /// All groups in the order of forms and pages.
    pub const ALL: [Group; 8] =
        [Group::Basics, Group::Data, Group::Training, Group::Optimization, Group::Adapter, Group::Evaluation, Group::Shape, Group::Machine];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Basics => "Basics",
            Group::Data => "Data",
            Group::Training => "Training",
            Group::Optimization => "Optimization",
            Group::Adapter => "Adapter",
            Group::Evaluation => "Evaluation and checkpoints",
            Group::Shape => "Shape of a new model",
            Group::Machine => "Machine",
        }
    }
}

/// Who is shown a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Everybody.
    Simple,
    /// Those who open the advanced part.
    Expert,
}

/// What 0 says in a field where it is not just a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// It is just a number.
    Plain,
    /// The value is chosen, by this rule; the word `auto` may be written instead.
    Auto(&'static str),
    /// It is just a number, but the word `auto` has the value chosen, by this rule.
    AutoWord(&'static str),
    /// It switches something off; the word `off` may be written instead.
    Off,
}

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or folder.
    Path,
    /// `true` or `false`.
    Switch,
    /// A whole number from `min` to `max`.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// What 0 says.
        zero: Zero,
    },
    /// A number from `min` to `max`.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// What 0 says.
        zero: Zero,
    },
    /// One of some words.
    Choice(&'static [Choice]),
    /// Several texts, separated by this character on the command line.
    List(char),
}

/// One field of a recipe.
pub struct Field {
    /// Full name, with a dot where it stands in a table: `lora.rank`.
    pub name: &'static str,
    /// What it does, in one or two sentences.
    pub meaning: &'static str,
    /// Unit of the number, or empty.
    pub unit: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Where it stands.
    pub group: Group,
    /// Who sees it.
    pub level: Level,
    pub(super) get: fn(&Recipe) -> Value,
    pub(super) set: fn(&mut Recipe, Value) -> bool,
}

/// The field of that full name.
pub fn field(name: &str) -> Option<&'static Field> {
    fields().iter().find(|field| field.name == name)
}

/// The field whose name is closest to `name`, if one is close enough to be what was meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    // Somebody who writes `rank` means `lora.rank`: the last part counts as much as the whole.
    let names = fields().iter().flat_map(|field| {
        let last = field.name.rsplit('.').next().unwrap_or(field.name);
        [(field.name, field.name), (last, field.name)]
    });
    closest(&name, names)
}

/// The candidate whose first part is closest to `name`; a third of its letters may differ.
fn closest(name: &str, candidates: impl Iterator<Item = (&'static str, &'static str)>) -> Option<&'static str> {
    candidates
        .map(|(written, full)| (strsim::damerau_levenshtein(name, written), written, full))
        .filter(|(distance, written, _)| *distance <= written.len().max(name.len()).div_ceil(3))
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, full)| full)
}

impl Field {
    /// The value that the catalogue gives when nobody says anything.
    pub fn default_value(&self) -> Value {
        (self.get)(&Recipe::default())
    }

    /// This field of a recipe.
    pub fn get(&self, recipe: &Recipe) -> Value {
        (self.get)(recipe)
    }

    /// Reads a text of the command line.
    ///
    /// # Errors
    /// The text is not of this field's kind or out of its range.
    pub fn parse(&'static self, text: &str) -> Result<Value, RecipeError> {
        let text = text.trim();
        let value = match self.kind {
            Kind::Text | Kind::Path | Kind::Choice(_) => Value::Text(text.to_owned()),
            Kind::Switch => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Value::Switch(true),
                "false" | "no" | "off" | "0" => Value::Switch(false),
                _ => return Err(self.wrong_type(&format!("`{text}`"))),
            },
            Kind::Integer { .. } | Kind::Number { .. } => self.parse_number(text)?,
            Kind::List(separator) => self.parse_list(text, separator)?,
        };
        self.accept(value)
    }

    fn parse_number(&'static self, text: &str) -> Result<Value, RecipeError> {
        let digits = text.replace('_', "");
        if let Ok(integer) = digits.parse::<i64>() {
            return Ok(Value::Integer(integer));
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Number(number)),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }

    fn parse_list(&'static self, text: &str, separator: char) -> Result<Value, RecipeError> {
        if text.starts_with('[') {
            return serde_json::from_str(text).map(Value::List).map_err(|_| self.wrong_type(&format!("`{text}`")));
        }
        let parts = text.split(separator).map(str::trim);
        Ok(Value::List(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()))
    }

    /// Checks type, range and choice, and brings the value to the field's own type.
    ///
    /// # Errors
    /// Says what was expected and what was found.
    pub fn accept(&'static self, value: Value) -> Result<Value, RecipeError> {
        match (self.kind, value) {
            (Kind::Text | Kind::Path, Value::Text(text)) => Ok(Value::Text(text)),
            (Kind::Switch, Value::Switch(switch)) => Ok(Value::Switch(switch)),
            (Kind::List(_), Value::List(list)) => Ok(Value::List(list)),
            (Kind::List(separator), Value::Text(text)) => self.parse_list(&text, separator),
            (Kind::Choice(choices), Value::Text(text)) => self.accept_choice(choices, text),
            (Kind::Integer { zero, .. }, Value::Text(text)) if matches!(zero, Zero::AutoWord(_)) && text.eq_ignore_ascii_case("auto") => {
                Ok(Value::Text("auto".to_owned()))
            }
            (Kind::Integer { zero, .. }, Value::Text(text)) if is_zero_word(zero, &text) => Ok(Value::Integer(0)),
            (Kind::Number { zero, .. }, Value::Text(text)) if is_zero_word(zero, &text) => Ok(Value::Number(0.0)),
            (Kind::Integer { min, max, .. }, value) => {
                let integer = match value {
                    Value::Integer(integer) => integer,
                    // 1e4 is a whole number that happens to be written with an exponent.
                    Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => number as i64,
                    other => return Err(self.wrong_type(&quoted(&other))),
                };
                if (min..=max).contains(&integer) { Ok(Value::Integer(integer)) } else { Err(self.out_of_range(&integer.to_string())) }
            }
            (Kind::Number { min, max, .. }, value) => {
                let number = match value {
                    Value::Integer(integer) => integer as f64,
                    Value::Number(number) if number.is_finite() => number,
                    other => return Err(self.wrong_type(&quoted(&other))),
                };
                if number >= min && number <= max { Ok(Value::Number(number)) } else { Err(self.out_of_range(&format!("{number:?}"))) }
            }
            (_, other) => Err(self.wrong_type(&quoted(&other))),
        }
    }

    fn accept_choice(&'static self, choices: &'static [Choice], text: String) -> Result<Value, RecipeError> {
        if choices.iter().any(|choice| choice.name == text) {
            return Ok(Value::Text(text));
        }
        let lower = text.to_lowercase();
        Err(RecipeError::UnknownChoice {
            field: self.name,
            choices: names_of(choices),
            nearest: closest(&lower, choices.iter().map(|choice| (choice.name, choice.name))),
            found: text,
        })
    }

    /// What the field takes, in words: `a whole number from 1 to 512`.
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Text => "text".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Switch => "true or false".to_owned(),
            Kind::Integer { zero, .. } => {
                format!("a whole number {}{}", self.range(), zero_words(zero))
            }
            Kind::Number { zero, .. } => format!("a number {}{}", self.range(), zero_words(zero)),
            Kind::Choice(choices) => format!("one of {}", names_of(choices)),
            Kind::List(_) => "a list of texts".to_owned(),
        }
    }

    /// The range in words, empty where there is none.
    pub fn range(&self) -> String {
        match self.kind {
            Kind::Integer { min, max, .. } if max == i64::MAX => format!("of at least {min}"),
            Kind::Integer { min, max, .. } => format!("from {min} to {max}"),
            Kind::Number { min, max, .. } if max == f64::MAX => format!("of at least {min:?}"),
            Kind::Number { min, max, .. } => format!("from {min:?} to {max:?}"),
            _ => String::new(),
        }
    }

    fn wrong_type(&'static self, found: &str) -> RecipeError {
        RecipeError::WrongType { field: self.name, expected: self.expected(), found: found.to_owned() }
    }

    fn out_of_range(&'static self, found: &str) -> RecipeError {
        RecipeError::OutOfRange { field: self.name, range: self.range().replacen("of ", "", 1), found: found.to_owned() }
    }
}

fn is_zero_word(zero: Zero, text: &str) -> bool {
    match zero {
        Zero::Plain | Zero::AutoWord(_) => false,
        Zero::Auto(_) => text.eq_ignore_ascii_case("auto"),
        Zero::Off => text.eq_ignore_ascii_case("off"),
    }
}

fn zero_words(zero: Zero) -> &'static str {
    match zero {
        Zero::Plain => "",
        Zero::Auto(_) | Zero::AutoWord(_) => ", or auto",
        Zero::Off => ", or off",
    }
}

fn names_of(choices: &[Choice]) -> String {
    choices.iter().map(|choice| choice.name).collect::<Vec<_>>().join(", ")
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("`{text}`"),
        other => format!("{} ({other})", other.type_name()),
    }
}
