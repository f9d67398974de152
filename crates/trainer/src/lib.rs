//! Loss, optimizers, schedules, evaluation, checkpoints and guards; emits events, prints nothing.
