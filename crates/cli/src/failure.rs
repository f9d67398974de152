//! One sentence, a hint, an exit code: how every error leaves the program.

use std::fmt::Display;

/// An error as a person sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) message: String,
    /// What to try next, where something better than [`Failure::advice`] is known.
    pub(crate) hint: Option<String>,
    /// 2 for what was typed wrong, 1 for everything else.
    pub(crate) exit_code: u8,
    /// The code of the failure catalogue.
    pub(crate) code: &'static str,
}

impl Failure {
    /// Something that could not be done.
    pub(crate) fn new(message: impl Display) -> Failure {
        Failure { message: message.to_string(), hint: None, exit_code: 1, code: "failed" }
    }

    /// Something that was typed wrong.
    pub(crate) fn usage(message: impl Display) -> Failure {
        Failure { exit_code: 2, code: "usage", ..Failure::new(message) }
    }

    /// What to try next: every failure says something.
    pub(crate) fn advice(&self) -> &str {
        self.hint.as_deref().unwrap_or(match (self.code, self.exit_code) {
            ("recipe_invalid", _) => "docs/reference/recipe.md lists every field with its kind and range; in files, texts stand in quotes",
            (_, 2) => "`apertis help` lists the verbs, `apertis VERB --help` what each takes",
            _ => "look at what the message names; `apertis list` and `apertis runs` show what is in the home",
        })
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }
}

impl From<apertis_domain::RecipeError> for Failure {
    fn from(error: apertis_domain::RecipeError) -> Failure {
        let hint = error.hint();
        let failure = Failure { code: "recipe_invalid", ..Failure::usage(&error) };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<apertis_runs::RunsError> for Failure {
    fn from(error: apertis_runs::RunsError) -> Failure {
        let failure = Failure::new(&error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<apertis_server::StorageError> for Failure {
    fn from(error: apertis_server::StorageError) -> Failure {
        let failure = Failure { code: "database", ..Failure::new(&error) };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure.hint("check the home's owner and permissions; `apertis reindex` fills a damaged index again"),
        }
    }
}

impl From<apertis_trainer::TrainError> for Failure {
    fn from(error: apertis_trainer::TrainError) -> Failure {
        let code = error.code();
        Failure { code: code.code(), ..Failure::new(&error) }.hint(code.hint())
    }
}

impl From<apertis_library::LibraryError> for Failure {
    fn from(error: apertis_library::LibraryError) -> Failure {
        let failure = Failure { code: "model_missing", ..Failure::new(&error) };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

macro_rules! through_trainer {
    ($($error:ty),+ $(,)?) => { $(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                apertis_trainer::TrainError::from(error).into()
            }
        }
    )+ };
}

impl From<apertis_model::ModelError> for Failure {
    fn from(error: apertis_model::ModelError) -> Failure {
        match error {
            // Not the model is wrong but what it was asked.
            apertis_model::ModelError::Input { .. } => {
                Failure::new(&error).hint("give ids below the vocabulary's size, and no more of them than the context holds")
            }
            error => apertis_trainer::TrainError::from(error).into(),
        }
    }
}

through_trainer!(apertis_dataset::DatasetError, apertis_tokenizer::TokenizerError, apertis_kernels::BackendError);
