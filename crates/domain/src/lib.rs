//! Ids, the recipe catalogue, the run state machine and its events; no input or output.
