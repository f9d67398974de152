//! Models and adapters on disk: import, merge, list.
