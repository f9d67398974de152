//! The catalogue: every field of a recipe, written down once.
//!
//! One macro makes of it the typed structs, the defaults and the table that parsing, files,
//! schema and reference page walk through. To add a field, add one entry here.

use super::choices::*;
use super::field::{Field, Group, Kind, Level, Zero};
use super::value::{FieldValue, Value};

const fn integer(min: i64, max: i64, zero: Zero) -> Kind {
    Kind::Integer { min, max, zero }
}

const fn number(min: f64, max: f64, zero: Zero) -> Kind {
    Kind::Number { min, max, zero }
}

const MANY: i64 = i64::MAX;
use Kind::{Path, Switch, Text};
use Zero::{Auto, AutoWord, Off, Plain};

macro_rules! catalogue {
    ($(
        $(#[$doc:meta])*
        section $section:ident at [$($place:ident)?] prefix $prefix:literal
        $( tables { $( $(#[$table_doc:meta])* $table:ident: $table_type:ty, )+ } )?
        fields { $(
            $field:ident: $type:ty = $default:expr,
                $group:ident $level:ident, $kind:expr, $unit:literal, $meaning:literal;
        )+ }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $section {
                $( #[doc = $meaning] pub $field: $type, )+
                $( $( $(#[$table_doc])* pub $table: $table_type, )+ )?
            }

            impl Default for $section {
                fn default() -> Self {
                    $section {
                        $( $field: $default, )+
                        $( $( $table: <$table_type>::default(), )+ )?
                    }
                }
            }

            impl $section {
                fn of(recipe: &Recipe) -> &$section {
                    &recipe$(.$place)?
                }
                fn of_mut(recipe: &mut Recipe) -> &mut $section {
                    &mut (*recipe)$(.$place)?
                }
            }
        )+

        static FIELDS: &[Field] = &[ $( $(
            Field {
                name: concat!($prefix, stringify!($field)),
                meaning: $meaning,
                unit: $unit,
                kind: $kind,
                group: Group::$group,
                level: Level::$level,
                get: |recipe: &Recipe| -> Value { $section::of(recipe).$field.to_value() },
                set: |recipe: &mut Recipe, value: Value| -> bool {
                    match <$type as FieldValue>::from_value(value) {
                        Some(value) => { $section::of_mut(recipe).$field = value; true }
                        None => false,
                    }
                },
            },
        )+ )+ ];
    };
}

/// Every field, in the order of files and pages.
pub fn fields() -> &'static [Field] {
    FIELDS
}

catalogue! {
    /// Every setting of a training run. Plain values: what was chosen automatically is still 0
    /// here, and is resolved by the plan that looks at model, data and machine.
    section Recipe at [] prefix ""
    tables {
        /// Settings of adapters.
        lora: LoraRecipe,
        /// Shape of a new model.
        shape: ShapeRecipe,
        /// Which columns of the data hold what.
        columns: ColumnsRecipe,
    }
    fields {
        model: String = String::new(), Basics Simple, Path, "",
            "The model to start from: a folder, or the name of a model in the home. Not used by method=scratch.";
        data: String = String::new(), Basics Simple, Path, "",
            "The training data: a file, a folder or a pattern such as data/*.jsonl.";
        method: Method = Method::Lora, Basics Simple, Kind::Choice(Method::CHOICES), "",
            "What is trained.";
        epochs: f64 = 3.0, Basics Simple, number(0.0, 100_000.0, Plain), "passes",
            "How many times the data is gone through.";
        max_steps: u64 = 0, Basics Simple, integer(0, MANY, Off), "steps",
            "Stop after this many optimizer steps, whatever epochs says.";
        time_limit_minutes: f64 = 0.0, Basics Simple, number(0.0, 1e6, Off), "minutes",
            "Finish within this working time: the schedule is planned again so that it ends there.";
        name: String = String::new(), Basics Simple, Text, "",
            "Name of the run; empty numbers it automatically. A name that exists is an error.";

        eval_data: String = String::new(), Data Simple, Path, "",
            "Data to evaluate on, instead of holding rows of the training data out.";
        max_length: usize = 0, Data Simple,
            integer(0, 16_777_216, Auto("from model and data: the longest row, at most the model's context")), "tokens",
            "Longest row in tokens; in plain text the length of a window.";
        too_long: TooLong = TooLong::Cut, Data Simple, Kind::Choice(TooLong::CHOICES), "",
            "What happens to a row longer than max_length.";
        on_bad_row: OnBadRow = OnBadRow::Skip, Data Simple, Kind::Choice(OnBadRow::CHOICES), "",
            "What happens to a row that cannot be used.";
        train_on: TrainOn = TrainOn::Assistant, Data Simple, Kind::Choice(TrainOn::CHOICES), "",
            "Which turns of a conversation are learned.";
        packing: bool = true, Data Expert, Switch, "",
            "Whether short plain documents share a window. Chat rows are laid end to end either way, without padding.";
        shuffle: bool = true, Data Simple, Switch, "",
            "Whether rows come in a new order each epoch (from the seed) or in file order.";
        chat_template: String = String::new(), Data Expert, Path, "",
            "A chat template (Jinja file, or the word chatml); empty takes the model's own, else ChatML.";

        batch_size: usize = 8, Training Simple, integer(1, 1_048_576, Plain), "rows",
            "Rows an optimizer step: conversations, or windows of max_length tokens in plain text.";
        patience: u64 = 3, Training Simple, integer(0, MANY, Off), "evaluations",
            "Stop early after this many evaluations without a better one.";
        seed: u64 = 42, Training Simple, integer(0, MANY, Plain), "",
            "Start of every random choice: the same seed repeats the run.";
        freeze_layers: usize = 2, Training Simple, integer(1, 65_536, Plain), "layers",
            "With method=freeze: how many layers, counted from the last, are trained.";
        loss_spike_factor: f64 = 4.0, Training Expert, number(0.0, 1e6, Off), "times",
            "A step whose loss is this many times the recent median goes back to the last good state and skips its batch, at most three times a run. A loss that is not a number always does.";

        learning_rate: f64 = 0.0, Optimization Simple,
            number(0.0, 10.0, Auto("by method: lora 2e-4; full, continue and freeze 2e-5; scratch by size")), "",
            "Highest learning rate, reached after the warmup.";
        schedule: Schedule = Schedule::Cosine, Optimization Simple, Kind::Choice(Schedule::CHOICES), "",
            "How the learning rate moves after the warmup.";
        warmup_steps: Option<u64> = None, Optimization Expert, integer(0, MANY, AutoWord("warmup_ratio of all steps")), "steps",
            "Steps in which the learning rate rises from 0; 0 is no warmup.";
        warmup_ratio: f64 = 0.03, Optimization Expert, number(0.0, 1.0, Plain), "of all steps",
            "Share of the steps in which the learning rate rises, where warmup_steps is auto.";
        decay_ratio: f64 = 0.2, Optimization Expert, number(0.0, 1.0, Plain), "of all steps",
            "Share of the steps in which schedule=wsd falls, at the end.";
        min_learning_rate_ratio: f64 = 0.0, Optimization Expert, number(0.0, 1.0, Plain), "of learning_rate",
            "Where the schedule ends.";
        optimizer: Optimizer = Optimizer::AdamW, Optimization Expert, Kind::Choice(Optimizer::CHOICES), "",
            "The rule that turns gradients into new weights.";
        weight_decay: f64 = 0.0, Optimization Simple, number(0.0, 10.0, Plain), "",
            "Decoupled weight decay, on matrices only.";
        max_grad_norm: f64 = 1.0, Optimization Simple, number(0.0, 1e6, Off), "",
            "Gradients longer than this, all together, are shortened to it.";
        adam_beta1: f64 = 0.9, Optimization Expert, number(0.0, 0.999999, Plain), "",
            "How slowly the mean of the gradients moves.";
        adam_beta2: f64 = 0.999, Optimization Expert, number(0.0, 0.99999999, Plain), "",
            "How slowly the mean of the squared gradients moves.";
        adam_epsilon: f64 = 1e-8, Optimization Expert, number(0.0, 1.0, Plain), "",
            "Added to the root of the squared mean before dividing by it.";
        label_smoothing: f64 = 0.0, Optimization Expert, number(0.0, 0.999, Plain), "",
            "Share of each target spread over the whole vocabulary.";
        neftune_alpha: f64 = 0.0, Optimization Expert, number(0.0, 1000.0, Off), "",
            "Strength of the noise on input embeddings while training (NEFTune); 5 is usual.";

        adapter: String = String::new(), Adapter Expert, Path, "",
            "With method=lora: a folder with an adapter to go on from.";

        eval_fraction: f64 = 0.05, Evaluation Simple, number(0.0, 0.9, Off), "of the rows",
            "Share of the data held out for evaluation: at least 1 row, at most 1,000. 0 holds nothing out.";
        eval_steps: u64 = 0, Evaluation Simple, integer(0, MANY, Auto("at least 10 evaluations a run")), "steps",
            "Evaluate each time after this many steps.";
        save_every: u64 = 0, Evaluation Simple, integer(0, MANY, Auto("at each evaluation, and at the end")), "steps",
            "Save a checkpoint each time after this many steps.";
        keep_checkpoints: usize = 2, Evaluation Expert, integer(1, 1_000_000, Plain), "checkpoints",
            "How many checkpoints are kept at most; the best and the last always are.";
        sample_prompts: Vec<String> = Vec::new(), Evaluation Simple, Kind::List('\n'), "",
            "Prompts answered at every evaluation, one a line or as a JSON list; empty takes three of the held-out rows.";
        sample_tokens: usize = 64, Evaluation Expert, integer(0, 65_536, Off), "tokens",
            "Longest answer to a sample prompt.";

        tokenizer: TokenizerKind = TokenizerKind::Bpe, Shape Simple, Kind::Choice(TokenizerKind::CHOICES), "",
            "With method=scratch: how the vocabulary is made.";
        vocab_size: usize = 0, Shape Simple,
            integer(0, 4_194_304, Auto("bpe by the size of the data, 512 to 32,768; char as many as there are")), "tokens",
            "With method=scratch: the size of the vocabulary.";

        precision: Precision = Precision::Auto, Machine Simple, Kind::Choice(Precision::CHOICES), "",
            "The number format of frozen and compute weights.";
        threads: usize = 0, Machine Simple, integer(0, 4096, Auto("the cores this process may use")), "threads",
            "How many threads compute. Results do not depend on it.";
        instruction_set: InstructionSet = InstructionSet::Auto, Machine Expert, Kind::Choice(InstructionSet::CHOICES), "",
            "Which instructions of the processor are used.";
        micro_batch_tokens: usize = 0, Machine Expert, integer(0, 268_435_456, Auto("as many as fit the memory plan")), "tokens",
            "Most tokens computed at once; a batch with more is accumulated in parts.";
        recompute: Recompute = Recompute::Auto, Machine Expert, Kind::Choice(Recompute::CHOICES), "",
            "Whether activations are kept for the backward pass or computed again.";
    }

    /// Settings of adapters (`lora.*`).
    section LoraRecipe at [lora] prefix "lora."
    fields {
        rank: usize = 16, Adapter Simple, integer(1, 65_536, Plain), "",
            "Width of the adapter: more can learn more, and costs more.";
        alpha: f64 = 32.0, Adapter Simple, number(0.0, 1e6, Plain), "",
            "Strength of the adapter; it is multiplied by alpha / rank.";
        dropout: f64 = 0.0, Adapter Expert, number(0.0, 0.99, Plain), "",
            "Share of the adapter's inputs dropped while training.";
        targets: Vec<String> = vec!["all-linear".to_owned()], Adapter Expert, Kind::List(','), "",
            "Which layers get an adapter: all-linear, or names such as q_proj,v_proj.";
        rslora: bool = false, Adapter Expert, Switch, "",
            "Multiply by alpha / √rank instead (rank-stabilised).";
        dora: bool = false, Adapter Expert, Switch, "",
            "Train the length of each output's weights apart from their direction (DoRA).";
        modules_to_save: Vec<String> = Vec::new(), Adapter Expert, Kind::List(','), "",
            "Modules trained in full beside the adapter and saved with it, such as embed_tokens,lm_head. A tied embedding and head are one, by either name.";
    }

    /// Shape of a new model (`model.*`), used by `method=scratch`.
    section ShapeRecipe at [shape] prefix "model."
    fields {
        family: String = "llama".to_owned(), Shape Expert, Text, "",
            "Kind of model: any supported model_type, such as llama, qwen3 or gpt2.";
        layers: usize = 6, Shape Simple, integer(1, 65_536, Plain), "layers",
            "How many layers.";
        heads: usize = 6, Shape Simple, integer(1, 65_536, Plain), "heads",
            "Attention heads a layer.";
        kv_heads: usize = 0, Shape Expert, integer(0, 65_536, Auto("as many as heads")), "heads",
            "Heads of keys and values; fewer make a smaller cache.";
        width: usize = 384, Shape Simple, integer(1, 1_048_576, Plain), "",
            "Width of the residual stream; a multiple of heads.";
        hidden: usize = 0, Shape Expert, integer(0, 16_777_216, Auto("8/3 of the width where gated, else 4 times it")), "",
            "Width inside the feed-forward part.";
        context: usize = 256, Shape Simple, integer(1, 16_777_216, Plain), "tokens",
            "Longest text the model sees at once.";
    }

    /// Which columns of the data hold what (`columns.*`); empty recognises them.
    section ColumnsRecipe at [columns] prefix "columns."
    fields {
        prompt: String = String::new(), Data Expert, Text, "",
            "Column with what the user says; empty recognises the format.";
        response: String = String::new(), Data Expert, Text, "",
            "Column with the answer; empty recognises the format.";
        text: String = String::new(), Data Expert, Text, "",
            "Column with plain text; empty recognises the format.";
        system: String = String::new(), Data Expert, Text, "",
            "Column with the system message; empty recognises the format.";
    }
}
