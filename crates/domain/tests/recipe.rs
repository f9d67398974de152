//! Recipes from arguments and files, their errors, and the pages made of the catalogue.

use std::path::Path;

use apertis_domain::recipe::{Kind, Method, Schedule, Source, Value, field, fields, json_schema, nearest, reference_markdown};
use apertis_domain::{Recipe, RecipeError};

fn recipe(arguments: &[&str]) -> Result<Recipe, RecipeError> {
    Recipe::from_sources(None, arguments).map(|(recipe, _)| recipe)
}

#[test]
fn defaults_are_the_documented_set() {
    let recipe = Recipe::default();
    assert_eq!(recipe.method, Method::Lora);
    assert_eq!((recipe.lora.rank, recipe.lora.alpha), (16, 32.0));
    assert_eq!(recipe.lora.targets, ["all-linear"]);
    assert_eq!(recipe.epochs, 3.0);
    assert_eq!(recipe.batch_size, 8);
    assert_eq!((recipe.schedule, recipe.warmup_ratio), (Schedule::Cosine, 0.03));
    assert_eq!(recipe.max_grad_norm, 1.0);
    assert_eq!((recipe.adam_beta1, recipe.adam_beta2, recipe.adam_epsilon), (0.9, 0.999, 1e-8));
    assert_eq!((recipe.weight_decay, recipe.eval_fraction), (0.0, 0.05));
    assert_eq!((recipe.patience, recipe.seed), (3, 42));
    let rate = |method| Recipe { method, ..Recipe::default() }.learning_rate_for(1_000_000);
    assert_eq!((rate(Method::Lora), rate(Method::Full)), (2e-4, 2e-5));
    assert!((rate(Method::Scratch) - 1.31e-3).abs() < 1e-5);
}

#[test]
fn every_field_survives_text_toml_and_json() {
    // A value unlike the default for each field, so that a table entry wired to the wrong
    // struct member shows.
    let mut changed = Recipe::default();
    for (index, field) in fields().iter().enumerate() {
        let value = match field.kind {
            Kind::Text | Kind::Path => Value::Text(format!("it's \"{index}\" # \\ é")),
            Kind::Switch => match field.default_value() {
                Value::Switch(switch) => Value::Switch(!switch),
                _ => unreachable!(),
            },
            Kind::Integer { min, .. } => Value::Integer(min + 1000 + index as i64),
            Kind::Number { min, max, .. } => Value::Number(min + (max.min(1.0) - min) * (0.1 + index as f64 / 100.0)),
            Kind::Choice(choices) => Value::Text(choices[choices.len() - 1].name.to_owned()),
            Kind::List(_) => Value::List(vec![format!("a {index}"), "b".to_owned()]),
        };
        changed.set(field.name, value.clone()).unwrap();
        assert_eq!(changed.get(field.name), Some(value), "{}", field.name);
    }
    assert_eq!(changed.difference(&Recipe::default()).len(), fields().len());

    let mut from_toml = Recipe::default();
    let names = from_toml.apply_toml(&changed.to_toml()).unwrap();
    assert_eq!(names.len(), fields().len(), "every field is written");
    assert_eq!(from_toml, changed);

    let mut from_json = Recipe::default();
    from_json.apply_json(&changed.to_json()).unwrap();
    assert_eq!(from_json, changed);

    for (field, value) in changed.values() {
        let text = match &value {
            Value::List(list) => serde_json::to_string(list).unwrap(),
            other => other.to_string(),
        };
        assert_eq!(field.parse(&text).unwrap(), value, "{}", field.name);
    }
}

#[test]
fn later_sources_win() {
    let file = "epochs = 5\nlora.rank = 4\nbatch_size = 2\n";
    let (recipe, given) = Recipe::from_sources(Some(file), &["epochs=7"]).unwrap();
    assert_eq!((recipe.epochs, recipe.lora.rank, recipe.batch_size), (7.0, 4, 2));
    assert_eq!(given.source("epochs"), Source::Argument);
    assert_eq!(given.source("lora.rank"), Source::File);
    assert_eq!(given.source("seed"), Source::Default);
    assert_eq!(given.names().collect::<Vec<_>>(), ["batch_size", "epochs", "lora.rank"]);
}

#[test]
fn tables_dotted_and_quoted_keys_are_the_same() {
    let check = |file: &str, arguments: &[&str]| {
        let (from_file, _) = Recipe::from_sources::<&str>(Some(file), &[]).unwrap();
        assert_eq!(from_file, recipe(arguments).unwrap(), "{file}");
    };
    check("[lora]\nrank = 8\ntargets = [\"q_proj\"]", &["lora.rank=8", "lora.targets=q_proj"]);
    check("lora.rank = 8", &["lora.rank=8"]);
    check("[model]\npath = \"m\"\nlayers = 2", &["model=m", "model.layers=2"]);
    check("model = \"m\"\n\"model.layers\" = 2", &["model=m", "model.layers=2"]);
    check("[columns]\nprompt = \"q\"", &["columns.prompt=q"]);
    check("learning_rate = \"auto\"\nmax_steps = \"off\"", &[]);
    check("lora.targets = \"q_proj,v_proj\"", &["lora.targets=[\"q_proj\", \"v_proj\"]"]);
}

#[test]
fn texts_are_read_as_people_write_them() {
    let check = |argument: &str, value: Value| {
        let (name, _) = argument.split_once('=').unwrap();
        assert_eq!(recipe(&[argument]).unwrap().get(name), Some(value), "{argument}");
    };
    check("epochs=0.5", Value::Number(0.5));
    check("max_steps=1e3", Value::Integer(1000));
    check("max_steps=10_000", Value::Integer(10_000));
    check("max_length=auto", Value::Integer(0));
    check("warmup_steps=AUTO", Value::Text("auto".to_owned()));
    check("warmup_steps=0", Value::Integer(0));
    check("patience=off", Value::Integer(0));
    check("packing=no", Value::Switch(false));
    check("shuffle=1", Value::Switch(true));
    check("learning_rate=2e-4", Value::Number(2e-4));
    check("schedule=wsd", Value::Text("wsd".to_owned()));
    check("data=a=b.jsonl", Value::Text("a=b.jsonl".to_owned()));
    check("sample_prompts=Hi, there", Value::List(vec!["Hi, there".to_owned()]));
}

#[test]
fn errors_say_what_was_expected_and_what_was_meant() {
    let check = |argument: &str, message: &str, hint: &str| {
        let error = recipe(&[argument]).unwrap_err();
        assert_eq!(error.to_string(), format!("recipe: {message}"), "{argument}");
        assert_eq!(error.hint().unwrap_or_default(), hint, "{argument}");
    };
    check("epoch=3", "there is no field `epoch`", "did you mean `epochs`?");
    check("learning-rate=1", "there is no field `learning-rate`", "did you mean `learning_rate`?");
    check("rank=3", "there is no field `rank`", "did you mean `lora.rank`?");
    check("zzzzzzzz=3", "there is no field `zzzzzzzz`", "`apertis train --help` lists every field");
    check("epochs", "expected key=value, found `epochs`", "did you mean epochs=…?");
    check("method=qlora", "`method` is one of scratch, continue, full, lora, freeze, found `qlora`", "did you mean method=lora?");
    check("epochs=three", "`epochs` expects a number from 0.0 to 100000.0, found `three`", "");
    check("batch_size=0", "`batch_size` must be from 1 to 1048576, found 0", "");
    check("lora.rank=1.5", "`lora.rank` expects a whole number from 1 to 65536, found a number (1.5)", "");
    check("packing=maybe", "`packing` expects true or false, found `maybe`", "");
    check("learning_rate=nan", "`learning_rate` expects a number from 0.0 to 10.0, or auto, found `nan`", "");
    check("max_steps=-1", "`max_steps` must be at least 0, found -1", "");

    let file = |text: &str, message: &str| {
        let error = Recipe::from_sources::<&str>(Some(text), &[]).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    };
    file("epochs = true", "recipe: `epochs` expects a number from 0.0 to 100000.0, found true or false (true)");
    file("shuffle = \"yes please\"", "recipe: `shuffle` expects true or false, found `yes please`");
    file("lora.targets = [1]", "recipe: `lora.targets` expects a list of texts, found a list with 1");
    file("[lora]\nrnak = 1", "recipe: there is no field `lora.rnak`");
    let broken = Recipe::from_sources::<&str>(Some("epochs = 1\nseed = = 2\n"), &[]).unwrap_err();
    assert!(broken.to_string().starts_with("recipe file, line 2: "), "{broken}");
}

#[test]
fn fields_must_fit_each_other() {
    let check = |arguments: &[&str], message: &str| {
        let error = recipe(arguments).unwrap().check().unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().is_some(), "{error}");
    };
    check(&["model=m"], "`data` is missing");
    check(&["data=d"], "`model` is missing; method=lora needs it");
    check(&["data=d", "method=scratch", "model=m"], "makes a new model");
    check(&["data=d", "method=full", "model=m", "adapter=a"], "adapter");
    check(&["data=d", "model=m", "epochs=0"], "nothing would be trained");
    check(&["data=d", "method=scratch", "model.width=100", "model.heads=3"], "not a multiple");
    check(&["data=d", "method=scratch", "max_length=999"], "longer than model.context");
    recipe(&["data=d", "method=scratch"]).unwrap().check().unwrap();
    recipe(&["data=d", "model=m"]).unwrap().check().unwrap();
}

#[test]
fn automatic_numbers_follow_their_rules() {
    let recipe = Recipe::default();
    let rows = |rows| recipe.eval_rows_of(rows);
    assert_eq!((rows(0), rows(1), rows(2), rows(10)), (0, 0, 1, 1));
    assert_eq!((rows(200), rows(1_000_000)), (10, 1000));
    assert_eq!(Recipe { eval_fraction: 0.0, ..Recipe::default() }.eval_rows_of(100), 0);
    assert_eq!((recipe.warmup_steps_of(100), recipe.warmup_steps_of(10)), (3, 1));
    assert_eq!((recipe.eval_steps_of(5), recipe.eval_steps_of(109)), (1, 10));
}

#[test]
fn no_warmup_is_not_automatic_warmup() {
    let none = Recipe { warmup_steps: Some(0), ..Recipe::default() };
    assert_eq!((none.warmup_steps_of(100), Recipe::default().warmup_steps_of(100)), (0, 3));
}

#[test]
fn the_command_repeats_the_recipe() {
    let arguments = ["model=my model", "data=d.jsonl", "lora.rank=8", "learning_rate=2e-5"];
    let command = recipe(&arguments).unwrap().to_command();
    assert_eq!(command, "apertis train model='my model' data=d.jsonl learning_rate=2e-5 lora.rank=8");
}

#[test]
fn nearest_keeps_to_what_could_be_meant() {
    assert_eq!(nearest("lr"), None);
    assert_eq!(nearest("warmup_step"), Some("warmup_steps"));
    assert_eq!(nearest("layers"), Some("model.layers"));
}

#[test]
fn the_schema_has_every_field() {
    let schema = json_schema();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), fields().len());
    assert_eq!(properties["method"]["enum"][0], "scratch");
    assert_eq!(properties["lora.rank"]["minimum"], 1);
    assert_eq!(properties["seed"]["default"], 42);
    assert!(field("lora.rank").is_some() && field("rank").is_none());
}

/// Set `APERTIS_UPDATE=1` to write the page anew.
#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/recipe.md");
    let page = reference_markdown();
    if std::env::var_os("APERTIS_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    assert_eq!(written, page, "stale: APERTIS_UPDATE=1 cargo test -p apertis-domain");
}
