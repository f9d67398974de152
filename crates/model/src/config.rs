//! `config.json` as a family reads it: typed look-ups with sentences for what is missing.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ModelError;
use crate::rope::{RopeScaling, RopeSpec};

/// A model's configuration. Keys that nothing reads are kept, so that they are written back.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// The whole document.
    pub document: Map<String, Value>,
    /// The part about text: the document itself, or its `text_config`.
    text: Map<String, Value>,
}

impl ModelConfig {
    /// Reads `config.json` of a folder.
    ///
    /// # Errors
    /// When the file is missing, is not JSON, or is not an object.
    pub fn from_folder(folder: &Path) -> Result<ModelConfig, ModelError> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(ModelError::io(&path))?;
        ModelConfig::from_text(&text).map_err(|error| match error {
            ModelError::Config { message } => ModelError::config(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn from_text(text: &str) -> Result<ModelConfig, ModelError> {
        let value: Value = serde_json::from_str(text).map_err(|error| ModelError::config(format!("not JSON: {error}")))?;
        match value {
            Value::Object(document) => Ok(ModelConfig::from_document(document)),
            _ => Err(ModelError::config("found no JSON object")),
        }
    }

    /// Takes a document over.
    pub fn from_document(document: Map<String, Value>) -> ModelConfig {
        let text = match document.get("text_config") {
            Some(Value::Object(inner)) => inner.clone(),
            _ => document.clone(),
        };
        ModelConfig { document, text }
    }

    /// Whether the text model is nested in a larger one.
    pub fn is_nested(&self) -> bool {
        self.document.get("text_config").is_some_and(Value::is_object)
    }

    /// The family's name.
    ///
    /// # Errors
    /// When `model_type` is missing.
    pub fn family(&self) -> Result<String, ModelError> {
        self.text
            .get("model_type")
            .or_else(|| self.document.get("model_type"))
            .and_then(Value::as_str)
            .map(str::to_string)
            .ok_or_else(|| ModelError::config("model_type is missing"))
    }

    /// The value at a key of the text part; null counts as missing.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.text.get(key).filter(|value| !value.is_null())
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is missing, not whole, or absurdly large.
    pub fn count(&self, key: &str) -> Result<usize, ModelError> {
        self.optional_count(key)?.ok_or_else(|| ModelError::config(format!("{key} is missing")))
    }

    /// A whole number that may be missing.
    ///
    /// # Errors
    /// When it is not whole or absurdly large.
    pub fn optional_count(&self, key: &str) -> Result<Option<usize>, ModelError> {
        // Larger sizes than any model's; keeps products of sizes inside 64 bits.
        const LARGEST: u64 = 1 << 31;
        match self.value(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) if number <= LARGEST => Ok(Some(number as usize)),
                _ => Err(ModelError::config(format!("{key}: found {value}, expected a whole number of at most {LARGEST}"))),
            },
        }
    }

    /// A whole number above zero.
    ///
    /// # Errors
    /// When it is missing, zero or not whole.
    pub fn size(&self, key: &str) -> Result<usize, ModelError> {
        match self.count(key)? {
            0 => Err(ModelError::config(format!("{key}: found 0, expected at least 1"))),
            size => Ok(size),
        }
    }

    /// A whole number with a default.
    ///
    /// # Errors
    /// When it is there and wrong.
    pub fn count_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        Ok(self.optional_count(key)?.unwrap_or(default))
    }

    /// A number with a default.
    ///
    /// # Errors
    /// When it is there and not a finite number.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => number(key, value),
        }
    }

    /// A number that may be missing.
    ///
    /// # Errors
    /// When it is there and not a finite number.
    pub fn optional_number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.value(key).map(|value| number(key, value)).transpose()
    }

    /// A switch with a default.
    ///
    /// # Errors
    /// When it is there and neither true nor false.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| ModelError::config(format!("{key}: found {value}, expected true or false"))),
        }
    }

    /// A word with a default.
    ///
    /// # Errors
    /// When it is there and not text.
    pub fn word_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, ModelError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| ModelError::config(format!("{key}: found {value}, expected a word"))),
        }
    }

    /// A list of words, one a layer.
    ///
    /// # Errors
    /// When its length differs from `layers`.
    pub fn layer_words(&self, key: &str, layers: usize) -> Result<Option<Vec<String>>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let words: Option<Vec<String>> =
            value.as_array().and_then(|list| list.iter().map(|word| word.as_str().map(str::to_string)).collect());
        match words {
            Some(words) if words.len() == layers => Ok(Some(words)),
            _ => Err(ModelError::config(format!("{key}: expected a list of {layers} words"))),
        }
    }

    /// A list of whole numbers.
    ///
    /// # Errors
    /// When it is there and something else.
    pub fn counts(&self, key: &str) -> Result<Option<Vec<usize>>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value
            .as_array()
            .and_then(|list| list.iter().map(|item| item.as_u64().map(|number| number as usize)).collect())
            .map(Some)
            .ok_or_else(|| ModelError::config(format!("{key}: expected a list of whole numbers")))
    }

    /// The rotation of layers of one type, from the top level, `rope_scaling` or
    /// `rope_parameters` (also keyed by layer type).
    ///
    /// # Errors
    /// When a scaling rule is unknown or lacks a number.
    pub fn rope(&self, layer_type: Option<&str>, default_theta: f64, head_width: usize) -> Result<RopeSpec, ModelError> {
        let mut settings = Map::new();
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.value(key) else { continue };
            let Value::Object(found) = value else {
                return Err(ModelError::config(format!("{key}: found {value}, expected an object")));
            };
            let nested = layer_type.and_then(|layer_type| found.get(layer_type)).and_then(Value::as_object);
            let is_keyed = found.values().any(Value::is_object);
            match nested {
                Some(inner) => settings.extend(inner.clone()),
                None if is_keyed => {}
                None => settings.extend(found.clone()),
            }
        }
        let lookup = Settings { settings: &settings };
        let theta = match lookup.number("rope_theta")? {
            Some(theta) => theta,
            None => match self.optional_number("rope_theta")? {
                Some(theta) => theta,
                None => self.number_or("rotary_emb_base", default_theta)?,
            },
        };
        let partial = match lookup.number("partial_rotary_factor")? {
            Some(part) => part,
            None => match self.optional_number("partial_rotary_factor")? {
                Some(part) => part,
                None => self.number_or("rotary_pct", 1.0)?,
            },
        };
        if !(theta > 0.0 && partial > 0.0 && partial <= 1.0) {
            return Err(ModelError::config(format!("rope: found theta {theta} and partial factor {partial}, expected positive numbers")));
        }
        let rotary_width = (head_width as f64 * partial) as usize;
        if rotary_width == 0 || rotary_width % 2 == 1 {
            return Err(ModelError::config(format!("rope: found a rotary width of {rotary_width}, expected an even number above 0")));
        }
        let (scaling, attention_factor) = self.rope_scaling(&lookup, rotary_width)?;
        Ok(RopeSpec { theta, rotary_width, interleaved: false, attention_factor, scaling })
    }

    fn rope_scaling(&self, lookup: &Settings<'_>, rotary_width: usize) -> Result<(RopeScaling, f32), ModelError> {
        let rule = lookup.word("rope_type").or_else(|| lookup.word("type")).unwrap_or_else(|| "default".to_string());
        let context = self.count_or("max_position_embeddings", 2048)?.max(1);
        // A value beside the rope settings goes before the one inside (Phi-3's way).
        let original = match self.optional_number("original_max_position_embeddings")? {
            Some(original) => original,
            None => lookup.number("original_max_position_embeddings")?.unwrap_or(context as f64),
        };
        Ok(match rule.as_str() {
            "default" | "mrope" => (RopeScaling::None, 1.0),
            "linear" => (RopeScaling::Linear { factor: lookup.required("factor")? as f32 }, 1.0),
            "dynamic" => (RopeScaling::Dynamic { factor: lookup.required("factor")?, context }, 1.0),
            "llama3" => (
                RopeScaling::Llama3 {
                    factor: lookup.required("factor")? as f32,
                    low_frequency_factor: lookup.required("low_freq_factor")? as f32,
                    high_frequency_factor: lookup.required("high_freq_factor")? as f32,
                    original_context: original as f32,
                },
                1.0,
            ),
            "yarn" => {
                let factor = lookup.number("factor")?.unwrap_or(context as f64 / original);
                let attention_factor = match lookup.number("attention_factor")? {
                    Some(given) => given,
                    None => match (lookup.number("mscale")?, lookup.number("mscale_all_dim")?) {
                        (Some(part), Some(all)) if part != 0.0 && all != 0.0 => yarn_scale(factor, part) / yarn_scale(factor, all),
                        _ => yarn_scale(factor, 1.0),
                    },
                };
                let scaling = RopeScaling::Yarn {
                    factor,
                    beta_fast: lookup.number("beta_fast")?.filter(|beta| *beta != 0.0).unwrap_or(32.0),
                    beta_slow: lookup.number("beta_slow")?.filter(|beta| *beta != 0.0).unwrap_or(1.0),
                    original_context: original,
                    truncate: lookup.settings.get("truncate").and_then(Value::as_bool).unwrap_or(true),
                };
                (scaling, attention_factor as f32)
            }
            "longrope" | "su" => {
                let factor = lookup.number("factor")?.unwrap_or(context as f64 / original);
                let attention_factor = match lookup.number("attention_factor")? {
                    Some(given) => given,
                    None if factor <= 1.0 => 1.0,
                    None => (1.0 + factor.ln() / original.ln()).sqrt(),
                };
                let scaling = RopeScaling::LongRope {
                    short: lookup.numbers("short_factor", rotary_width / 2)?,
                    long: lookup.numbers("long_factor", rotary_width / 2)?,
                    original_context: original as usize,
                };
                (scaling, attention_factor as f32)
            }
            other => {
                return Err(ModelError::config(format!(
                    "rope_type: found {other:?}, expected default, linear, dynamic, llama3, yarn or longrope"
                )));
            }
        })
    }
}

/// Published mean of attention's temperature for a context stretched by `scale`; YaRN, eq. 22.
fn yarn_scale(scale: f64, part: f64) -> f64 {
    if scale <= 1.0 { 1.0 } else { 0.1 * part * scale.ln() + 1.0 }
}

struct Settings<'a> {
    settings: &'a Map<String, Value>,
}

impl Settings<'_> {
    fn word(&self, key: &str) -> Option<String> {
        self.settings.get(key).and_then(Value::as_str).map(str::to_string)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.settings.get(key).filter(|value| !value.is_null()).map(|value| number(key, value)).transpose()
    }

    fn required(&self, key: &str) -> Result<f64, ModelError> {
        self.number(key)?.ok_or_else(|| ModelError::config(format!("rope: {key} is missing")))
    }

    fn numbers(&self, key: &str, expected: usize) -> Result<Vec<f32>, ModelError> {
        let list: Option<Vec<f32>> = self
            .settings
            .get(key)
            .and_then(Value::as_array)
            .and_then(|list| list.iter().map(|item| item.as_f64().map(|number| number as f32)).collect());
        match list {
            Some(list) if list.len() == expected => Ok(list),
            Some(list) => Err(ModelError::config(format!("rope: {key}: found {} numbers, expected {expected}", list.len()))),
            None => Err(ModelError::config(format!("rope: {key} is missing or not a list of numbers"))),
        }
    }
}

fn number(key: &str, value: &Value) -> Result<f64, ModelError> {
    value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| ModelError::config(format!("{key}: found {value}, expected a number")))
}
