//! Expands templates into text: `[one|two]` chooses, `{plant.sow}` reads a field of a record that
//! is bound on first use, `{plant2.sow}` of another one, `{plant.*}` says any fact of it, `{name}`
//! reads the record a sentence is about or expands the rule of that name, `{fact}` says the fact
//! that was told least so far, `//` starts a paragraph.

use std::collections::{BTreeMap, BTreeSet};

use super::english;
use super::material::World;
use super::random::Random;

/// So many facts are looked at when one of the least told is wanted.
const SAMPLE: usize = 500;
/// The share of fact sentences that somebody is quoted with.
const FRAMED_PERCENT: usize = 60;

/// A fact is one relation of one record: (kind, record, relation).
pub(super) type Fact = (usize, usize, usize);

/// Expands templates and remembers how often each fact was told.
pub(super) struct Teller<'w> {
    pub(super) world: &'w World,
    pub(super) random: Random,
    pub(super) told: BTreeMap<Fact, usize>,
    facts: Vec<Fact>,
    bound: BTreeMap<String, (usize, usize)>,
    told_now: Vec<Fact>,
    /// Values that were already read in this document, so that random picks differ.
    said: BTreeSet<String>,
}

impl<'w> Teller<'w> {
    pub(super) fn new(world: &'w World, seed: u64) -> Self {
        let mut told = BTreeMap::new();
        for (k, kind) in world.kinds.iter().enumerate() {
            for (r, relation) in kind.relations.iter().enumerate() {
                for record in 0..kind.records.len() {
                    if kind.holds(relation, record) {
                        told.insert((k, record, r), 0);
                    }
                }
            }
        }
        let facts = told.keys().copied().collect();
        let (bound, told_now, said) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Self { world, random: Random::new(seed), told, facts, bound, told_now, said }
    }

    /// Binds `variable` (a kind's name, perhaps with a digit) before a document is told.
    pub(super) fn bind(&mut self, variable: &str, kind: usize, record: usize) {
        self.bound.insert(variable.to_owned(), (kind, record));
    }

    /// One finished document from `template`, or nothing when a field it needs is missing.
    /// The facts it tells are counted only by [`Teller::keep`].
    pub(super) fn document(&mut self, template: &str) -> Option<String> {
        self.told_now.clear();
        self.said.clear();
        let text = self.expand(template, None).map(|text| tidy(&text));
        self.bound.clear();
        text
    }

    /// Counts the facts of the document told last; the least told ones come next.
    pub(super) fn keep(&mut self) {
        for fact in self.told_now.drain(..) {
            *self.told.entry(fact).or_default() += 1;
        }
    }

    /// A question or an answer about one fact: plain text of the given alternatives.
    pub(super) fn about(&mut self, template: &str, kind: usize, record: usize) -> Option<String> {
        self.bound.clear();
        self.said.clear();
        self.expand(template, Some((kind, record))).map(|text| tidy(&text))
    }

    fn expand(&mut self, template: &str, it: Option<(usize, usize)>) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['[', '{']) {
            text.push_str(&rest[..at]);
            let open = rest.as_bytes()[at];
            let close = closing(rest, at)?;
            let inside = &rest[at + 1..close];
            let expanded = if open == b'[' {
                let alternatives = alternatives(inside);
                let chosen = alternatives[self.random.below(alternatives.len())];
                self.expand(chosen, it)?
            } else {
                self.slot(inside, it)?
            };
            text.push_str(&expanded);
            rest = &rest[close + 1..];
        }
        text.push_str(rest);
        Some(text)
    }

    fn slot(&mut self, slot: &str, it: Option<(usize, usize)>) -> Option<String> {
        let (path, form) = slot.split_once(':').unwrap_or((slot, ""));
        let plain = form == "plain";
        if path == "fact" {
            return self.least_told(None, plain);
        }
        if let Some((low, high)) = path.split_once("..") {
            let number = self.random.between(low.parse().ok()?, high.parse().ok()?);
            return Some(if form == "words" { english::number_words(number) } else { number.to_string() });
        }
        let Some((variable, field)) = path.split_once('.') else {
            if let Some(it) = it
                && let Some(value) = self.field(it, path, form)
            {
                return self.expand(&value, Some(it));
            }
            return self.rule(path, it);
        };
        if let Some(known) = self.world.rules.get(path) {
            let known: &'w [String] = known;
            return self.any_of(known, it);
        }
        if field == "fact" {
            return self.least_told(self.world.kind(variable), plain);
        }
        let target = self.resolve(variable)?;
        if field == "*" {
            return self.tell(target, plain);
        }
        let value = self.field(target, field, form)?;
        self.expand(&value, Some(target))
    }

    fn rule(&mut self, name: &str, it: Option<(usize, usize)>) -> Option<String> {
        let world: &'w World = self.world;
        self.any_of(world.rules.get(name)?, it)
    }

    /// Tries alternatives in random order until one has all its fields.
    fn any_of(&mut self, alternatives: &[String], it: Option<(usize, usize)>) -> Option<String> {
        let start = self.random.below(alternatives.len());
        for attempt in 0..alternatives.len().min(6) {
            let template = &alternatives[(start + attempt * 7) % alternatives.len()];
            if let Some(text) = self.expand(template, it) {
                return Some(text);
            }
        }
        None
    }

    /// The record of a variable: bound before, or a random one that no other variable has.
    /// `any_plant` is another random one each time.
    fn resolve(&mut self, variable: &str) -> Option<(usize, usize)> {
        if let Some(kind) = variable.strip_prefix("any_") {
            let kind = self.world.kind(kind)?;
            return Some((kind, self.random.below(self.world.kinds[kind].records.len())));
        }
        if let Some(target) = self.bound.get(variable) {
            return Some(*target);
        }
        let kind = self.world.kind(variable.trim_end_matches(|c: char| c.is_ascii_digit()))?;
        let count = self.world.kinds[kind].records.len();
        let taken: Vec<usize> = self.bound.values().filter(|(k, _)| *k == kind).map(|(_, record)| *record).collect();
        if taken.len() >= count {
            return None;
        }
        let record = loop {
            let record = self.random.below(count);
            if !taken.contains(&record) {
                break record;
            }
        };
        self.bound.insert(variable.to_owned(), (kind, record));
        Some((kind, record))
    }

    fn field(&mut self, (kind, record): (usize, usize), field: &str, form: &str) -> Option<String> {
        let values = self.world.kinds[kind].records[record].all(field);
        if values.is_empty() {
            return None;
        }
        Some(match form {
            "list" => english::list(values),
            "sentences" => values.join(" "),
            "first" => values[0].clone(),
            "last" => values[values.len() - 1].clone(),
            "pick" => {
                let fresh: Vec<&String> = values.iter().filter(|v| !self.said.contains(*v)).collect();
                let value = if fresh.is_empty() { self.random.pick(values).clone() } else { (*self.random.pick(&fresh)).clone() };
                self.said.insert(value.clone());
                value
            }
            "cap" => english::capital(&values[0]),
            "an" => format!("a(n) {}", values[0]),
            _ => values[self.random.below(values.len())].clone(),
        })
    }

    /// One sentence about a record, of the relation told least.
    fn tell(&mut self, (kind, record): (usize, usize), plain: bool) -> Option<String> {
        let candidates: Vec<Fact> = (0..self.world.kinds[kind].relations.len())
            .map(|relation| (kind, record, relation))
            .filter(|fact| self.told.contains_key(fact))
            .collect();
        let fact = self.rarest(&candidates, 12, 4)?;
        self.say(fact, plain)
    }

    /// A sentence on one of the facts told least, of one kind or of any.
    fn least_told(&mut self, kind: Option<usize>, plain: bool) -> Option<String> {
        let mut candidates = Vec::with_capacity(SAMPLE);
        for _ in 0..SAMPLE {
            let fact = *self.random.pick(&self.facts);
            if kind.is_none_or(|wanted| wanted == fact.0) {
                candidates.push(fact);
            }
        }
        let fact = self.rarest(&candidates, 2, 1)?;
        self.say(fact, plain)
    }

    /// The candidate told least so far, with some chance in it; none that this document told.
    fn rarest(&mut self, candidates: &[Fact], chance: usize, weight: usize) -> Option<Fact> {
        let mut best: Option<(usize, Fact)> = None;
        for fact in candidates {
            if self.told_now.contains(fact) {
                continue;
            }
            let score = self.told[fact] * weight + self.random.below(chance);
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, *fact));
            }
        }
        best.map(|(_, fact)| fact)
    }

    /// A sentence on the fact; `plain` ones stand inside quotation marks.
    fn say(&mut self, fact: Fact, plain: bool) -> Option<String> {
        let (kind, record, relation) = fact;
        let world: &'w World = self.world;
        let prose = &world.kinds[kind].relations[relation].prose;
        let mut text = self.any_of(prose, Some((kind, record)))?;
        for _ in 0..8 {
            if !plain || !text.contains('"') {
                break;
            }
            text = self.any_of(prose, Some((kind, record)))?;
        }
        if plain && text.contains('"') {
            return None;
        }
        self.told_now.push(fact);
        let framed = if !plain && self.random.below(100) < FRAMED_PERCENT { self.frame(&text, kind) } else { None };
        Some(english::capital(&framed.unwrap_or(text)))
    }

    /// Puts a simple sentence into somebody's mouth, so that facts are met in many settings.
    fn frame(&mut self, sentence: &str, kind: usize) -> Option<String> {
        let said = sentence.strip_suffix('.')?;
        if said.contains(['"', '?', '!', ';', '.']) {
            return None;
        }
        // A sentence about a thing that names a person quotes somebody already.
        if self.world.kinds[kind].name != "person" && self.names_a_person(said) {
            return None;
        }
        let rule = if said.contains(':') { "frame" } else { "frame_any" };
        let template = self.random.pick(self.world.rules.get(rule)?).clone();
        if !self.said.insert(template.clone()) {
            return None;
        }
        let framed = self.expand(&template.replace("{said}", said), None)?;
        let about_themselves = ["person8", "person9"].iter().filter_map(|speaker| self.bound.get(*speaker)).any(|(kind, record)| {
            let first = self.world.kinds[*kind].records[*record].all("first");
            first.iter().any(|name| said.contains(name.as_str()))
        });
        (!about_themselves).then_some(framed)
    }

    fn names_a_person(&self, text: &str) -> bool {
        let people = self.world.kind("person").map_or(&[][..], |kind| &self.world.kinds[kind].records);
        people.iter().flat_map(|person| person.all("first")).any(|first| text.contains(first.as_str()))
    }
}

/// The index of the bracket that closes the one at `open`.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Splits at the `|` of the outermost level.
fn alternatives(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b'|' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts
}

/// Paragraphs, single spaces, articles and capitals.
fn tidy(text: &str) -> String {
    let paragraphs: Vec<String> = text
        .split("//")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    let text = paragraphs.join("\n").replace(" ,", ",").replace(" .", ".").replace("..", ".");
    english::polish(&english::join_quotes(&text))
}
