//! `apertis logits`: what a model says of some token ids, for checks against other programs.

use std::process::ExitCode;

use apertis_model::KvCache;
use apertis_model::decoder::{Arena, Batch};
use apertis_runs::Home;
use serde_json::json;

use crate::arguments::LogitsArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{model, settings};

pub(crate) fn run(arguments: &LogitsArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut ids: Vec<u32> = Vec::new();
    let mut decode = false;
    let mut rest = Vec::new();
    for assignment in &arguments.assignments {
        match assignment.split_once('=') {
            Some(("ids", list)) => ids = parse_ids(list)?,
            Some(("decode", word)) => {
                decode = word.parse().map_err(|_| Failure::usage(format!("decode: found {word:?}, expected true or false")))?;
            }
            _ => rest.push(assignment.clone()),
        }
    }
    let (recipe, _) = settings::recipe(&rest)?;
    if ids.is_empty() {
        return Err(Failure::usage("ids: is missing").hint("Give token ids: ids=1,2,3"));
    }
    let opened = model::open(&recipe, home)?;
    let decoder = &opened.decoder;
    let adapter = opened.adapter.as_ref();
    let vocabulary = decoder.spec().vocabulary;
    let mut arena = Arena::new(&opened.machine.backend, decoder.logits_bytes(ids.len(), ids.len(), adapter) + (1 << 20))?;
    let values = if decode {
        let mut cache = KvCache::new(&opened.machine.backend, decoder.spec(), 1, ids.len(), decoder.weights().dtype)?;
        let mut values = Vec::new();
        for (position, id) in ids.iter().enumerate() {
            let batch = Batch { positions: vec![position as u32], rotary_lengths: vec![ids.len()], ..Batch::from_rows(&[vec![*id]]) };
            values.extend(decoder.logits(&mut arena, &batch, &[0], adapter, Some(&mut cache))?);
        }
        values
    } else {
        let rows: Vec<u32> = (0..ids.len() as u32).collect();
        decoder.logits(&mut arena, &Batch::from_rows(std::slice::from_ref(&ids)), &rows, adapter, None)?
    };
    let rows: Vec<&[f32]> = values.chunks_exact(vocabulary).collect();
    for (id, row) in ids.iter().zip(&rows) {
        let mut best: Vec<usize> = (0..vocabulary).collect();
        best.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        let shown: Vec<String> = best.iter().take(5).map(|index| format!("{index} ({:.3})", row[*index])).collect();
        printer.line(format!("after {id}: {}", shown.join(", ")));
    }
    printer.json(&json!({ "logits": rows }));
    Ok(ExitCode::SUCCESS)
}

fn parse_ids(list: &str) -> Result<Vec<u32>, Failure> {
    list.split(',')
        .map(|word| word.trim().parse().map_err(|_| Failure::usage(format!("ids: found {word:?}, expected whole numbers"))))
        .collect()
}
