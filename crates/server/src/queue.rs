//! The queue: runs whose cards say that they wait for a server to start them, one at a time.

use apertis_protocol::queue::{Queue, QueueChange};
use apertis_runs::clock::now_text;
use apertis_runs::lock::lock_facts;
use apertis_runs::{Home, QueuePlace, RunCard, RunFolder};

use crate::failure::{Answer, Failure};
use crate::mirror::KnownRun;
use crate::request::etag;
use crate::studio::Studio;

/// Puts a run at the end of the queue.
pub(crate) fn enter(home: &Home, folder: &RunFolder) -> Answer<()> {
    let mut card = RunCard::open(home, folder)?;
    // Whoever was moved by hand stays before those who come later.
    let order = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis());
    card.queue = Some(QueuePlace { priority: 0, order: order.unwrap_or(i64::MAX), since: now_text() });
    Ok(card.write(folder)?)
}

/// Takes a run out of the queue; whether it was in it.
pub(crate) fn leave(home: &Home, folder: &RunFolder) -> Answer<bool> {
    let mut card = RunCard::open(home, folder)?;
    let was_waiting = card.queue.take().is_some();
    if was_waiting {
        card.write(folder)?;
    }
    Ok(was_waiting)
}

/// Waiting runs in the order in which they begin.
pub(crate) fn waiting<'a>(runs: impl Iterator<Item = &'a KnownRun>) -> Vec<&'a KnownRun> {
    let mut waiting: Vec<(&QueuePlace, &KnownRun)> = runs.filter_map(|run| Some((run.card.queue.as_ref()?, run))).collect();
    waiting.sort_by(|a, b| a.0.key().cmp(&b.0.key()).then_with(|| a.1.card.id.cmp(&b.1.card.id)));
    waiting.into_iter().map(|(_, run)| run).collect()
}

/// Whether the device has work: a worker that holds its run, at work or waiting in line itself.
pub(crate) fn is_busy<'a>(runs: impl Iterator<Item = &'a KnownRun>) -> bool {
    runs.filter(|run| run.state.is_active()).any(|run| lock_facts(&run.folder).is_held)
}

/// The queue as pages show it.
pub(crate) fn show(studio: &Studio) -> Queue {
    let is_paused = studio.mirror.is_queue_paused();
    studio.mirror.with_all(|runs| {
        let waiting = waiting(runs.values());
        let ids: Vec<&str> = waiting.iter().map(|run| run.card.id.as_str()).collect();
        let etag = etag(&[&ids.join(" "), if is_paused { "paused" } else { "" }]);
        let rows = waiting.iter().zip(1_u64..).map(|(run, place)| {
            let mut row = run.row.clone();
            row.queue_place = Some(place);
            row
        });
        Queue { is_paused, runs: rows.collect(), etag }
    })
}

/// Gives the queue another order, or holds it.
pub(crate) fn change(studio: &Studio, change: &QueueChange) -> Answer<()> {
    if let Some(order) = &change.order {
        let runs: Vec<KnownRun> = studio.mirror.with_all(|runs| waiting(runs.values()).into_iter().cloned().collect());
        if let Some(id) = order.iter().find(|id| !runs.iter().any(|run| run.card.id == **id)) {
            return Err(Failure::missing("waiting run", id));
        }
        let place_of = |run: &KnownRun| order.iter().position(|id| *id == run.card.id).unwrap_or(order.len());
        let mut ordered: Vec<(usize, KnownRun)> = runs.into_iter().map(|run| (place_of(&run), run)).collect();
        // Those that are left out follow as they were: the sort keeps their order.
        ordered.sort_by_key(|(place, _)| *place);
        for (order, (_, run)) in (0_i64..).zip(ordered) {
            let mut card = RunCard::open(&studio.home, &run.folder)?;
            if let Some(place) = &mut card.queue {
                (place.priority, place.order) = (0, order);
                card.write(&run.folder)?;
            }
        }
    }
    if let Some(is_paused) = change.is_paused {
        studio.ledger.pause_queue(is_paused)?;
        studio.mirror.pause_queue(is_paused);
    }
    studio.mirror.look();
    Ok(())
}
