//! Text to token ids and back, chat templates, and learning a vocabulary.
