//! The apertis program: arguments to settings to one function a command.

fn main() {}
