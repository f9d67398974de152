//! Everything a developer runs: demo, test, check, bench, generate, tidy.

fn main() {}
