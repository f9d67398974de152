//! How an answer is chosen and where it ends: flags of `run`, and `/set parameter` of a chat.

use apertis_model::generate::GenerateSettings;
use serde::{Deserialize, Serialize};

use crate::arguments::RunArguments;

/// Longest answer when nobody says.
const MAX_TOKENS: usize = 512;

/// Every parameter of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sampling {
    pub(crate) temperature: f32,
    pub(crate) top_k: usize,
    pub(crate) top_p: f32,
    pub(crate) min_p: f32,
    pub(crate) typical_p: f32,
    pub(crate) repeat_penalty: f32,
    pub(crate) presence_penalty: f32,
    pub(crate) frequency_penalty: f32,
    /// Without one every answer is another.
    pub(crate) seed: Option<u64>,
    pub(crate) num_predict: usize,
    pub(crate) stop: Vec<String>,
}

impl Default for Sampling {
    fn default() -> Sampling {
        let plain = GenerateSettings::default();
        Sampling {
            temperature: plain.temperature,
            top_k: plain.top_k,
            top_p: plain.top_p,
            min_p: plain.min_p,
            typical_p: plain.typical_p,
            repeat_penalty: plain.repetition_penalty,
            presence_penalty: plain.presence_penalty,
            frequency_penalty: plain.frequency_penalty,
            seed: None,
            num_predict: MAX_TOKENS,
            stop: Vec::new(),
        }
    }
}

const NAMES: [&str; 11] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "num_predict",
    "stop",
];

impl Sampling {
    /// From the flags of `run`, checked like `/set parameter`.
    pub(crate) fn of(arguments: &RunArguments) -> Result<Sampling, String> {
        let mut sampling = Sampling::default();
        let words = [
            ("temperature", arguments.temperature.map(|value| value.to_string())),
            ("top_k", arguments.top_k.map(|value| value.to_string())),
            ("top_p", arguments.top_p.map(|value| value.to_string())),
            ("min_p", arguments.min_p.map(|value| value.to_string())),
            ("typical_p", arguments.typical_p.map(|value| value.to_string())),
            ("repeat_penalty", arguments.repeat_penalty.map(|value| value.to_string())),
            ("presence_penalty", arguments.presence_penalty.map(|value| value.to_string())),
            ("frequency_penalty", arguments.frequency_penalty.map(|value| value.to_string())),
            ("seed", arguments.seed.map(|value| value.to_string())),
            ("num_predict", arguments.max_tokens.map(|value| value.to_string())),
        ];
        for (name, word) in words {
            if let Some(word) = word {
                sampling.set(name, &word)?;
            }
        }
        sampling.stop.clone_from(&arguments.stop);
        Ok(sampling)
    }

    /// Sets one parameter from text; the error is a sentence.
    pub(crate) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let number = |low: f32, high: f32| {
            let value = text.parse::<f32>().ok().filter(|value| (low..=high).contains(value));
            value.ok_or_else(|| format!("{name}: found {text:?}, expected a number from {low} to {high}"))
        };
        let whole = |least: u64| {
            let value = text.parse::<u64>().ok().filter(|value| *value >= least);
            value.ok_or_else(|| format!("{name}: found {text:?}, expected a whole number from {least}"))
        };
        match name {
            "temperature" => self.temperature = number(0.0, 100.0)?,
            "top_k" => self.top_k = whole(0)? as usize,
            "top_p" => self.top_p = number(0.0, 1.0)?,
            "min_p" => self.min_p = number(0.0, 1.0)?,
            "typical_p" => self.typical_p = number(0.0, 1.0)?,
            "repeat_penalty" => self.repeat_penalty = number(0.01, 100.0)?,
            "presence_penalty" => self.presence_penalty = number(-100.0, 100.0)?,
            "frequency_penalty" => self.frequency_penalty = number(-100.0, 100.0)?,
            "seed" => self.seed = Some(whole(0)?),
            "num_predict" => self.num_predict = whole(1)? as usize,
            "stop" if text.is_empty() => self.stop.clear(),
            "stop" => self.stop.push(text.to_owned()),
            _ => {
                let distance = |known: &str| strsim::damerau_levenshtein(known, name);
                let nearest = NAMES.into_iter().min_by_key(|known| distance(known)).filter(|known| distance(known) <= 3);
                let hint = nearest.map_or_else(|| format!("there are {}", NAMES.join(", ")), |known| format!("did you mean `{known}`?"));
                return Err(format!("there is no parameter `{name}`; {hint}"));
            }
        }
        Ok(())
    }

    /// Every parameter with its value, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        // Through text, where a number keeps its shortest form.
        let text = serde_json::to_string(self).unwrap_or_default();
        let values: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let shown = |name: &str| match &values[name] {
            serde_json::Value::Null => "another for every answer".to_owned(),
            value => value.to_string(),
        };
        NAMES.iter().map(|name| format!("{name:18} {}", shown(name))).collect()
    }

    /// What the engine needs; `fresh_seed` is taken where none was set.
    pub(crate) fn settings(&self, stop_ids: &[u32], logprobs: Option<usize>, fresh_seed: u64) -> GenerateSettings {
        GenerateSettings {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repetition_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            logprobs,
            seed: self.seed.unwrap_or(fresh_seed),
            max_tokens: self.num_predict,
            stop_ids: stop_ids.to_vec(),
        }
    }
}

/// Cuts streamed text at the first stop string, and holds back what may be the start of one.
#[derive(Debug, Default)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    pub(crate) fn new(stops: &[String]) -> StopStrings {
        StopStrings { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// The text that may be shown, and whether a stop string was reached.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let starts = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let keep = self.held.char_indices().map(|(at, _)| at).find(starts).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back at the end.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_strings_end_a_text_wherever_it_is_cut() {
        let check = |pieces: &[&str], expected: &str, stopped: bool| {
            let mut stops = StopStrings::new(&["END".to_owned(), "\n\n".to_owned()]);
            let mut text = String::new();
            let mut has_stopped = false;
            for piece in pieces {
                let (shown, is_stop) = stops.push(piece);
                text.push_str(&shown);
                if is_stop {
                    has_stopped = true;
                    break;
                }
            }
            text.push_str(&stops.finish());
            assert_eq!((text.as_str(), has_stopped), (expected, stopped), "{pieces:?}");
        };
        check(&["one ENDtwo"], "one ", true);
        check(&["one E", "N", "D two"], "one ", true);
        check(&["one E", "N", "O"], "one ENO", false);
        check(&["a\n", "b\n", "\nc"], "a\nb", true);
        check(&["EEN", "D"], "E", true);
        check(&["größe EN"], "größe EN", false);
    }

    #[test]
    fn parameters_are_checked() {
        let check = |name: &str, text: &str, expected: Option<&str>| {
            let found = Sampling::default().set(name, text);
            assert_eq!(found.as_ref().err().map(String::as_str), expected, "{name} {text}");
        };
        check("temperature", "0.5", None);
        check("temperature", "-1", Some("temperature: found \"-1\", expected a number from 0 to 100"));
        check("temperature", "nan", Some("temperature: found \"nan\", expected a number from 0 to 100"));
        check("num_predict", "0", Some("num_predict: found \"0\", expected a whole number from 1"));
        check("temprature", "1", Some("there is no parameter `temprature`; did you mean `temperature`?"));
    }
}
