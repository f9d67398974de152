//! Puts documents together until the corpus has its size, and refuses those that mostly repeat
//! sentences that were already told.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};

use super::english::sentences;
use super::grammar::Teller;
use super::material::World;

const SEED: u64 = 1823;
const CORPUS_BYTES: usize = 2_600_000;
/// At most one sentence in this many of a document may have been told before.
const FRESH_PER_REPEATED: usize = 4;
/// Pages made of each record of a kind that has a page rule.
const PAGES: [(&str, usize); 14] = [
    ("boat", 10),
    ("care", 8),
    ("creature", 8),
    ("knot", 10),
    ("month", 16),
    ("place", 10),
    ("plant", 9),
    ("recipe", 14),
    ("sign", 6),
    ("task", 5),
    ("town", 8),
    ("tree", 7),
    ("unit", 5),
    ("word", 4),
];
/// Scenes fill the rest; the number is the weight.
const SCENES: [(&str, usize); 13] = [
    ("stories", 10),
    ("lost_story", 7),
    ("help_story", 9),
    ("friends", 9),
    ("letters", 12),
    ("dialogues", 14),
    ("diaries", 10),
    ("tidings", 12),
    ("market", 9),
    ("journeys", 8),
    ("suppers", 8),
    ("mixed", 14),
    ("poems", 2),
];

/// A scene retires after so many documents in a row that only repeat.
const PATIENCE: usize = 24;

struct Scene {
    rule: &'static str,
    weight: usize,
    bytes: usize,
    failures: usize,
}

/// The whole corpus, documents with an empty line between them, and how often each fact is told.
pub(super) fn corpus(world: &World) -> Result<(String, Vec<usize>)> {
    let mut teller = Teller::new(world, SEED);
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut whole: HashSet<String> = HashSet::new();
    let mut documents = Vec::new();
    let mut bytes = 0;

    for (kind, pages) in PAGES {
        let at = world.kind(kind).with_context(|| format!("compose: no kind `{kind}`"))?;
        let count = world.kinds[at].records.len();
        for page in 0..pages * count {
            let rule = format!("{{{kind}.page}}");
            let record = page % count;
            let document = best(&mut teller, &seen, |teller| {
                teller.bind(kind, at, record);
                teller.document(&rule)
            });
            keep(&mut teller, document, &mut seen, &mut whole, &mut documents, &mut bytes);
        }
    }
    let weights: usize = SCENES.iter().map(|(_, weight)| weight).sum();
    // The scene that is furthest below its share comes next; one that only repeats itself, or has
    // twice its share, retires.
    let mut scenes: Vec<Scene> = SCENES.iter().map(|(rule, weight)| Scene { rule, weight: *weight, bytes: 0, failures: 0 }).collect();
    while bytes < CORPUS_BYTES {
        scenes.retain(|scene| scene.failures < PATIENCE);
        let Some(scene) = scenes.iter_mut().min_by_key(|scene| scene.bytes * 100 / scene.weight) else {
            break;
        };
        let rule = format!("{{{}}}", scene.rule);
        let document = best(&mut teller, &seen, |teller| teller.document(&rule));
        let before = bytes;
        keep(&mut teller, document, &mut seen, &mut whole, &mut documents, &mut bytes);
        scene.bytes += bytes - before;
        scene.failures = if bytes == before { scene.failures + 1 } else { 0 };
        if scene.bytes * weights > 2 * scene.weight * CORPUS_BYTES {
            scene.failures = PATIENCE;
        }
    }
    teller.random.shuffle(&mut documents);
    let mut text = documents.join("\n\n");
    text.push('\n');
    Ok((text, teller.told.into_values().collect()))
}

/// The least repetitive of a few attempts; nothing when all of them repeat too much.
fn best<'w>(
    teller: &mut Teller<'w>,
    seen: &HashMap<String, usize>,
    mut make: impl FnMut(&mut Teller<'w>) -> Option<String>,
) -> Option<String> {
    for _ in 0..12 {
        let Some(text) = make(teller) else { continue };
        let all = sentences(&text);
        let repeated = all.iter().filter(|sentence| sentence.contains(' ') && seen.contains_key(**sentence)).count();
        if repeated * FRESH_PER_REPEATED <= all.len() {
            return Some(text);
        }
    }
    None
}

fn keep(
    teller: &mut Teller<'_>,
    document: Option<String>,
    seen: &mut HashMap<String, usize>,
    whole: &mut HashSet<String>,
    documents: &mut Vec<String>,
    bytes: &mut usize,
) {
    let Some(document) = document else { return };
    if !whole.insert(document.clone()) {
        return;
    }
    teller.keep();
    for sentence in sentences(&document) {
        *seen.entry(sentence.to_owned()).or_default() += 1;
    }
    *bytes += document.len() + 2;
    documents.push(document);
}
