//! The catalogue of reasons for which a run fails: code, sentence, hint.

macro_rules! failures {
    ($( $variant:ident $code:literal $message:literal $hint:literal; )+) => {
        /// Why a run failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode {
            $( #[doc = $message] $variant, )+
        }

        impl FailureCode {
            /// Every code.
            pub const ALL: &'static [FailureCode] = &[ $( FailureCode::$variant, )+ ];

            /// The code as it stands in events.
            pub fn code(self) -> &'static str {
                match self { $( FailureCode::$variant => $code, )+ }
            }

            /// What happened, in general.
            pub fn message(self) -> &'static str {
                match self { $( FailureCode::$variant => $message, )+ }
            }

            /// What to try next.
            pub fn hint(self) -> &'static str {
                match self { $( FailureCode::$variant => $hint, )+ }
            }

            /// The code of an event; `None` for those of another version.
            pub fn from_code(code: &str) -> Option<FailureCode> {
                match code { $( $code => Some(FailureCode::$variant), )+ _ => None }
            }
        }
    };
}

failures! {
    RecipeInvalid "recipe_invalid"
        "The recipe cannot be used."
        "Correct the field that the message names; docs/reference/recipe.md lists all of them.";
    ModelMissing "model_missing"
        "The model was not found."
        "Check the path, or list the models of the home with `apertis list`.";
    ModelInvalid "model_invalid"
        "The model folder cannot be read."
        "Copy or download the model again; the message names the file.";
    ModelUnsupported "model_unsupported"
        "This kind of model is not supported."
        "The README lists the supported families.";
    TokenizerInvalid "tokenizer_invalid"
        "The tokenizer cannot be used with this model."
        "Take tokenizer.json from the same place as the weights.";
    TemplateInvalid "template_invalid"
        "The chat template cannot be used."
        "Set chat_template=chatml, or give a corrected template file.";
    DataMissing "data_missing"
        "The data was not found."
        "Check the path or the pattern in data=.";
    DataInvalid "data_invalid"
        "The data cannot be used."
        "Run `apertis data` on it to see what is wrong with which row.";
    DataEmpty "data_empty"
        "No row of the data can be used."
        "Run `apertis data` on it to see why each row was left out.";
    MemoryPlan "memory_plan"
        "The run would not fit into memory."
        "Try a smaller max_length, recompute=on, method=lora, or a smaller model.";
    OutOfMemory "out_of_memory"
        "The worker was killed because memory ran out, also with half the micro-batch."
        "Close other programs, or set a smaller micro_batch_tokens or recompute=on.";
    DiskFull "disk_full"
        "The disk is full."
        "Free some space and resume the run; the last checkpoint is good.";
    PermissionDenied "permission_denied"
        "A file or folder cannot be written."
        "Check its owner and permissions, or choose another place with --home.";
    CheckpointDamaged "checkpoint_damaged"
        "A checkpoint is not what was saved."
        "Resume from another checkpoint of the run, or start it again.";
    LossNotFinite "loss_not_finite"
        "The loss stopped being a number three times."
        "Lower learning_rate, or try precision=f32; the events name the rows.";
    LossSpike "loss_spike"
        "The loss jumped three times."
        "Lower learning_rate or max_grad_norm; the events name the rows.";
    WorkerKilled "worker_killed"
        "The worker was killed three times without a new checkpoint."
        "Find out what ends it (its worker.log may say), then resume the run.";
    PowerLost "power_lost"
        "The machine went off three times without a new checkpoint."
        "Set a smaller save_every, then resume the run.";
    Internal "internal"
        "The program made a mistake."
        "The run can be resumed from its last checkpoint; worker.log has the details.";
}

impl std::fmt::Display for FailureCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.code())
    }
}
