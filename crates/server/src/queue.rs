//! The queue: runs whose cards say that they wait for a server to start them, one at a time.

use apertis_protocol::queue::{Queue, QueueChange};
use apertis_runs::clock::now_text;
use apertis_runs::{Home, QueuePlace, RunCard, RunFolder};

use crate::describe;
use crate::failure::{Answer, Failure};
use crate::request::etag;
use crate::studio::Studio;

/// Largest priority, and smallest.
const PRIORITY_MAX: i32 = 100;

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

/// The queue as pages show it.
pub(crate) async fn show(studio: &Studio) -> Answer<Queue> {
    let is_paused = studio.mirror.is_queue_paused();
    let rows = studio.storage.queue().await?;
    let ids: Vec<&str> = rows.iter().map(|row| row.facts.id.as_str()).collect();
    let etag = etag(&[&ids.join(" "), if is_paused { "paused" } else { "" }]);
    Ok(Queue { is_paused, runs: describe::rows(&rows), etag })
}

/// Gives the queue another order, or holds it. Waits for the disk.
pub(crate) fn change(studio: &Studio, change: &QueueChange) -> Answer<()> {
    let mut moved = Vec::new();
    if let Some(order) = &change.order {
        let runs = studio.mirror.waiting();
        if let Some(id) = order.iter().find(|id| !runs.iter().any(|(waiting, _)| waiting == *id)) {
            return Err(Failure::missing("waiting run", id));
        }
        let place_of = |id: &String| order.iter().position(|other| other == id).unwrap_or(order.len());
        let mut ordered: Vec<(usize, RunFolder)> = runs.into_iter().map(|(id, run)| (place_of(&id), run.folder)).collect();
        // Those that are left out follow as they were: the sort keeps their order.
        ordered.sort_by_key(|(place, _)| *place);
        for (order, (_, folder)) in (0_i64..).zip(ordered) {
            let mut card = RunCard::open(&studio.home, &folder)?;
            if let Some(place) = &mut card.queue {
                (place.priority, place.order) = (0, order);
                card.write(&folder)?;
            }
            moved.push(folder);
        }
    }
    for (id, priority) in change.priorities.iter().flatten() {
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(priority) {
            return Err(Failure::bad("A priority is -100 to 100."));
        }
        let runs = studio.mirror.waiting();
        let (_, run) = runs.into_iter().find(|(waiting, _)| waiting == id).ok_or_else(|| Failure::missing("waiting run", id))?;
        let mut card = RunCard::open(&studio.home, &run.folder)?;
        if let Some(place) = &mut card.queue {
            place.priority = *priority;
            card.write(&run.folder)?;
        }
        moved.push(run.folder);
    }
    if let Some(is_paused) = change.is_paused {
        studio.wait(studio.preferences.pause_queue(is_paused))?;
        studio.mirror.pause_queue(is_paused);
    }
    studio.mirror.look(&moved.iter().collect::<Vec<&RunFolder>>());
    Ok(())
}
