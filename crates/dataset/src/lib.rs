//! Files to conversations to token shards to packed batches, with a count for every row that is left out.
