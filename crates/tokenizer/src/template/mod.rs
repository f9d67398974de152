//! Chat templates: the Jinja programs that turn a conversation into a model's text,
//! in an environment that behaves like the reference one of `transformers`.

mod environment;
mod json;
mod python;
mod rewrite;

use std::ops::Range;
use std::sync::OnceLock;

use jiff::civil::DateTime;
use minijinja::{Environment, Value};
use serde_json::Map;

use crate::error::TokenizerError;
use crate::message::{Content, Message};
use crate::special::{Settings, token_text};

/// The name under which the compiled template is kept.
const NAME: &str = "chat_template";
/// Opens and closes the mark around trained text; noncharacters, which no text
/// interchange may contain.
const MARK_OPEN: &str = "\u{FDD0}\u{FDD1}";
const MARK_CLOSE: &str = "\u{FDD0}\u{FDD2}";

/// The common template of many models, used where a model brings none.
pub(crate) const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' \
+ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A compiled chat template with the variables that it may read.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    variables: Map<String, serde_json::Value>,
    marks_generation: bool,
    content_shape: OnceLock<ContentShape>,
}

/// A rendered conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text, as the model sees it.
    pub text: String,
    /// The bytes of the text inside `{% generation %}` blocks, in order.
    pub generation_spans: Vec<Range<usize>>,
}

/// In which shape a template reads what a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentShape {
    Text,
    Parts,
    Both,
}

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are its `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// [`TokenizerError::Template`] with the line where the source is broken.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self, TokenizerError> {
        let (rewritten, marks_generation) = rewrite::rewrite(source);
        let mut environment = environment::environment();
        environment.add_template_owned(NAME, rewritten).map_err(template_error)?;
        let mut template =
            Self { source: source.to_owned(), environment, variables: Map::new(), marks_generation, content_shape: OnceLock::new() };
        for (name, value) in [("bos_token", bos), ("eos_token", eos)] {
            if let Some(value) = value {
                template.set_variable(name, serde_json::Value::from(value));
            }
        }
        Ok(template)
    }

    /// The ChatML template.
    pub fn chatml() -> Self {
        Self::new(CHATML, None, Some("<|im_end|>")).expect("our own template compiles")
    }

    /// The template's source as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A variable that was given to the template.
    pub fn variable(&self, name: &str) -> Option<&serde_json::Value> {
        self.variables.get(name)
    }

    /// True where the template itself marks what is trained with `{% generation %}`.
    pub fn marks_generation(&self) -> bool {
        self.marks_generation
    }

    /// Gives a variable to the template, such as `pad_token` or `enable_thinking`.
    pub fn set_variable(&mut self, name: &str, value: serde_json::Value) {
        self.variables.insert(name.to_owned(), value);
        self.content_shape = OnceLock::new();
    }

    /// Sets the time that `strftime_now` tells. Without it, it is the start of 2026,
    /// so that the same conversation always gives the same tokens.
    pub fn set_clock(&mut self, now: DateTime) {
        environment::set_clock(&mut self.environment, now);
    }

    /// Gives the special tokens of a tokenizer's settings to the template.
    pub(crate) fn set_tokens(&mut self, settings: &Settings) {
        for name in ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] {
            if let Some(text) = settings.token(name) {
                self.set_variable(name, serde_json::Value::from(text));
            }
        }
        let listed = settings.tokenizer.get("additional_special_tokens");
        if let Some(serde_json::Value::Array(list)) = listed {
            let texts: Vec<&str> = list.iter().filter_map(token_text).collect();
            self.set_variable("additional_special_tokens", serde_json::Value::from(texts));
        }
    }

    /// Renders a conversation. `tools` are the tool descriptions; `extra` are further
    /// variables, which win over those set before.
    ///
    /// # Errors
    /// [`TokenizerError::Template`], also where the template itself raises an exception.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
        extra: &Map<String, serde_json::Value>,
    ) -> Result<Rendered, TokenizerError> {
        let shape = *self.content_shape.get_or_init(|| self.probe_shape());
        let messages = self.message_values(messages, shape)?;
        self.render_values(messages, tools, add_generation_prompt, extra)
    }

    fn render_values(
        &self,
        messages: Vec<serde_json::Value>,
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
        extra: &Map<String, serde_json::Value>,
    ) -> Result<Rendered, TokenizerError> {
        let mut context = self.variables.clone();
        context.insert("messages".to_owned(), serde_json::Value::Array(messages));
        context.insert("tools".to_owned(), tools.cloned().unwrap_or_default());
        context.insert("documents".to_owned(), serde_json::Value::Null);
        context.insert("add_generation_prompt".to_owned(), add_generation_prompt.into());
        context.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        let plain = self.run(&context)?;
        if !self.marks_generation {
            return Ok(Rendered { text: plain, generation_spans: Vec::new() });
        }
        context.insert(environment::MARKING.to_owned(), true.into());
        let marked = unmark(&self.run(&context)?);
        if marked.text != plain {
            return Err(TokenizerError::Template {
                line: None,
                message: "the text differs when its generation blocks are marked".to_owned(),
            });
        }
        Ok(marked)
    }

    fn run(&self, context: &Map<String, serde_json::Value>) -> Result<String, TokenizerError> {
        let context = Value::from_pairs(context.iter().map(|(name, value)| (name.as_str(), python::from_json(value))));
        let template = self.environment.get_template(NAME).map_err(template_error)?;
        template.render(context).map_err(template_error)
    }

    /// Finds out by trying which shape of content the template reads.
    fn probe_shape(&self) -> ContentShape {
        const PROBE: &str = "zqprobe";
        let reads = |content: serde_json::Value| {
            let message = serde_json::json!({"role": "user", "content": content});
            self.render_values(vec![message], None, false, &Map::new())
                .ok()
                .filter(|rendered| rendered.text.contains(PROBE))
                .map(|rendered| rendered.text)
        };
        let text = reads(serde_json::Value::from(PROBE)).is_some();
        let parts = reads(serde_json::json!([{"type": "text", "text": PROBE}]))
            .is_some_and(|text| !text.contains("'type'") && !text.contains("\"type\""));
        match (text, parts) {
            (true, true) => ContentShape::Both,
            (false, true) => ContentShape::Parts,
            _ => ContentShape::Text,
        }
    }

    fn message_values(&self, messages: &[Message], shape: ContentShape) -> Result<Vec<serde_json::Value>, TokenizerError> {
        let parses_arguments = self.parses_arguments();
        let mut values = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let mut value = serde_json::to_value(message).expect("a message of JSON values is always written");
            let content = match (&message.content, shape) {
                (Content::Text(text), ContentShape::Parts) => Some(serde_json::json!([{"type": "text", "text": text}])),
                (Content::Parts(_), ContentShape::Text) => {
                    let text = message.content.as_text().ok_or_else(|| TokenizerError::Template {
                        line: None,
                        message: format!("message {index} has a part that is not text, which this template cannot show"),
                    })?;
                    Some(serde_json::Value::from(text))
                }
                _ => None,
            };
            if let Some(content) = content {
                value["content"] = content;
            }
            name_reasoning(&mut value);
            if parses_arguments {
                parse_arguments(&mut value);
            }
            values.push(value);
        }
        Ok(values)
    }

    /// True where the template writes tool arguments as JSON or walks through them
    /// itself: then arguments that come as a string of JSON must be given as an object.
    fn parses_arguments(&self) -> bool {
        let packed: String = self.source.split_whitespace().collect();
        let walks = ["arguments|tojson", "arguments|items", "arguments.items()", "arguments|dictsort"];
        walks.iter().any(|use_| packed.contains(use_)) && !packed.contains("argumentsisstring")
    }
}

/// What a turn thought goes by several names; templates read `reasoning_content` or
/// `thinking`, so both are given, as in the reference implementation.
fn name_reasoning(message: &mut serde_json::Value) {
    let reasoning =
        ["reasoning_content", "thinking", "reasoning"].iter().filter_map(|name| message.get(*name)).find(|value| !value.is_null()).cloned();
    let (Some(reasoning), Some(fields)) = (reasoning, message.as_object_mut()) else {
        return;
    };
    fields.entry("thinking").or_insert_with(|| reasoning.clone());
    fields.insert("reasoning_content".to_owned(), reasoning);
}

/// Replaces the arguments of tool calls that are strings of a JSON object by that object.
fn parse_arguments(message: &mut serde_json::Value) {
    let calls = message.get_mut("tool_calls").and_then(serde_json::Value::as_array_mut);
    for call in calls.into_iter().flatten() {
        let holder = match call.get("function") {
            Some(_) => &mut call["function"],
            None => call,
        };
        let Some(arguments) = holder.get_mut("arguments") else {
            continue;
        };
        if let Some(object) =
            arguments.as_str().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()).filter(serde_json::Value::is_object)
        {
            *arguments = object;
        }
    }
}

/// Takes the marks out of a text and notes where they were.
fn unmark(marked: &str) -> Rendered {
    let mut rendered = Rendered::default();
    let mut opened: Vec<usize> = Vec::new();
    let mut rest = marked;
    while let Some(at) = rest.find(['\u{FDD0}']) {
        rendered.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(tail) = rest.strip_prefix(MARK_OPEN) {
            opened.push(rendered.text.len());
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(MARK_CLOSE) {
            // A block inside another adds nothing.
            if let (Some(start), true) = (opened.pop(), opened.is_empty()) {
                rendered.generation_spans.push(start..rendered.text.len());
            }
            rest = tail;
        } else {
            rendered.text.push('\u{FDD0}');
            rest = &rest['\u{FDD0}'.len_utf8()..];
        }
    }
    rendered.text.push_str(rest);
    rendered
}

fn template_error(error: minijinja::Error) -> TokenizerError {
    TokenizerError::Template {
        line: error.line(),
        message: match error.detail() {
            Some(detail) => detail.to_owned(),
            None => error.kind().to_string(),
        },
    }
}
