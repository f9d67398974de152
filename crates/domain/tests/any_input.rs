//! Texts that nobody meant as recipes or events: an error or a value, never a panic.

use apertis_domain::recipe::fields;
use apertis_domain::{Event, Recipe, RunName};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_argument_is_read_or_refused(argument in ".{0,60}") {
        let _ = Recipe::from_sources(None, &[argument]);
    }

    #[test]
    fn any_value_of_any_field_is_read_or_refused(index in 0..fields().len(), value in ".{0,40}") {
        let name = fields()[index].name;
        match Recipe::from_sources(None, &[format!("{name}={value}")]) {
            Ok((recipe, _)) => {
                // What was accepted is written and read back.
                let text = recipe.to_toml();
                let (again, _) = Recipe::from_sources::<&str>(Some(&text), &[]).unwrap();
                prop_assert_eq!(again, recipe);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_number_of_any_field_is_read_or_refused(index in 0..fields().len(), value in any::<f64>()) {
        let name = fields()[index].name;
        if let Ok((recipe, _)) = Recipe::from_sources(None, &[format!("{name}={value:?}")]) {
            let text = recipe.to_toml();
            let (again, _) = Recipe::from_sources::<&str>(Some(&text), &[]).unwrap();
            prop_assert_eq!(again, recipe);
        }
    }

    #[test]
    fn any_file_is_read_or_refused(text in "[a-z_.\\[\\]=\"0-9\n# -]{0,120}") {
        let _ = Recipe::from_sources::<&str>(Some(&text), &[]);
    }

    #[test]
    fn any_line_is_an_event_or_none(text in ".{0,200}") {
        let _ = Event::from_line(&text);
        let line = format!("{{\"v\":1,\"seq\":1,\"attempt\":1,\"step\":1,\"at\":\"\",\"elapsed_ms\":1,\"kind\":{}}}",
            serde_json::Value::String(text));
        let event = Event::from_line(&line).unwrap();
        prop_assert_eq!(Event::from_line(&event.to_line()).unwrap(), event);
    }

    #[test]
    fn a_run_name_is_one_folder(text in ".{0,20}") {
        if let Ok(name) = text.parse::<RunName>() {
            let path = std::path::Path::new(name.as_str());
            prop_assert_eq!(path.components().count(), 1);
            prop_assert_eq!(path.file_name().and_then(|part| part.to_str()), Some(name.as_str()));
        }
    }
}
