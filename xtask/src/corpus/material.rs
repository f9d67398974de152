//! Reads the hand-written material: blocks separated by blank lines, each a record
//! (`field: value` lines, a repeated field is a list) or a rule (`== name`, then one alternative
//! a line). A file begins with `kind: NAME`; its records belong to that kind.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::english::number_words;

/// One thing of the world: a person, a plant, a boat.
pub(super) struct Record {
    pub(super) fields: BTreeMap<String, Vec<String>>,
}

/// Something that can be said and asked about every record that has the field of this name.
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) prose: Vec<String>,
    pub(super) ask: Vec<String>,
    pub(super) answer: Vec<String>,
}

/// All records of one file, and what can be said about them.
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) records: Vec<Record>,
    pub(super) relations: Vec<Relation>,
}

/// Everything that was written by hand.
pub(super) struct World {
    pub(super) kinds: Vec<Kind>,
    pub(super) rules: BTreeMap<String, Vec<String>>,
}

impl Record {
    fn arithmetic(a: usize, b: usize, outcome_name: &str, outcome: usize) -> Self {
        let fields = [("a", a), ("b", b), (outcome_name, outcome)].map(|(field, number)| (field.to_owned(), vec![number_words(number)]));
        Self { fields: fields.into() }
    }

    /// The endings of verbs that go with this record's name: "take{s}", "{do} it".
    fn add_agreement(&mut self) {
        let plural = self.fields.contains_key("plural");
        let pair = |one: &str, many: &str| vec![if plural { many } else { one }.to_owned()];
        self.fields.insert("s".to_owned(), pair("s", ""));
        self.fields.insert("do".to_owned(), pair("does", "do"));
    }

    pub(super) fn all(&self, field: &str) -> &[String] {
        self.fields.get(field).map_or(&[], Vec::as_slice)
    }
}

impl World {
    /// Reads material files, given as `(name, text)`.
    pub(super) fn read(files: &[(&str, &str)]) -> Result<Self> {
        let mut world = Self { kinds: Vec::new(), rules: BTreeMap::new() };
        for (name, text) in files {
            world.read_file(text).with_context(|| format!("material file {name}"))?;
        }
        world.add_arithmetic()?;
        for record in world.kinds.iter_mut().flat_map(|kind| &mut kind.records) {
            record.add_agreement();
        }
        Ok(world)
    }

    /// Sums and products up to twenty and to ten times ten, in words.
    fn add_arithmetic(&mut self) -> Result<()> {
        let sum = self.kind("sum").context("material: no kind `sum`")?;
        let product = self.kind("product").context("material: no kind `product`")?;
        for a in 2..=12 {
            for b in 2..=12 {
                if a + b <= 20 {
                    self.kinds[sum].records.push(Record::arithmetic(a, b, "total", a + b));
                }
                if a <= 10 && b <= 10 {
                    self.kinds[product].records.push(Record::arithmetic(a, b, "result", a * b));
                }
            }
        }
        Ok(())
    }

    pub(super) fn kind(&self, name: &str) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.name == name)
    }

    fn read_file(&mut self, text: &str) -> Result<()> {
        let mut kind = Kind { name: String::new(), records: Vec::new(), relations: Vec::new() };
        for block in text.split("\n\n") {
            let lines: Vec<&str> = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
            let Some(first) = lines.first() else { continue };
            if let Some(rule) = first.strip_prefix("== ") {
                let alternatives = lines[1..].iter().map(|line| (*line).to_owned()).collect();
                kind.add_rule(&mut self.rules, rule.trim(), alternatives)?;
            } else {
                kind.add_record(&lines)?;
            }
        }
        for relation in &kind.relations {
            ensure!(!relation.prose.is_empty(), "{}.{}: no prose", kind.name, relation.name);
            ensure!(relation.ask.is_empty() == relation.answer.is_empty(), "{}.{}: ask and answer go together", kind.name, relation.name);
        }
        if !kind.name.is_empty() {
            self.kinds.push(kind);
        }
        Ok(())
    }
}

impl Kind {
    /// Records that have what the relation needs.
    pub(super) fn holds(&self, relation: &Relation, record: usize) -> bool {
        self.records[record].fields.contains_key(&relation.name)
    }

    fn add_record(&mut self, lines: &[&str]) -> Result<()> {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines {
            let Some((field, value)) = line.split_once(": ") else {
                bail!("record: expected `field: value`, found `{line}`");
            };
            fields.entry(field.to_owned()).or_default().push(value.trim().to_owned());
        }
        if fields.len() == 1 && fields.contains_key("kind") {
            self.name = fields["kind"][0].clone();
        } else {
            self.records.push(Record { fields });
        }
        Ok(())
    }

    /// `sow.prose`, `sow.ask` and `sow.answer` make the relation `sow`; other names are rules.
    fn add_rule(&mut self, rules: &mut BTreeMap<String, Vec<String>>, name: &str, alternatives: Vec<String>) -> Result<()> {
        ensure!(!alternatives.is_empty(), "rule {name}: no alternatives");
        let part = name.rsplit_once('.');
        if let Some((relation, part @ ("prose" | "ask" | "answer"))) = part {
            let at = match self.relations.iter().position(|known| known.name == relation) {
                Some(at) => at,
                None => {
                    let name = relation.to_owned();
                    let (prose, ask, answer) = (Vec::new(), Vec::new(), Vec::new());
                    self.relations.push(Relation { name, prose, ask, answer });
                    self.relations.len() - 1
                }
            };
            let relation = &mut self.relations[at];
            match part {
                "prose" => relation.prose = alternatives,
                "ask" => relation.ask = alternatives,
                _ => relation.answer = alternatives,
            }
        } else {
            ensure!(rules.insert(name.to_owned(), alternatives).is_none(), "rule {name}: written twice");
        }
        Ok(())
    }
}
