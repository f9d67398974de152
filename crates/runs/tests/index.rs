//! Runs that really were worked on, mirrored into the index of their home.

mod support;

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use apertis_runs::facts::facts_of;
use apertis_runs::mirror::{RunMirror, forget_others, reindex};
use apertis_runs::{Home, QueuePlace, RunCard, RunFolder, RunRecord, trash};
use apertis_storage::Storage;
use apertis_storage::index::RunFacts;
use apertis_storage::points::CurveQuery;
use support::*;

fn facts(home: &Home, folder: &RunFolder) -> RunFacts {
    let card = RunCard::open(home, folder).unwrap();
    facts_of(home, folder, &card, &folder.recipe().unwrap(), None)
}

#[tokio::test]
async fn an_index_made_again_equals_the_one_before() {
    let (_guard, home) = home();
    let storage = Storage::open(home.root(), None).await.unwrap();
    let mut expected = Vec::new();
    for name in ["first", "second"] {
        let folder = RunFolder::create(&home, &recipe(name)).unwrap();
        // Followed as it grows: before, while and after a worker is at it.
        let mut mirror = RunMirror::open(&storage, &folder, &facts(&home, &folder).id).await.unwrap();
        let empty = mirror.catch_up(&storage, &facts(&home, &folder)).await.unwrap();
        assert_eq!((empty.mirrored.row.status.name.as_str(), empty.mirrored.row.seq), ("queued", None));
        let worker = std::thread::spawn({
            let folder = folder.clone();
            move || train(&folder, &options(), Duration::from_millis(2))
        });
        let mut events = Vec::new();
        while !worker.is_finished() {
            events.extend(mirror.follow(&storage, &facts(&home, &folder)).await.unwrap().events);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        worker.join().unwrap();
        let last = mirror.catch_up(&storage, &facts(&home, &folder)).await.unwrap();
        events.extend(last.events);
        assert!(events.iter().enumerate().all(|(index, event)| event.seq == index as u64), "each event once, in order");

        let record = RunRecord::read(&folder.events()).unwrap();
        let row = storage.run(&facts(&home, &folder).id).await.unwrap().unwrap().row;
        assert_eq!((row.step, row.tokens, row.seq, row.total_steps), (record.step(), record.tokens(), record.seq, record.total_steps));
        assert_eq!(row.best_loss, record.best().map(|best| best.value.loss));
        assert_eq!(row.status.name, "finished");
        let curves =
            storage.curves(&facts(&home, &folder).id, &CurveQuery { names: vec!["loss".into()], ..CurveQuery::default() }).await.unwrap();
        assert_eq!(curves.curves[0].step, record.steps.iter().map(|point| point.step).collect::<Vec<_>>());
        expected.push(row);
    }
    let before = storage.index_lines().await.unwrap();
    let mut heard = Vec::new();
    let failures = reindex(&storage, &home, |done, of| heard.push((done, of))).await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(heard, [(1, 2), (2, 2)]);
    assert_eq!(storage.index_lines().await.unwrap(), before);

    let id_of = |name: &str| RunCard::look(&RunFolder::find(&home, name).unwrap()).unwrap().id;
    let (first, second) = (id_of("first"), id_of("second"));
    fs::remove_dir_all(RunFolder::find(&home, "first").unwrap().path()).unwrap();
    let there = HashSet::from([second.clone()]);
    assert_eq!(forget_others(&storage, &there).await.unwrap(), [first]);
    assert_eq!(storage.run_ids().await.unwrap(), [second]);
}

#[tokio::test]
async fn what_waits_and_what_was_deleted_is_indexed_from_the_folders() {
    let (_guard, home) = home();
    let storage = Storage::open(home.root(), None).await.unwrap();
    let make = |name: &str, order: Option<i64>| {
        let folder = RunFolder::create(&home, &recipe(name)).unwrap();
        let mut card = RunCard::open(&home, &folder).unwrap();
        card.queue = order.map(|order| QueuePlace { order, ..QueuePlace::default() });
        card.write(&folder).unwrap();
        (folder, card.id)
    };
    let (_, second) = make("second", Some(2));
    let (_, first) = make("first", Some(1));
    let (deleted, gone) = make("deleted", None);
    trash::discard(&home, &deleted).unwrap();
    assert!(reindex(&storage, &home, |_, _| {}).await.unwrap().is_empty());
    let queue = storage.queue().await.unwrap();
    let places: Vec<(&str, Option<u64>)> = queue.iter().map(|row| (row.facts.id.as_str(), row.facts.queue_place)).collect();
    assert_eq!(places, [(first.as_str(), Some(1)), (second.as_str(), Some(2))]);
    let row = storage.run(&gone).await.unwrap().unwrap().row;
    assert_eq!((row.facts.is_trash, row.facts.name.as_str()), (true, "deleted"));
}

#[tokio::test]
async fn only_whole_lines_of_the_same_log_are_taken_in() {
    let (_guard, home) = home();
    let storage = Storage::open(home.root(), None).await.unwrap();
    let folder = RunFolder::create(&home, &recipe("lines")).unwrap();
    train(&folder, &options(), Duration::ZERO);
    let text = fs::read_to_string(folder.events()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(folder.events(), "").unwrap();
    let mut log = OpenOptions::new().append(true).open(folder.events()).unwrap();
    let mut mirror = RunMirror::open(&storage, &folder, "id").await.unwrap();
    let facts = RunFacts { id: "id".into(), ..facts(&home, &folder) };

    let mut write = |text: &str| log.write_all(text.as_bytes()).unwrap();
    write(&lines[0][..10]);
    assert!(mirror.follow(&storage, &facts).await.unwrap().events.is_empty());
    write(&lines[0][10..]);
    write("no event\n");
    write(lines[1]);
    write(&lines[2][..5]);
    assert_eq!(mirror.follow(&storage, &facts).await.unwrap().events.len(), 2);
    assert_eq!(storage.run("id").await.unwrap().unwrap().details.bad_lines, 1);
    write(&lines[2][5..]);
    // Another life of the server goes on where the index ends.
    let mut mirror = RunMirror::open(&storage, &folder, "id").await.unwrap();
    let followed = mirror.follow(&storage, &facts).await.unwrap();
    assert_eq!(followed.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
    assert!(!followed.is_again);

    // Another first line: another log.
    let other = text.replacen("\"at\":\"2", "\"at\":\"1", 1);
    assert_ne!(other, text);
    fs::write(folder.events(), &other).unwrap();
    let followed = mirror.catch_up(&storage, &facts).await.unwrap();
    assert!(followed.is_again);
    assert_eq!(followed.events.len(), lines.len());
    // A shorter one too.
    fs::write(folder.events(), lines[..4].concat()).unwrap();
    let followed = mirror.catch_up(&storage, &facts).await.unwrap();
    assert_eq!((followed.is_again, followed.mirrored.row.seq), (true, Some(3)));
    fs::remove_file(folder.events()).unwrap();
    let followed = mirror.catch_up(&storage, &facts).await.unwrap();
    assert_eq!((followed.is_again, followed.mirrored.row.seq), (true, None));
}

#[tokio::test]
async fn machine_samples_are_curves() {
    let (_guard, home) = home();
    let storage = Storage::open(home.root(), None).await.unwrap();
    let folder = RunFolder::create(&home, &recipe("samples")).unwrap();
    let line = |number: u64| {
        format!(
            "{{\"at\":\"2026\",\"step\":{number},\"elapsed_ms\":{number}000,\"cores_percent\":[5,{number}],\"gpus\":[{{\"name\":\"x\",\"watts\":7}}]}}\n"
        )
    };
    fs::write(folder.system(), (1..=3).map(line).collect::<String>() + "torn").unwrap();
    let id = facts(&home, &folder).id;
    let mut mirror = RunMirror::open(&storage, &folder, &id).await.unwrap();
    mirror.follow(&storage, &facts(&home, &folder)).await.unwrap();
    let curves = storage.curves(&id, &CurveQuery::default()).await.unwrap().curves;
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    assert_eq!(names, ["cores_percent_0", "cores_percent_1", "gpus_0_watts"]);
    assert_eq!((&curves[1].mean[..], &curves[1].elapsed_ms[..]), (&[Some(1.0), Some(2.0), Some(3.0)][..], &[1000, 2000, 3000][..]));
    assert!(!mirror.follow(&storage, &facts(&home, &folder)).await.unwrap().mirrored.is_changed);
}
