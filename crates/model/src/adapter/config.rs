//! `adapter_config.json` as PEFT writes it: what is read, and what is refused.

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use super::create::AdapterSettings;
use super::names::ends_with_words;
use crate::error::ModelError;

/// Name of the file in an adapter's folder.
pub(super) const FILE: &str = "adapter_config.json";

/// Options that change what an adapter computes and that nothing here computes.
const REFUSED: [&str; 11] = [
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "megatron_config",
];

/// What reading tensors needs of an adapter's config.
pub(super) struct PeftConfig {
    /// What is said once for all modules.
    pub(super) settings: AdapterSettings,
    /// A tied matrix that is trained stays tied.
    pub(super) ensures_tying: bool,
    target_parameters: Vec<String>,
    alphas: Vec<(Regex, f32)>,
}

impl PeftConfig {
    /// Reads the config of an adapter's folder.
    ///
    /// # Errors
    /// When it is missing, not JSON, or asks for something that is not supported.
    pub(super) fn read(folder: &Path) -> Result<PeftConfig, ModelError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(ModelError::io(&path))?;
        PeftConfig::from_text(&text).map_err(|error| match error {
            ModelError::Adapter { message } => ModelError::adapter(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    fn from_text(text: &str) -> Result<PeftConfig, ModelError> {
        let config: Value = serde_json::from_str(text).map_err(|error| ModelError::adapter(format!("not JSON: {error}")))?;
        if !config.is_object() {
            return Err(ModelError::adapter("found no JSON object"));
        }
        for (key, expected) in [("peft_type", "LORA"), ("bias", "none")] {
            let found = config[key].as_str().unwrap_or(expected);
            if found != expected {
                return Err(ModelError::adapter(format!("{key}: found {found}, expected {expected}")));
            }
        }
        for key in REFUSED {
            let value = &config[key];
            let is_off = value.is_null() || *value == Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty);
            if !is_off {
                return Err(ModelError::adapter(format!("{key}: found {value}, which is not supported")));
            }
        }
        let alphas = config["alpha_pattern"].as_object().into_iter().flatten();
        Ok(PeftConfig {
            settings: settings(&config)?,
            ensures_tying: config["ensure_weight_tying"].as_bool().unwrap_or(false),
            target_parameters: words(&config["target_parameters"]),
            alphas: alphas.map(|(key, value)| pattern(key, value)).collect::<Result<_, _>>()?,
        })
    }

    /// The strength for a module or parameter, by the class's name.
    pub(super) fn alpha(&self, name: &str) -> f32 {
        let found = self.alphas.iter().find(|(pattern, _)| pattern.is_match(name));
        found.map_or(self.settings.alpha, |(_, alpha)| *alpha)
    }

    /// What a product of rank `rank` is multiplied by.
    pub(super) fn scale(&self, name: &str, rank: usize) -> f32 {
        let rank = rank as f32;
        self.alpha(name) / if self.settings.use_rslora { rank.sqrt() } else { rank }
    }

    /// Whether a parameter is a target.
    pub(super) fn targets_parameter(&self, name: &str) -> bool {
        self.target_parameters.iter().any(|word| ends_with_words(name, word))
    }
}

fn settings(config: &Value) -> Result<AdapterSettings, ModelError> {
    let number = |key: &str, default: f64| match &config[key] {
        Value::Null => Ok(default),
        value => value
            .as_f64()
            .filter(|number| number.is_finite() && *number >= 0.0)
            .ok_or_else(|| ModelError::adapter(format!("{key}: found {value}, expected a number of at least 0"))),
    };
    let dropout = number("lora_dropout", 0.0)?;
    if dropout >= 1.0 {
        return Err(ModelError::adapter(format!("lora_dropout: found {dropout}, expected less than 1")));
    }
    Ok(AdapterSettings {
        rank: number("r", 8.0)? as usize,
        alpha: number("lora_alpha", 8.0)? as f32,
        dropout: dropout as f32,
        targets: words(&config["target_modules"]),
        use_rslora: config["use_rslora"].as_bool().unwrap_or(false),
        use_dora: config["use_dora"].as_bool().unwrap_or(false),
        modules_to_save: words(&config["modules_to_save"]),
    })
}

fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().filter_map(|word| word.as_str().map(str::to_string)).collect(),
        Value::String(word) => vec![word.clone()],
        _ => Vec::new(),
    }
}

/// A key of `alpha_pattern`: an expression for the last words of a name.
fn pattern(key: &str, value: &Value) -> Result<(Regex, f32), ModelError> {
    let fail = |reason: String| ModelError::adapter(format!("alpha_pattern: {key:?}: {reason}"));
    let expression = Regex::new(&format!(r"^(?:.*\.)?(?:{key})$")).map_err(|error| fail(format!("not an expression: {error}")))?;
    let alpha = value.as_f64().filter(|alpha| alpha.is_finite()).ok_or_else(|| fail(format!("found {value}, expected a number")))?;
    Ok((expression, alpha as f32))
}
