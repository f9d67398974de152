//! The kinds of events with their fields. Adding a kind or a field is safe; renaming is not.
//!
//! Every struct has defaults for all of its fields, so that a line of an older version reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::number;

macro_rules! kinds {
    ($( $(#[$doc:meta])* $name:literal $kind:ident {
        $( $(#[$field_doc:meta])* $field:ident: $type:ty, )*
    } )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $kind {
                $( $(#[$field_doc])* pub $field: $type, )*
            }

            impl From<$kind> for EventKind {
                fn from(fields: $kind) -> EventKind {
                    EventKind::$kind(fields)
                }
            }
        )+

        /// What happened. The names on the wire are the variants in snake case.
        #[derive(Debug, Clone, PartialEq)]
        pub enum EventKind {
            $( $(#[$doc])* $kind($kind), )+
            /// A kind of another version, kept as it was.
            Other {
                /// Its name.
                name: String,
                /// Its fields.
                fields: Map<String, Value>,
            },
        }

        impl EventKind {
            /// Every name this version knows.
            pub const NAMES: &'static [&'static str] = &[ $( $name, )+ ];

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $( EventKind::$kind(_) => $name, )+
                    EventKind::Other { name, .. } => name,
                }
            }

            /// The kind and its fields as they stand in a line.
            pub(super) fn to_fields(&self) -> Map<String, Value> {
                let mut line = Map::new();
                line.insert("kind".into(), self.name().into());
                match self {
                    $( EventKind::$kind(fields) => line.extend(object(fields)), )+
                    EventKind::Other { fields, .. } => line.extend(fields.clone()),
                }
                line
            }

            /// Reads the fields of a kind; what it does not know comes back beside it.
            pub(super) fn from_fields(
                name: String,
                fields: Map<String, Value>,
            ) -> (EventKind, Map<String, Value>) {
                match name.as_str() {
                    $( $name => {
                        let whole = Value::Object(fields);
                        let known = $kind::deserialize(&whole);
                        let Value::Object(mut fields) = whole else {
                            unreachable!("it was made of a map")
                        };
                        match known {
                            Ok(known) => {
                                const NAMES: &[&str] = &[ $( stringify!($field), )* ];
                                fields.retain(|name, _| !NAMES.contains(&name.as_str()));
                                (EventKind::$kind(known), fields)
                            }
                            Err(_) => (EventKind::Other { name, fields }, Map::new()),
                        }
                    } )+
                    _ => (EventKind::Other { name, fields }, Map::new()),
                }
            }
        }
    };
}

fn object(fields: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(fields) {
        Ok(Value::Object(fields)) => fields,
        _ => unreachable!("event structs serialise as objects"),
    }
}

/// Bytes that one part of the memory plan takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryPart {
    /// What it is for: weights, optimizer, activations, …
    pub component: String,
    /// How much.
    pub bytes: u64,
}

/// How many rows had a reason, with the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReasonCount {
    /// How many.
    pub count: u64,
    /// Row numbers of the first ones, counted from 0.
    pub rows: Vec<u64>,
    /// One sentence about the first one.
    pub example: String,
}

kinds! {
    /// A worker waits for the device.
    "run_queued" RunQueued {
        /// The device slot it waits for.
        device: String,
        /// How many workers stand before it, the running one included.
        position: u64,
    }

    /// The first attempt began.
    "run_started" RunStarted {
        /// Name of the run.
        run: String,
        /// The recipe's method.
        method: String,
        /// The recipe's model.
        model: String,
        /// The recipe's data.
        data: String,
        /// Version of the program.
        version: String,
        /// Host name.
        host: String,
        /// Process id, for people.
        pid: u32,
    }

    /// A later attempt goes on from a checkpoint. Supersedes earlier points of later steps.
    "run_resumed" RunResumed {
        /// Step of the checkpoint; 0 where there is none.
        from_step: u64,
        /// Why the attempt before ended: signal, memory, power, stopped, finished, …
        cause: String,
        /// Whether nobody asked for it.
        automatic: bool,
        /// Version of the program.
        version: String,
        /// Set where that differs from the version before: numbers may differ from here on.
        version_before: String,
        /// Host name.
        host: String,
        /// Process id, for people.
        pid: u32,
    }

    /// The trainer went back to a good state. Supersedes earlier points of later steps.
    "run_rewound" RunRewound {
        /// Where it went on from.
        to_step: u64,
        /// Why: not_finite or loss_spike.
        reason: String,
        /// Rows of the batch that did it.
        rows: Vec<u64>,
    }

    /// The log's last line had no end, and was cut.
    "log_repaired" LogRepaired {
        /// How many bytes were cut.
        cut_bytes: u64,
    }

    /// A checkpoint is not what was saved, and was put aside.
    "checkpoint_damaged" CheckpointDamaged {
        /// Which, and what differs.
        message: String,
    }

    /// The run does something else now.
    "phase_entered" PhaseEntered {
        /// preparing, training, evaluating or saving.
        phase: String,
    }

    /// The data was read and checked.
    "data_checked" DataChecked {
        /// Rows found.
        rows: u64,
        /// Rows trained on.
        train_rows: u64,
        /// Rows held out.
        eval_rows: u64,
        /// Tokens of the rows trained on.
        tokens: u64,
        /// Of these, tokens that are targets.
        target_tokens: u64,
        /// Recognised format.
        format: String,
        /// Rows left out, by reason.
        dropped: BTreeMap<String, ReasonCount>,
        /// Rows kept but changed (cut, split), by reason.
        changed: BTreeMap<String, ReasonCount>,
    }

    /// What is about to be computed, and what it takes.
    "plan_made" PlanMade {
        /// Optimizer steps of the whole run.
        total_steps: u64,
        /// Passes through the data.
        epochs: f64,
        /// Rows an optimizer step.
        batch_size: u64,
        /// Parameters of the model.
        parameters: u64,
        /// Of these, parameters that are trained.
        trainable_parameters: u64,
        /// Longest row in tokens.
        max_length: u64,
        /// Highest learning rate.
        learning_rate: f64,
        /// Steps of the warmup.
        warmup_steps: u64,
        /// Steps between evaluations.
        eval_steps: u64,
        /// Steps between checkpoints.
        save_every: u64,
        /// Most tokens computed at once.
        micro_batch_tokens: u64,
        /// Whether activations are computed again in the backward pass.
        recompute: bool,
        /// Number format.
        precision: String,
        /// Instructions used.
        instruction_set: String,
        /// Threads used.
        threads: u64,
        /// Bytes by component.
        memory: Vec<MemoryPart>,
        /// Their sum.
        memory_bytes: u64,
        /// What this process may use.
        memory_limit_bytes: u64,
        /// Bytes the checkpoints will take.
        disk_bytes: u64,
    }

    /// One optimizer step.
    "step_finished" StepFinished {
        /// Mean negative log-likelihood a target token, before the update.
        #[serde(with = "number")]
        loss: f64,
        /// Learning rate of the update.
        #[serde(with = "number")]
        learning_rate: f64,
        /// Length of all gradients together, before clipping.
        #[serde(with = "number")]
        grad_norm: f64,
        /// Real tokens computed.
        tokens: u64,
        /// Of these, targets.
        target_tokens: u64,
        /// Rows in the batch.
        rows: u64,
        /// Passes through the data so far.
        epoch: f64,
        /// Real tokens a second, of this step.
        #[serde(with = "number")]
        tokens_per_second: f64,
        /// Time of the step.
        step_ms: f64,
    }

    /// The held-out rows were evaluated.
    "evaluated" Evaluated {
        /// Mean negative log-likelihood a target token.
        #[serde(with = "number")]
        loss: f64,
        /// Share of target tokens predicted first.
        #[serde(with = "number")]
        accuracy: f64,
        /// Lower end of the 95% interval of the loss; equal to it where unknown.
        #[serde(with = "number")]
        loss_low: f64,
        /// Upper end.
        #[serde(with = "number")]
        loss_high: f64,
        /// Rows evaluated.
        rows: u64,
        /// Their target tokens.
        tokens: u64,
        /// Whether it is the best so far.
        best: bool,
        /// Time it took.
        duration_ms: f64,
    }

    /// A checkpoint is whole on disk.
    "checkpoint_saved" CheckpointSaved {
        /// Its folder, relative to the run's.
        path: String,
        /// Its size.
        bytes: u64,
        /// Whether `best` points to it.
        best: bool,
        /// Whether `last` points to it.
        last: bool,
        /// Time it took.
        duration_ms: f64,
    }

    /// A fixed prompt was answered.
    "sampled" Sampled {
        /// Which prompt, from 0.
        index: u64,
        /// The prompt.
        prompt: String,
        /// The answer.
        text: String,
        /// What the data says, where it is a held-out row.
        reference: String,
        /// Tokens of the answer.
        tokens: u64,
        /// Why it ended: stop, length, …
        finish_reason: String,
    }

    /// A batch is left out from here on, also when the run is resumed.
    "batch_skipped" BatchSkipped {
        /// The step whose batch it is.
        batch_step: u64,
        /// Its rows.
        rows: Vec<u64>,
        /// Why.
        reason: String,
    }

    /// The rest of the schedule was planned again from this step.
    "schedule_replanned" ScheduleReplanned {
        /// Why: time_limit, extended, …
        reason: String,
        /// Steps of the whole run now.
        total_steps: u64,
        /// Passes through the data now.
        epochs: f64,
        /// Steps between evaluations now; 0 for none, and in logs of earlier versions.
        eval_steps: u64,
    }

    /// Somebody changed the highest learning rate from this step.
    "learning_rate_changed" LearningRateChanged {
        /// Before.
        from: f64,
        /// After.
        to: f64,
    }

    /// Somebody asked for an evaluation at this step.
    "evaluation_asked" EvaluationAsked {
        /// asked.
        reason: String,
    }

    /// Somebody changed how often is evaluated from this step.
    "eval_steps_changed" EvalStepsChanged {
        /// Steps from one evaluation to the next before.
        from: u64,
        /// After.
        to: u64,
    }

    /// A request was carried out or refused.
    "command_answered" CommandAnswered {
        /// The request's id.
        id: String,
        /// What was asked.
        command: String,
        /// Whether it was carried out.
        accepted: bool,
        /// One sentence.
        message: String,
    }

    /// The run waits.
    "run_paused" RunPaused {
        /// asked or disk_full.
        reason: String,
    }

    /// The run goes on after waiting.
    "run_unpaused" RunUnpaused {
        /// How long it waited.
        paused_ms: u64,
    }

    /// From this step at most this many tokens are computed at once.
    "micro_batch_halved" MicroBatchHalved {
        /// Before.
        from_tokens: u64,
        /// After.
        to_tokens: u64,
        /// Why.
        reason: String,
    }

    /// Memory really used.
    "memory_measured" MemoryMeasured {
        /// Largest resident size of the worker, mapped pages included.
        peak_rss_bytes: u64,
        /// What the plan said.
        planned_bytes: u64,
    }

    /// The machine slept.
    "worker_slept" WorkerSlept {
        /// How long; not counted as working time.
        slept_ms: u64,
    }

    /// The run was asked to end, or reached its end, and is saving.
    "run_stopping" RunStopping {
        /// asked, asked_now, terminated, early_stop, …
        reason: String,
    }

    /// The run reached its end.
    "run_finished" RunFinished {
        /// completed, early_stop or time_limit.
        reason: String,
        /// Steps done.
        steps: u64,
        /// Step with the best evaluation.
        best_step: u64,
        /// Its loss.
        #[serde(with = "number")]
        best_eval_loss: f64,
        /// Loss of the last evaluation.
        #[serde(with = "number")]
        eval_loss: f64,
        /// Real tokens trained on.
        tokens: u64,
        /// Real tokens from the end of step 2.
        timed_tokens: u64,
        /// Seconds from the end of step 2, evaluation and saving excluded.
        timed_seconds: f64,
        /// Largest resident size of the worker.
        peak_rss_bytes: u64,
    }

    /// Somebody stopped the run; it can be resumed.
    "run_stopped" RunStopped {
        /// asked, asked_now or terminated.
        reason: String,
        /// Steps done.
        steps: u64,
        /// Step of the checkpoint a resume goes on from.
        saved_step: u64,
    }

    /// The run cannot go on.
    "run_failed" RunFailed {
        /// Code of the catalogue.
        code: String,
        /// One sentence: what happened.
        message: String,
        /// What to try next.
        hint: String,
    }
}
