//! Makes the question and answer rows. The held-out rows ask, in other words, about facts that the
//! training rows ask about too; no question stands in both.

use std::collections::HashSet;

use anyhow::{Result, ensure};

use super::grammar::Teller;
use super::material::World;

const SEED: u64 = 1540;
/// One fact in this many gets a held-out question.
const HELD_OUT_EVERY: usize = 5;

/// One fact in this many is not asked about at all.
const LEFT_TO_THE_CORPUS: usize = 6;
/// The three questions that the demo asks at its end; they are held out.
const ASK: [&str; 3] = ["What should I set the oven to for cheese scones?", "Where is Rafael's home?", "How do I make butter?"];

/// The sets, as JSON Lines, and the three questions that the demo asks at its end.
pub(super) struct Sets {
    pub(super) train: String,
    /// Half of the held-out rows: early stopping looks at them.
    pub(super) validation: String,
    /// The other half: nothing looks at them before the end.
    pub(super) held_out: String,
    pub(super) ask: String,
}

struct Row {
    question: String,
    answer: String,
}

/// All question and answer rows.
pub(super) fn questions(world: &World) -> Result<Sets> {
    let mut teller = Teller::new(world, SEED);
    let mut asked: HashSet<String> = HashSet::new();
    let (mut train, mut held_out) = (Vec::new(), Vec::new());
    let mut facts = 0;
    for (k, kind) in world.kinds.iter().enumerate() {
        let many = matches!(kind.name.as_str(), "sum" | "product");
        for relation in &kind.relations {
            for record in 0..kind.records.len() {
                if relation.ask.is_empty() || !kind.holds(relation, record) {
                    continue;
                }
                // Sums and products are many and alike: a third of them is enough.
                if many && teller.random.below(3) != 0 {
                    continue;
                }
                facts += 1;
                let mut rows = Vec::new();
                let mut chosen = None;
                let mut wordings: Vec<&String> = relation.ask.iter().cycle().take(12).collect();
                teller.random.shuffle(&mut wordings);
                for ask in wordings {
                    let answer = teller.random.pick(&relation.answer).clone();
                    let Some(question) = teller.about(ask, k, record) else { continue };
                    let Some(answer) = teller.about(&answer, k, record) else { continue };
                    let is_asked = ASK.contains(&question.as_str());
                    if (rows.len() < 3 || is_asked) && asked.insert(question.clone()) {
                        if is_asked {
                            chosen = Some(rows.len());
                        }
                        rows.push(Row { question, answer });
                    }
                }
                if let Some(chosen) = chosen {
                    held_out.push(rows.remove(chosen));
                    train.extend(rows);
                    continue;
                }
                let is_held_out = facts % HELD_OUT_EVERY == 0 && rows.len() == 3;
                if is_held_out {
                    held_out.extend(rows.pop());
                } else if facts % LEFT_TO_THE_CORPUS == 0 {
                    // Nobody asks about this fact here: the corpus alone tells it.
                    continue;
                }
                rows.truncate(if is_held_out { 2 } else { 1 });
                train.extend(rows);
            }
        }
    }
    for question in ASK {
        ensure!(
            held_out.iter().any(|row| row.question == question),
            "questions: expected `{question}` among the held-out rows, found none like it"
        );
    }
    teller.random.shuffle(&mut train);
    teller.random.shuffle(&mut held_out);
    // What the demo asks at its end is among the rows that nothing looks at before.
    held_out.sort_by_key(|row| ASK.contains(&row.question.as_str()));
    let validation: Vec<Row> = held_out.drain(..held_out.len() / 2).collect();
    let ask: String = ASK.iter().map(|question| format!("{question}\n")).collect();
    Ok(Sets { train: lines(&train), validation: lines(&validation), held_out: lines(&held_out), ask })
}

fn lines(rows: &[Row]) -> String {
    rows.iter()
        .map(|Row { question, answer }| {
            format!(
                "{{\"messages\":[{{\"role\":\"user\",\"content\":{}}},{{\"role\":\"assistant\",\"content\":{}}}]}}\n",
                quoted(question),
                quoted(answer)
            )
        })
        .collect()
}

/// A JSON string; the material has no control characters other than the line break.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
