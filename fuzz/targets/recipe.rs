//! Recipe files and arguments: `cargo xtask fuzz recipe`. The first line is an argument, the rest
//! a file; what is accepted is written and read back as it was.

#![no_main]

use apertis_domain::Recipe;
use apertis_fuzz::check_sentence;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (argument, file) = text.split_once('\n').unwrap_or((text, ""));
    let arguments: &[&str] = if argument.is_empty() { &[] } else { &[argument] };
    match Recipe::from_sources(Some(file), arguments) {
        Err(error) => {
            check_sentence(error.to_string().replace('\n', " "));
            let _ = error.hint();
        }
        Ok((recipe, _)) => {
            let (again, _) = Recipe::from_sources::<&str>(Some(&recipe.to_toml()), &[]).expect("it wrote this itself");
            assert_eq!(again, recipe);
        }
    }
});
