//! Tiny models, tiny corpora and folders for tests; a dev-dependency only.
