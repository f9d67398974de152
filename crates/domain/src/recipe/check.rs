//! Whether the fields of a recipe fit each other, and the rules behind some automatic values.

use super::{Method, Recipe, RecipeError, Value};

impl Recipe {
    /// Checks what can be known without looking at model, data or machine.
    ///
    /// # Errors
    /// A missing field, or two that contradict each other.
    pub fn check(&self) -> Result<(), RecipeError> {
        let method = self.method.name();
        if self.data.is_empty() {
            return Err(RecipeError::Missing { field: "data", method });
        }
        if self.method == Method::Scratch {
            if !self.model.is_empty() {
                return Err(conflict(
                    "method=scratch makes a new model, but model names one",
                    "leave model out, or choose method=continue to train it on",
                ));
            }
            self.check_shape()?;
        } else if self.model.is_empty() {
            return Err(RecipeError::Missing { field: "model", method });
        }
        if !self.adapter.is_empty() && self.method != Method::Lora {
            return Err(conflict("an adapter is only trained by method=lora", "leave adapter out, or merge it first: apertis merge"));
        }
        if !self.adapter.is_empty() && !self.lora.modules_to_save.is_empty() {
            return Err(conflict(
                "lora.modules_to_save belongs to a new adapter, but adapter names one to go on from",
                "leave it out: what that adapter holds is trained on",
            ));
        }
        if self.epochs == 0.0 && self.max_steps == 0 && self.time_limit_minutes == 0.0 {
            return Err(conflict(
                "epochs, max_steps and time_limit_minutes are all 0: nothing would be trained",
                "set one of them, such as epochs=3",
            ));
        }
        Ok(())
    }

    fn check_shape(&self) -> Result<(), RecipeError> {
        let shape = &self.shape;
        if !shape.width.is_multiple_of(shape.heads) {
            return Err(conflict(
                &format!("model.width {} is not a multiple of model.heads {}", shape.width, shape.heads),
                &format!("try model.width={}", shape.width.div_ceil(shape.heads) * shape.heads),
            ));
        }
        if shape.kv_heads != 0 && !shape.heads.is_multiple_of(shape.kv_heads) {
            return Err(conflict(
                &format!("model.heads {} is not a multiple of model.kv_heads {}", shape.heads, shape.kv_heads),
                "every key and value head serves the same number of heads",
            ));
        }
        if self.max_length > shape.context {
            return Err(conflict(
                &format!("max_length {} is longer than model.context {}", self.max_length, shape.context),
                &format!("set model.context={} or a smaller max_length", self.max_length),
            ));
        }
        Ok(())
    }

    /// The learning rate of this recipe for a model of that many parameters: what was set, else
    /// the method's own.
    ///
    /// # Source
    /// Scratch: `0.003239 − 0.0001395 ln N`, Kaplan et al. 2020, *Scaling laws for neural
    /// language models*, equation D.1; held at 1e-4 from below, where the fit ends.
    pub fn learning_rate_for(&self, parameter_count: u64) -> f64 {
        if self.learning_rate > 0.0 {
            return self.learning_rate;
        }
        match self.method {
            Method::Lora => 2e-4,
            Method::Full | Method::Continue | Method::Freeze => 2e-5,
            Method::Scratch => (0.003239 - 0.0001395 * (parameter_count.max(1) as f64).ln()).clamp(1e-4, 2e-3),
        }
    }

    /// Warmup steps of a run of that many steps.
    pub fn warmup_steps_of(&self, total_steps: u64) -> u64 {
        self.warmup_steps.unwrap_or((self.warmup_ratio * total_steps as f64).ceil() as u64)
    }

    /// How many of so many rows are held out: the fraction, at least 1 and at most 1,000, never
    /// all of them; 0 where nothing is held out.
    pub fn eval_rows_of(&self, row_count: u64) -> u64 {
        if self.eval_fraction == 0.0 || row_count < 2 {
            return 0;
        }
        let share = (self.eval_fraction * row_count as f64).round() as u64;
        share.clamp(1, 1000).min(row_count - 1)
    }

    /// Steps between evaluations in a run of that many steps: at least 10 a run.
    pub fn eval_steps_of(&self, total_steps: u64) -> u64 {
        match self.eval_steps {
            0 => (total_steps / 10).max(1),
            steps => steps,
        }
    }

    /// The command that repeats this recipe: only what differs from the defaults.
    pub fn to_command(&self) -> String {
        let mut command = String::from("apertis train");
        for (field, value, _) in self.difference(&Recipe::default()) {
            let text = match &value {
                Value::List(list) => serde_json::to_string(list).expect("texts are JSON"),
                other => other.to_string(),
            };
            command += &format!(" {}={}", field.name, shell_word(&text));
        }
        command
    }
}

/// Quotes a word for a POSIX shell where it needs it.
fn shell_word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,+@%".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn conflict(message: &str, hint: &str) -> RecipeError {
    RecipeError::Conflict { message: message.to_owned(), hint: hint.to_owned() }
}
