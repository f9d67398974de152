//! Random texts that nobody can guess.

/// `BYTES` random bytes in hexadecimal digits.
pub(crate) fn hex<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
