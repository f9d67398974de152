//! The decoder: layers that every family maps to, weights on disk, adapters, KV cache and sampling.
