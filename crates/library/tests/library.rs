//! Listing, describing and finding models in folders made here.

use std::fs;
use std::path::Path;

use apertis_library::{LibraryError, ModelKind, Places, describe, find, list};

/// A safetensors file of one tensor with this shape.
fn safetensors(shape: &str) -> Vec<u8> {
    let header = format!("{{\"__metadata__\":{{}},\"w\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,0]}}}}");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes
}

fn model(path: &Path, files: &[(&str, &[u8])]) {
    fs::create_dir_all(path).unwrap();
    for (name, bytes) in files {
        fs::write(path.join(name), bytes).unwrap();
    }
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let config: &[u8] = b"{\"model_type\":\"llama\"}";
    let weights = safetensors("[4,10]");
    model(&home.path().join("models/tiny"), &[("config.json", config), ("model.safetensors", &weights), ("tokenizer.json", b"{}")]);
    model(
        &home.path().join("models/owner/sharded"),
        &[("config.json", config), ("model-00001-of-00002.safetensors", &weights), ("model-00002-of-00002.safetensors", &weights)],
    );
    model(
        &home.path().join("models/tune"),
        &[
            ("adapter_config.json", b"{\"base_model_name_or_path\":\"tiny\"}"),
            ("adapter_model.safetensors", &safetensors("[3]")),
            ("optimizer.safetensors", &safetensors("[300]")),
        ],
    );
    fs::create_dir_all(home.path().join("models/empty")).unwrap();
    for step in ["step-000010", "step-000020"] {
        model(
            &home.path().join("runs/lora-1/checkpoints").join(step),
            &[("adapter_config.json", b"{}"), ("adapter_model.safetensors", &safetensors("[3]"))],
        );
    }
    fs::create_dir_all(home.path().join("runs/young/checkpoints")).unwrap();
    home
}

#[test]
fn models_and_adapters_are_listed() {
    let home = home();
    let entries = list(&home.path().join("models")).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["owner/sharded", "tiny", "tune"]);
    let parameters: Vec<_> = entries.iter().map(|entry| entry.parameters).collect();
    assert_eq!(parameters, [Some(80), Some(40), Some(3)], "training state does not count");
    assert_eq!((entries[1].kind, entries[1].family.as_str()), (ModelKind::Model, "llama"));
    assert!(entries[1].has_tokenizer && !entries[0].has_tokenizer);
    assert_eq!((entries[2].kind, entries[2].base.as_deref()), (ModelKind::Adapter, Some("tiny")));
    assert!(list(&home.path().join("missing")).unwrap().is_empty());
}

#[test]
fn names_are_found_where_people_expect_them() {
    let home = home();
    let (models, runs) = (home.path().join("models"), home.path().join("runs"));
    let places = Places { models: &models, runs: &runs };
    let checkpoints = runs.join("lora-1/checkpoints");
    let check = |name: &str, expected: &Path| {
        let found = find(places, name).unwrap();
        assert_eq!(found.canonicalize().unwrap(), expected.canonicalize().unwrap(), "{name}");
    };
    check("tiny", &models.join("tiny"));
    check("owner/sharded", &models.join("owner/sharded"));
    check(models.join("tune").to_str().unwrap(), &models.join("tune"));
    check("lora-1:20", &checkpoints.join("step-000020"));

    let error = |name: &str| find(places, name).unwrap_err();
    assert!(matches!(error("lora-1"), LibraryError::NoCheckpoint { .. }), "no link yet");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("step-000020", checkpoints.join("last")).unwrap();
        check("lora-1", &checkpoints.join("step-000020"));
        std::os::unix::fs::symlink("step-000010", checkpoints.join("best")).unwrap();
        check("lora-1", &checkpoints.join("step-000010"));
        check("lora-1:last", &checkpoints.join("step-000020"));
        check(runs.join("lora-1").to_str().unwrap(), &checkpoints.join("step-000010"));
    }
    assert_eq!(error("young").to_string(), "find model: run `young` has no checkpoint `best`");
    assert_eq!(error("lora-1:30").to_string(), "find model: run `lora-1` has no checkpoint `30`");
    assert_eq!(error("tinny").hint().unwrap(), "did you mean `tiny`?");
    assert!(matches!(error(""), LibraryError::NotFound { .. }));
    let empty = error(models.join("empty").to_str().unwrap());
    assert!(matches!(empty, LibraryError::NotModel { .. }));
}

#[test]
fn headers_that_lie_are_errors() {
    let home = home();
    let path = home.path().join("models/tiny");
    let check = |bytes: &[u8], message: &str| {
        fs::write(path.join("model.safetensors"), bytes).unwrap();
        let error = describe(&path).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    };
    check(&safetensors("[true]"), "a tensor's shape is not one");
    check(b"", "failed to fill whole buffer");
    check(&u64::MAX.to_le_bytes(), "its header is longer than the file");
    check(&[&4_u64.to_le_bytes()[..], b"nope"].concat(), "its header is not JSON");
    check(&safetensors("[-1]"), "a tensor's shape is not one");
    check(&safetensors("[4294967296,4294967296]"), "a tensor's shape is not one");
    check(&safetensors("null"), "a tensor has no shape");
    let entries = list(&home.path().join("models")).unwrap();
    let problem = entries[1].problem.as_deref().unwrap();
    assert!(problem.ends_with("a tensor has no shape"), "listed, with the reason");
}
