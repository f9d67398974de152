//! Groups of runs that try values of fields, and the rungs at which the worse half of a group stops:
//! all that are left reach a quarter, then a half of the schedule, and the better half goes on.
//!
//! A group is a file in `sweeps/` of the home; its runs say in their cards that they belong to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use apertis_domain::recipe::{Kind, field};
use apertis_domain::{Action, Recipe};
use apertis_protocol::queue::{Sweep, SweepAxis, SweepDraft, SweepTry};
use apertis_protocol::run::FieldValue;
use apertis_runs::durable::replace_file;
use apertis_runs::lock::lock_facts;
use apertis_runs::{Home, RunCard, RunFolder, SweepPlace};
use serde::{Deserialize, Serialize};

use crate::describe::{self, field_value};
use crate::failure::{Answer, Failure};
use crate::mirror::KnownRun;
use crate::queue;
use crate::random;
use crate::studio::Studio;

/// Most runs of a group.
const RUNS_MAX: u32 = 20;
/// Values of a range in a grid where nobody says.
const RANGE_STEPS: u32 = 3;
/// Combinations that are drawn for each one that is wanted, at most: short lists repeat themselves.
const DRAWS: u32 = 50;
/// Rungs of the schedule, in quarters.
const RUNGS: u32 = 2;

/// `sweeps/<id>.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SweepRecord {
    id: String,
    name: String,
    total: u64,
    has_rungs: bool,
    /// Rungs that are behind the group.
    rung: u32,
    tries: Vec<TryRecord>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct TryRecord {
    run: String,
    fields: Vec<String>,
    values: Vec<String>,
    rung: u32,
    /// The rung at which it was asked to stop.
    asked_rung: u32,
    is_out: bool,
}

/// What a draft describes: each try's values, and how many there are in all.
pub(crate) fn tries(draft: &SweepDraft) -> Answer<(Vec<Vec<FieldValue>>, u64)> {
    if draft.axes.is_empty() || draft.axes.len() > 8 {
        return Err(Failure::bad("A sweep has 1 to 8 fields to try."));
    }
    let names: BTreeSet<&str> = draft.axes.iter().map(|axis| axis.field.as_str()).collect();
    if names.len() != draft.axes.len() {
        return Err(Failure::bad("A field is tried once in a sweep."));
    }
    let limit = draft.limit.clamp(1, RUNS_MAX);
    match draft.order.as_str() {
        "grid" => grid(&draft.axes, limit),
        "random" => drawn(&draft.axes, draft.seed, limit),
        _ => Err(Failure::bad("order is grid or random.")),
    }
}

fn grid(axes: &[SweepAxis], limit: u32) -> Answer<(Vec<Vec<FieldValue>>, u64)> {
    let values = axes.iter().map(axis_values).collect::<Answer<Vec<Vec<String>>>>()?;
    let total = values.iter().fold(1_u64, |total, values| total.saturating_mul(values.len() as u64));
    let tries = (0..total.min(u64::from(limit))).map(|number| {
        // The last field moves first, as in a table read by rows.
        let mut rest = number;
        let mut fields: Vec<FieldValue> = axes
            .iter()
            .zip(&values)
            .rev()
            .map(|(axis, values)| {
                let count = values.len() as u64;
                let value = values[(rest % count) as usize].clone();
                rest /= count;
                field_value(&axis.field, value)
            })
            .collect();
        fields.reverse();
        fields
    });
    Ok((tries.collect(), total))
}

fn drawn(axes: &[SweepAxis], seed: u64, limit: u32) -> Answer<(Vec<Vec<FieldValue>>, u64)> {
    let mut state = seed;
    let (mut seen, mut tries) = (BTreeSet::new(), Vec::new());
    for _ in 0..limit * DRAWS {
        let fields = axes.iter().map(|axis| draw(axis, &mut state)).collect::<Answer<Vec<FieldValue>>>()?;
        let key: Vec<String> = fields.iter().map(|field| field.value.clone()).collect();
        if seen.insert(key) {
            tries.push(fields);
        }
        if tries.len() as u32 == limit {
            break;
        }
    }
    let is_listed = axes.iter().all(|axis| !axis.values.is_empty());
    let listed = axes.iter().fold(1_u64, |total, axis| total.saturating_mul(axis.values.len() as u64));
    let total = if is_listed { listed } else { tries.len() as u64 };
    Ok((tries, total))
}

fn draw(axis: &SweepAxis, state: &mut u64) -> Answer<FieldValue> {
    let share = next_share(state);
    if !axis.values.is_empty() {
        let at = ((share * axis.values.len() as f64) as usize).min(axis.values.len() - 1);
        return Ok(field_value(&axis.field, axis.values[at].clone()));
    }
    let (min, max) = range(axis)?;
    Ok(field_value(&axis.field, number_text(axis, between(axis, min, max, share))?))
}

fn axis_values(axis: &SweepAxis) -> Answer<Vec<String>> {
    if !axis.values.is_empty() {
        return Ok(axis.values.clone());
    }
    let (min, max) = range(axis)?;
    let steps = axis.steps.unwrap_or(RANGE_STEPS).clamp(2, RUNS_MAX);
    let mut values = Vec::new();
    for step in 0..steps {
        let text = number_text(axis, between(axis, min, max, f64::from(step) / f64::from(steps - 1)))?;
        // A short range of whole numbers has fewer values than steps.
        if values.last() != Some(&text) {
            values.push(text);
        }
    }
    Ok(values)
}

fn range(axis: &SweepAxis) -> Answer<(f64, f64)> {
    match (axis.min, axis.max) {
        (Some(min), Some(max)) if min < max && (!axis.is_logarithmic || min > 0.0) => Ok((min, max)),
        _ => Err(Failure::bad(format!("{} has neither values nor a range that can be cut.", axis.field))),
    }
}

fn between(axis: &SweepAxis, min: f64, max: f64, share: f64) -> f64 {
    let value = if axis.is_logarithmic { min * (max / min).powf(share) } else { min + (max - min) * share };
    // Four digits tell tries apart, and can be read.
    let digits = 10_f64.powi(3 - value.abs().max(f64::MIN_POSITIVE).log10().floor() as i32);
    if digits.is_finite() { ((value * digits).round() / digits).clamp(min, max) } else { value }
}

fn number_text(axis: &SweepAxis, value: f64) -> Answer<String> {
    match field(&axis.field).map(|field| field.kind) {
        Some(Kind::Integer { .. }) => Ok(format!("{}", value.round() as i64)),
        Some(Kind::Number { .. }) => Ok(format!("{value:?}")),
        Some(_) => Err(Failure::bad(format!("{} has no range; give values.", axis.field))),
        None => Err(apertis_domain::RecipeError::UnknownField {
            name: axis.field.clone(),
            nearest: apertis_domain::recipe::nearest(&axis.field),
        }
        .into()),
    }
}

/// A number from 0 to 1 that follows from the ones before (SplitMix64).
fn next_share(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The recipe of a try.
pub(crate) fn recipe_of(base: &Recipe, fields: &[FieldValue]) -> Answer<Recipe> {
    let mut recipe = base.clone();
    for field in fields {
        recipe.apply_argument(&format!("{}={}", field.name, field.value))?;
    }
    recipe.check()?;
    Ok(recipe)
}

/// Makes the runs of a group and puts them into the queue.
pub(crate) fn create(studio: &Studio, draft: &SweepDraft, base: &Recipe) -> Answer<Sweep> {
    let (tries, total) = tries(draft)?;
    // All of them are checked before the first is made.
    let recipes = tries.iter().map(|fields| recipe_of(base, fields)).collect::<Answer<Vec<Recipe>>>()?;
    let id = random::hex::<6>();
    let name = if draft.name.trim().is_empty() { format!("sweep-{}", &id[..4]) } else { draft.name.trim().to_owned() };
    let mut record = SweepRecord { id: id.clone(), name, total, has_rungs: draft.rungs, ..SweepRecord::default() };
    for (index, (fields, recipe)) in (0_u32..).zip(tries.iter().zip(recipes)) {
        let folder = RunFolder::create(&studio.home, &Recipe { name: format!("{} {}", record.name, index + 1), ..recipe })?;
        let mut card = RunCard::open(&studio.home, &folder)?;
        card.sweep = Some(SweepPlace { id: id.clone(), index });
        card.write(&folder)?;
        queue::enter(&studio.home, &folder)?;
        record.tries.push(TryRecord {
            run: card.id,
            fields: fields.iter().map(|field| field.name.clone()).collect(),
            values: fields.iter().map(|field| field.value.clone()).collect(),
            ..TryRecord::default()
        });
        // Written with every run: a group that breaks off half made still has its runs.
        record.write(&studio.home)?;
    }
    studio.mirror.look(&[]);
    show(studio, &id)
}

/// A group as pages show it.
pub(crate) fn show(studio: &Studio, id: &str) -> Answer<Sweep> {
    let record = SweepRecord::read(&studio.home, id).ok_or_else(|| Failure::missing("sweep", id))?;
    let tries = record.tries.iter().map(|tried| {
        let run = studio.mirror.find_now(&tried.run).ok().flatten().map(|run| describe::row(&run.row));
        let is_finished = run.as_ref().is_some_and(|row| row.state.name == "finished");
        SweepTry {
            fields: tried.fields.iter().zip(&tried.values).map(|(name, value)| field_value(name, value.clone())).collect(),
            rung: if is_finished { 3 } else { tried.rung },
            run,
        }
    });
    Ok(Sweep { id: record.id.clone(), name: record.name.clone(), tries: tries.collect(), total: record.total, problem: String::new() })
}

/// Stops tries that reached their rung, and lets the better half go on when all have.
pub(crate) fn advance(home: &Home, find: impl Fn(&str) -> Option<KnownRun>) {
    for mut record in SweepRecord::all(home).into_iter().filter(|record| record.has_rungs && record.rung < RUNGS) {
        let climbing: Vec<(usize, Option<KnownRun>)> =
            record.tries.iter().enumerate().filter(|(_, tried)| !tried.is_out).map(|(at, tried)| (at, find(&tried.run))).collect();
        let rung = record.rung + 1;
        let has_reached = |run: &KnownRun| run.row.total_steps > 0 && run.row.step * 4 >= run.row.total_steps * u64::from(rung);
        let (mut are_all_there, mut is_asked) = (true, false);
        for (at, run) in climbing.iter().filter_map(|(at, run)| Some((*at, run.as_ref()?))) {
            let is_held = lock_facts(&run.folder).is_held;
            are_all_there &= !is_held && run.row.facts.queue_place.is_none() && !run.row.status.is_active;
            let tried = &mut record.tries[at];
            if is_held
                && has_reached(run)
                && tried.asked_rung < rung
                && apertis_runs::control::ask(&run.folder, &Action::Stop { now: false }).is_ok()
            {
                (tried.asked_rung, is_asked) = (rung, true);
            }
        }
        let outcome = match are_all_there {
            true => climb(home, &mut record, &climbing, rung, has_reached),
            false if is_asked => record.write(home),
            false => Ok(()),
        };
        if let Err(failure) = outcome {
            tracing::error!(sweep = record.id, error = failure.message, "rung not taken");
        }
    }
}

fn climb(
    home: &Home,
    record: &mut SweepRecord,
    climbing: &[(usize, Option<KnownRun>)],
    rung: u32,
    has_reached: impl Fn(&KnownRun) -> bool,
) -> Answer<()> {
    let is_there = |run: &KnownRun| has_reached(run) || run.row.status.name == "finished";
    let mut there: Vec<(usize, &KnownRun)> =
        climbing.iter().filter_map(|(at, run)| Some((*at, run.as_ref()?))).filter(|(_, run)| is_there(run)).collect();
    // What was never evaluated is the worst.
    let loss = |run: &KnownRun| run.row.best_loss.unwrap_or(f64::INFINITY);
    there.sort_by(|a, b| loss(a.1).total_cmp(&loss(b.1)).then(a.0.cmp(&b.0)));
    let kept = there.len().div_ceil(2);
    for (at, _) in climbing {
        record.tries[*at].is_out = true;
    }
    for (at, _) in &there {
        record.tries[*at].rung = rung;
    }
    record.rung = rung;
    for (at, _) in &there[..kept] {
        record.tries[*at].is_out = false;
    }
    record.write(home)?;
    for (_, run) in there[..kept].iter().filter(|(_, run)| run.row.status.name != "finished") {
        queue::enter(home, &run.folder)?;
    }
    Ok(())
}

impl SweepRecord {
    fn path(home: &Home, id: &str) -> PathBuf {
        home.root().join("sweeps").join(format!("{id}.toml"))
    }

    fn read(home: &Home, id: &str) -> Option<SweepRecord> {
        // Ids are ours: no separators, no dots.
        let is_id = id.bytes().all(|letter| letter.is_ascii_alphanumeric());
        toml::from_str(&fs::read_to_string(SweepRecord::path(home, id)).ok().filter(|_| is_id)?).ok()
    }

    fn all(home: &Home) -> Vec<SweepRecord> {
        let files = fs::read_dir(home.root().join("sweeps")).into_iter().flatten().flatten();
        files.filter_map(|file| toml::from_str(&fs::read_to_string(file.path()).ok()?).ok()).collect()
    }

    fn write(&self, home: &Home) -> Answer<()> {
        let path = SweepRecord::path(home, &self.id);
        fs::create_dir_all(home.root().join("sweeps"))?;
        let text = toml::to_string(self).map_err(Failure::internal)?;
        Ok(replace_file(&path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apertis_storage::index::{RunDetails, RunRow, RunStatus};

    fn axis(field: &str, values: &[&str]) -> SweepAxis {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        SweepAxis { field: field.to_owned(), values, min: None, max: None, steps: None, is_logarithmic: false }
    }

    fn draft(axes: Vec<SweepAxis>, order: &str, limit: u32) -> SweepDraft {
        let recipe = apertis_protocol::recipe::RecipeDraft::default();
        SweepDraft { recipe, axes, order: order.to_owned(), seed: 7, limit, rungs: false, name: String::new(), preview: true }
    }

    #[test]
    fn a_grid_is_every_combination_up_to_its_limit() {
        let rate = SweepAxis { min: Some(1e-5), max: Some(1e-3), is_logarithmic: true, ..axis("learning_rate", &[]) };
        let (tries, total) = tries(&draft(vec![axis("lora.rank", &["8", "16"]), rate], "grid", 5)).expect("a sweep");
        let words: Vec<String> = tries.iter().map(|fields| format!("{} {}", fields[0].value, fields[1].value)).collect();
        assert_eq!((total, words.join(", ").as_str()), (6, "8 1e-5, 8 0.0001, 8 0.001, 16 1e-5, 16 0.0001"));
    }

    #[test]
    fn random_tries_repeat_with_their_seed_and_never_twice() {
        let wide = || SweepAxis { min: Some(1.0), max: Some(64.0), ..axis("lora.rank", &[]) };
        let draw = || tries(&draft(vec![wide(), axis("epochs", &["1", "2"])], "random", 10)).expect("a sweep").0;
        assert_eq!(draw(), draw());
        assert_eq!(draw().len(), 10);
        let few = tries(&draft(vec![axis("epochs", &["1", "2"])], "random", 10)).expect("a sweep");
        assert_eq!((few.0.len(), few.1), (2, 2));
    }

    #[test]
    fn what_cannot_be_tried_is_said() {
        let check = |axes: Vec<SweepAxis>, order: &str| assert!(tries(&draft(axes, order, 5)).is_err());
        check(vec![], "grid");
        check(vec![axis("epochs", &["1"])], "spiral");
        check(vec![axis("epochs", &[])], "grid");
        check(vec![axis("epochs", &["1"]), axis("epochs", &["2"])], "grid");
        check(vec![SweepAxis { min: Some(0.0), max: Some(1.0), is_logarithmic: true, ..axis("dropout", &[]) }], "grid");
        check(vec![SweepAxis { min: Some(0.0), max: Some(1.0), ..axis("method", &[]) }], "grid");
    }

    #[test]
    fn the_better_half_climbs() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = Home::open(folder.path()).expect("a new home");
        let run = |name: &str, loss: Option<f64>, step: u64| {
            let folder = RunFolder::create(&home, &Recipe { name: name.to_owned(), ..Recipe::default() }).expect("a run");
            let id = RunCard::open(&home, &folder).expect("a card").id;
            let status = RunStatus { name: "stopped".to_owned(), ..RunStatus::default() };
            let row = RunRow { status, best_loss: loss, step, total_steps: 100, ..RunRow::default() };
            KnownRun { id, folder, row, details: RunDetails::default() }
        };
        let runs = [run("a", Some(3.0), 25), run("b", Some(1.0), 26), run("c", None, 25), run("d", Some(0.5), 10)];
        let tries = runs.iter().map(|run| TryRecord { run: run.id.clone(), ..TryRecord::default() }).collect();
        let record = SweepRecord { id: "abc".to_owned(), has_rungs: true, tries, ..SweepRecord::default() };
        record.write(&home).expect("the home can be written");
        let find = |id: &str| runs.iter().find(|run| run.id == id).cloned();
        advance(&home, find);
        let after = SweepRecord::read(&home, "abc").expect("the record");
        // Of the three that reached the quarter two go on; the fourth stopped before.
        assert_eq!(
            after.tries.iter().map(|tried| (tried.rung, tried.is_out)).collect::<Vec<_>>(),
            [(1, false), (1, false), (1, true), (0, true)]
        );
        let is_queued = |run: &KnownRun| RunCard::open(&home, &run.folder).is_ok_and(|card| card.queue.is_some());
        assert_eq!(runs.iter().map(is_queued).collect::<Vec<bool>>(), [true, true, false, false]);
    }
}
