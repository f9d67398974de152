//! Run folders, event logs, locks, worker processes and resume; the only writer of run state.
