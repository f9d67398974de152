//! The closed sets of words that some recipe fields take, each word with its meaning.

use super::value::{FieldValue, Value};

/// One word that a field accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The word as it is typed.
    pub name: &'static str,
    /// What choosing it does.
    pub meaning: &'static str,
}

macro_rules! choices {
    ($( $(#[$doc:meta])* $type:ident { $( $variant:ident $name:literal $meaning:literal, )+ } )+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $( #[doc = $meaning] $variant, )+
        }

        impl $type {
            /// Every word with its meaning, in the order of the reference page.
            pub const CHOICES: &'static [Choice] =
                &[ $( Choice { name: $name, meaning: $meaning }, )+ ];

            /// The word as it is typed.
            pub fn name(self) -> &'static str {
                match self { $( $type::$variant => $name, )+ }
            }

            /// The choice of that name.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $( $name => Some($type::$variant), )+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.name())
            }
        }

        impl FieldValue for $type {
            fn to_value(&self) -> Value {
                Value::Text(self.name().to_owned())
            }
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Text(name) => $type::from_name(&name),
                    _ => None,
                }
            }
        }
    )+ };
}

choices! {
    /// What is trained.
    Method {
        Scratch "scratch" "a new model from nothing, its vocabulary included",
        Continue "continue" "all weights, on plain text",
        Full "full" "all weights, on conversations",
        Lora "lora" "a small adapter beside the frozen model",
        Freeze "freeze" "only the last layers",
    }

    /// What happens to a conversation longer than `max_length`.
    TooLong {
        Cut "cut" "its end is left out, and counted",
        Skip "skip" "the whole row is left out, and counted",
        Split "split" "it becomes several rows",
        Stop "stop" "the run does not start",
    }

    /// What happens to a row that cannot be used.
    OnBadRow {
        Skip "skip" "it is left out, and counted with its reason",
        Stop "stop" "the run does not start",
    }

    /// Which turns of a conversation are learned.
    TrainOn {
        Assistant "assistant" "every assistant turn",
        Last "last" "the last assistant turn",
        All "all" "every token",
    }

    /// How the learning rate moves after the warmup.
    Schedule {
        Cosine "cosine" "half a cosine wave down",
        Linear "linear" "a straight line down",
        Constant "constant" "stays where it is",
        WarmupStableDecay "wsd" "stays, then falls over the last `decay_ratio` of the steps",
    }

    /// The rule that turns gradients into new weights.
    Optimizer {
        AdamW "adamw" "AdamW, states in f32",
        AdamW8Bit "adamw8bit" "AdamW, states in 8 bits: a quarter of the memory",
        Lion "lion" "Lion: one state; wants a learning rate 3 to 10 times smaller",
        Muon "muon" "Muon on matrices, AdamW on the rest",
    }

    /// The number format of frozen and compute weights.
    Precision {
        Auto "auto" "bf16 where the processor multiplies it, otherwise f32",
        Bf16 "bf16" "16-bit brain floats, sums in f32",
        F32 "f32" "32-bit floats throughout",
    }

    /// Which instructions of the processor are used.
    InstructionSet {
        Auto "auto" "the best that this processor has",
        Avx512Bf16 "avx512bf16" "AVX-512 with bf16 multiplication",
        Avx512 "avx512" "AVX-512 foundation",
        Avx2 "avx2" "AVX2 with fused multiply-add",
        Portable "portable" "fixed-width code that runs on any processor",
        Scalar "scalar" "the slow reference, for tests",
    }

    /// Whether activations are kept for the backward pass or computed again.
    Recompute {
        Auto "auto" "on when the plan would not fit in memory otherwise",
        On "on" "computed again: less memory, about a third more time",
        Off "off" "kept",
    }

    /// How `method=scratch` makes its vocabulary.
    TokenizerKind {
        Bpe "bpe" "byte-level pairs, learned from the data",
        Char "char" "one token a character",
    }
}
