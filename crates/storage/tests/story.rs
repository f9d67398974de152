//! The life of a home's database, told once and run on SQLite and on PostgreSQL.

mod support;

use apertis_domain::LockFacts;
use apertis_domain::event::*;
use apertis_domain::history::standing;
use apertis_storage::index::*;
use apertis_storage::points::CurveQuery;
use apertis_storage::record::*;
use apertis_storage::{DatabaseKind, StorageError};
use serde_json::json;
use support::*;

#[tokio::test]
async fn the_story_on_sqlite() {
    story(&Place::sqlite()).await;
}

#[tokio::test]
async fn the_story_on_postgres() {
    if let Some(place) = Place::postgres().await {
        story(&place).await;
    }
}

async fn story(place: &Place) {
    a_first_start(place).await;
    a_run_is_followed(place).await;
    a_run_goes_back(place).await;
    another_log_is_read_anew(place).await;
    the_list_has_pages(place).await;
    records_are_kept(place).await;
    a_backup_is_restored(place).await;
    an_index_is_made_again(place).await;
    a_newer_database_is_refused(place).await;
    another_home_is_refused(place).await;
}

async fn a_first_start(place: &Place) {
    let storage = place.open().await;
    assert_eq!(storage.kind() == DatabaseKind::Sqlite, place.url.is_none());
    storage.check().await.unwrap();
    let id = storage.home_id().to_owned();
    assert_eq!(std::fs::read_to_string(place.home.path().join("home.id")).unwrap().trim(), id);
    assert_eq!(place.home.path().join("apertis.db").is_file(), place.url.is_none());
    let page = storage.runs(&RunQuery::default()).await.unwrap();
    assert_eq!(page, RunPage::default());
    assert_eq!(storage.run("nobody").await.unwrap(), None);
    storage.close().await;
    assert_eq!(place.open().await.home_id(), id);
}

async fn a_run_is_followed(place: &Place) {
    let storage = place.open().await;
    let mut log = Log::default();
    log.start()
        .add(0, evaluated(4.5))
        .steps(1, 30)
        .add(30, evaluated(3.0))
        .add(30, CheckpointSaved { bytes: 2_000_000, ..CheckpointSaved::default() });
    let first = storage.mirror(&parts("a", log.part(0, 5))).await.unwrap();
    assert!(first.is_changed);
    assert_eq!((first.row.step, first.row.seq, first.row.status.name.as_str()), (2, Some(4), "interrupted"));
    assert_eq!(first.row.created_at, "2026-11-22T00:00:00.000Z");

    // A part that does not begin where the index ends changes nothing.
    let skipped = storage.mirror(&parts("a", log.part(6, 8))).await;
    assert!(matches!(skipped, Err(StorageError::PlaceMoved { .. })), "{skipped:?}");
    assert_eq!(storage.places("a").await.unwrap(), (log.place(5), LogPlace::default()));

    let mut rest = parts("a", log.part(5, log.lines.len()));
    rest.lock = LockFacts { is_held: true, ..LockFacts::default() };
    let row = storage.mirror(&rest).await.unwrap().row;
    assert_eq!((row.status.name.as_str(), row.status.is_active, row.step, row.total_steps), ("training", true, 30, 1000));
    assert_eq!((row.best_loss, row.best_step), (Some(3.0), Some(30)));
    let pace: u64 = (11..=30).map(|step| finished_step(step).tokens).sum();
    assert_eq!(row.tokens_per_second, Some(pace as f64 / 2.0));
    assert_eq!(row.left_ms, Some(100 * 970));
    assert_eq!(row.curve.len(), 30);
    let unchanged = storage.mirror(&RunParts { log: None, ..rest.clone() }).await.unwrap();
    assert!(!unchanged.is_changed);

    let whole = storage.run("a").await.unwrap().unwrap();
    assert_eq!(whole.row, row);
    assert_eq!(whole.details.plan.unwrap().parameters, 124);
    let curves = storage.curves("a", &CurveQuery::default()).await.unwrap();
    assert_eq!(curves.seq, row.seq);
    let names: Vec<&str> = curves.curves.iter().map(|curve| curve.name.as_str()).collect();
    let steps = ["grad_norm", "learning_rate", "loss", "step_ms", "tokens_per_second"];
    let evaluations = ["accuracy", "eval_loss", "eval_loss_high", "eval_loss_low", "perplexity"];
    assert_eq!(names, [steps, evaluations].concat());
    let loss = &curves.curves[2];
    assert_eq!((loss.unit, loss.bin, loss.total, loss.step.len(), loss.min.len()), ("nats", 1, 30, 30, 0));
    assert_eq!(loss.mean[0], Some(finished_step(1).loss as f32));
    assert_eq!(curves.curves[0].mean[2], None, "what is no number is absent");
    assert_eq!(loss.tokens[29], (1..=30).map(|step| finished_step(step).tokens).sum::<u64>());
    let marks: Vec<(&str, u64)> = curves.marks.iter().map(|mark| (mark.kind.as_str(), mark.step)).collect();
    assert_eq!(marks, [("evaluation", 0), ("evaluation", 30), ("checkpoint", 30)]);
    let ends = storage.curve_ends("a", &["loss", "eval_loss", "none"]).await.unwrap();
    let losses = || loss.mean.iter().flatten().copied();
    assert_eq!(ends.iter().map(|end| end.name.as_str()).collect::<Vec<_>>(), ["loss", "eval_loss"]);
    assert_eq!((ends[0].min, ends[0].max), (losses().reduce(f32::min), losses().reduce(f32::max)));
    assert_eq!(ends[0].last, Some(finished_step(30).loss as f32));
    let part = CurveQuery { names: vec!["loss".into()], from: Some(10), to: Some(20), ..CurveQuery::default() };
    let part = storage.curves("a", &part).await.unwrap();
    assert_eq!((part.curves.len(), part.curves[0].step.first(), part.curves[0].step.last()), (1, Some(&10), Some(&20)));
    let after = CurveQuery { after: Some(curves.seq.unwrap() - 3), ..CurveQuery::default() };
    let after = storage.curves("a", &after).await.unwrap();
    assert_eq!(after.curves[2].step, [30]);

    let kinds = storage.events("a", &EventQuery { kinds: vec!["evaluated".into()], ..EventQuery::default() }).await.unwrap();
    assert_eq!(kinds.iter().map(|stored| stored.event.step).collect::<Vec<_>>(), [0, 30]);
    let newest = storage.events("a", &EventQuery { is_newest_first: true, limit: 1, ..EventQuery::default() }).await.unwrap();
    assert_eq!(newest[0].event, log.lines.last().unwrap().event);
    assert_eq!(storage.line_place("a", 20).await.unwrap(), Some(LinePlace { seq: 0, offset: 0 }));

    let mut samples = RunParts { facts: rest.facts.clone(), lock: rest.lock.clone(), ..RunParts::default() };
    let sample = |number: u64| Sample {
        step: number * 3,
        elapsed_ms: number * 1000,
        values: vec![("cpu_percent".into(), 50.0), ("no name".into(), 1.0)],
        ..Sample::default()
    };
    let to = LogPlace { offset: 100, first_line: "x".into() };
    samples.samples = Some(SamplePart { from: LogPlace::default(), to, samples: (0..10).map(sample).collect() });
    assert!(!storage.mirror(&samples).await.unwrap().is_changed);
    let curves = storage.curves("a", &CurveQuery { names: vec!["cpu_percent".into()], ..CurveQuery::default() }).await.unwrap();
    assert_eq!((curves.curves.len(), curves.curves[0].elapsed_ms.len(), curves.curves[0].unit), (1, 10, "%"));
}

/// Resume, rewind and a start over: what stands is what the domain says, at every cut of the log.
async fn a_run_goes_back(place: &Place) {
    let storage = place.open().await;
    let mut log = Log::default();
    log.start().add(0, evaluated(4.5)).steps(1, 4700).add(4700, evaluated(1.0)).steps(4701, 5000);
    log.add(4096, resumed(4096)).steps(4097, 4200).add(4200, evaluated(2.0)).steps(4201, 4300);
    log.add(4150, RunRewound { to_step: 4150, reason: "loss_spike".into(), rows: Vec::new() }).steps(4151, 4160);
    let events = log.events();
    let stands = standing(&events);
    let expected = |kind: &str| -> Vec<u64> {
        let of_kind = events.iter().zip(&stands).filter(|(event, stands)| **stands && event.kind.name() == kind);
        of_kind.map(|(event, _)| event.seq).collect()
    };
    for cuts in [vec![], vec![1000, 4705, 5004, 5005, 5211], (1..11).map(|part| part * 500).collect()] {
        let id = format!("back-{}", cuts.len());
        let mut from = 0;
        for to in cuts.into_iter().chain([log.lines.len()]) {
            let mut parts = parts(&id, log.part(from, to));
            parts.facts.name = "back".to_owned();
            storage.mirror(&parts).await.unwrap();
            from = to;
        }
        let every = CurveQuery { points: 100_000, superseded: true, ..CurveQuery::default() };
        let curves = storage.curves(&id, &every).await.unwrap().curves;
        let of = |name: &str| curves.iter().filter(|curve| curve.name == name).collect::<Vec<_>>();
        let loss = of("loss");
        assert_eq!(loss[0].seq, expected("step_finished"), "{id}");
        assert_eq!(loss[0].step, (1..=4160).collect::<Vec<u64>>());
        // The tail of the first attempt, then that of the second.
        let tails: Vec<(u64, u64)> = loss[1..].iter().map(|curve| (curve.step[0], *curve.step.last().unwrap())).collect();
        assert_eq!(tails, [(4097, 5000), (4151, 4300)]);
        assert_eq!(of("eval_loss")[0].seq, expected("evaluated"));
        let row = storage.run(&id).await.unwrap().unwrap().row;
        let record: u64 = (1..=4160).map(|step| finished_step(step).tokens).sum();
        assert_eq!((row.step, row.tokens, row.best_loss, row.best_step), (4160, record, Some(4.5), Some(0)), "{id}");
        let standing = EventQuery { is_standing: true, kinds: vec!["evaluated".into()], ..EventQuery::default() };
        assert_eq!(storage.events(&id, &standing).await.unwrap().len(), 1);
        assert_eq!(storage.line_place(&id, 5000).await.unwrap().unwrap().seq, 4096);
    }
    // However the log was cut, the index is the same.
    let lines = storage.index_lines().await.unwrap();
    let of = |id: &str| -> Vec<String> { lines.iter().filter(|line| line.contains(id)).map(|line| line.replace(id, "back")).collect() };
    assert_eq!(of("back-0"), of("back-5"));
    assert_eq!(of("back-0"), of("back-10"));

    // Killed before its first checkpoint, a run starts over with the same steps.
    let mut log = Log::default();
    log.start().add(0, evaluated(4.5)).steps(1, 8).add(0, resumed(0)).add(0, evaluated(4.5)).steps(1, 3);
    storage.mirror(&parts("over", log.whole())).await.unwrap();
    let every = CurveQuery { superseded: true, ..CurveQuery::default() };
    let curves = storage.curves("over", &every).await.unwrap().curves;
    let seqs = |name: &str| curves.iter().filter(|curve| curve.name == name).map(|curve| curve.seq.clone()).collect::<Vec<_>>();
    assert_eq!(seqs("loss"), [vec![13, 14, 15], (3..=10).collect()]);
    assert_eq!(seqs("eval_loss"), [vec![12], vec![2]]);
}

async fn another_log_is_read_anew(place: &Place) {
    let storage = place.open().await;
    let mut log = Log::default();
    log.start().steps(1, 300);
    storage.mirror(&parts("again", log.whole())).await.unwrap();
    let mut other = Log::default();
    other.start().steps(1, 5);
    let row = storage.mirror(&parts("again", other.whole())).await.unwrap().row;
    assert_eq!((row.step, row.seq, row.curve.len()), (5, Some(6), 5));
    assert_eq!(storage.curves("again", &CurveQuery::default()).await.unwrap().curves[0].total, 5);
    // A log that is gone leaves an empty run.
    let empty = LogPart::default();
    let row = storage.mirror(&parts("again", empty)).await.unwrap().row;
    assert_eq!((row.step, row.seq, row.curve.len()), (0, None, 0));
    storage.forget("again").await.unwrap();
    assert!(!storage.index_lines().await.unwrap().iter().any(|line| line.contains("again")));
}

async fn the_list_has_pages(place: &Place) {
    let storage = place.open().await;
    storage.clear_index().await.unwrap();
    for number in 0..23u64 {
        let mut log = Log::default();
        log.start().steps(1, 1 + number % 4);
        if number % 3 > 0 {
            log.add(1, evaluated((number % 5) as f64));
        }
        if number % 2 == 0 {
            log.add(1, RunFailed { code: "model_not_finite".into(), message: "it failed".into(), hint: "try".into() });
        }
        let mut parts = parts(&format!("id-{number:02}"), log.whole());
        parts.facts.name = format!("Lauf-{number}");
        parts.facts.created_at = format!("2026-11-{:02}", 30 - number);
        parts.facts.tags = if number < 5 { vec!["früh".into(), "100%".into()] } else { Vec::new() };
        parts.facts.notes = if number == 7 { "Über_Nacht".into() } else { String::new() };
        parts.facts.is_trash = number >= 20;
        parts.facts.queue_place = (number < 3).then_some(3 - number);
        storage.mirror(&parts).await.unwrap();
    }
    for (sort, word) in RunSort::ALL {
        assert_eq!(RunSort::from_word(word), Some(sort));
        for order in [RunOrder::Asc, RunOrder::Desc] {
            let all = storage.runs(&RunQuery { sort, order: Some(order), limit: 200, ..RunQuery::default() }).await.unwrap();
            assert_eq!((all.rows.len(), all.total, all.of, all.next), (20, 20, 20, None));
            for limit in [1, 3, 7, 19, 20] {
                let mut query = RunQuery { sort, order: Some(order), limit, ..RunQuery::default() };
                let mut paged = Vec::new();
                loop {
                    let page = storage.runs(&query).await.unwrap();
                    assert!(page.rows.len() <= limit as usize);
                    paged.extend(page.rows);
                    query.cursor = page.next;
                    if query.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(paged, all.rows, "{word} {order:?} by {limit}");
            }
        }
    }
    let list = async |query: RunQuery| -> Vec<String> {
        let page = storage.runs(&query).await.unwrap();
        assert_eq!((page.rows.len() as u64, page.of), (page.total, if query.is_trash { 3 } else { 20 }));
        page.rows.into_iter().map(|row| row.facts.name).collect()
    };
    let by_name = RunQuery { sort: RunSort::Name, limit: 200, ..RunQuery::default() };
    let names = list(by_name.clone()).await;
    assert_eq!(names[..3], ["Lauf-0", "Lauf-1", "Lauf-2"]);
    assert_eq!(names[19], "Lauf-19");
    let text = |text: &str| RunQuery { text: text.into(), ..by_name.clone() };
    assert_eq!(list(text("über_nacht")).await, ["Lauf-7"]);
    assert_eq!(list(text("überxnacht")).await, [""; 0]);
    assert_eq!(list(text("100% FRÜH starter")).await.len(), 5);
    assert_eq!(list(text("lauf-1")).await.len(), 11);
    assert_eq!(list(RunQuery { tag: Some("früh".into()), ..by_name.clone() }).await.len(), 5);
    assert_eq!(list(RunQuery { states: vec!["failed".into()], ..by_name.clone() }).await.len(), 10);
    assert_eq!(list(RunQuery { states: vec!["failed".into(), "interrupted".into()], ..by_name.clone() }).await.len(), 20);
    assert_eq!(list(RunQuery { model: Some("other".into()), ..by_name.clone() }).await.len(), 0);
    assert_eq!(list(RunQuery { is_active: Some(true), ..by_name.clone() }).await.len(), 0);
    assert_eq!(list(RunQuery { is_trash: true, ..by_name.clone() }).await, ["Lauf-20", "Lauf-21", "Lauf-22"]);
    let best = storage.runs(&RunQuery { sort: RunSort::BestLoss, limit: 200, ..RunQuery::default() }).await.unwrap();
    let losses: Vec<Option<f64>> = best.rows.iter().map(|row| row.best_loss).collect();
    let with: Vec<f64> = losses.iter().map_while(|loss| *loss).collect();
    assert!(with.is_sorted() && with.len() == 13 && losses[13..].iter().all(Option::is_none), "{losses:?}");
    let queue: Vec<String> = storage.queue().await.unwrap().into_iter().map(|row| row.facts.id).collect();
    assert_eq!(queue, ["id-02", "id-01", "id-00"]);
    assert_eq!(storage.tags().await.unwrap(), [("100%".to_owned(), 5), ("früh".to_owned(), 5)]);
    let ids = ["id-03".to_owned(), "gone".to_owned(), "id-01".to_owned()];
    let rows = storage.rows(&ids).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.facts.id.as_str()).collect::<Vec<_>>(), ["id-03", "id-01"]);
    assert_eq!(rows[1].failure, "");
    for cursor in ["", "7", "zz", "7b7d", "é"] {
        let refused = storage.runs(&RunQuery { cursor: Some(cursor.to_owned()), ..RunQuery::default() }).await;
        assert!(matches!(refused, Err(StorageError::Query { .. })), "{cursor}: {refused:?}");
    }
    // What a person changes shows at once, without a new line.
    let mut renamed = RunParts { facts: rows[0].facts.clone(), ..RunParts::default() };
    renamed.facts.tags = vec!["neu".into()];
    assert!(storage.mirror(&renamed).await.unwrap().is_changed);
    assert_eq!(list(RunQuery { tag: Some("neu".into()), ..by_name.clone() }).await, ["Lauf-3"]);
    assert_eq!(list(RunQuery { tag: Some("früh".into()), ..by_name }).await.len(), 4);
    let cards = [ShelfCard { id: "b".into(), card: json!({"name": "B"}) }, ShelfCard { id: "a".into(), card: json!(null) }];
    storage.put_shelf(ShelfKind::Models, &cards).await.unwrap();
    storage.put_shelf(ShelfKind::Models, &cards).await.unwrap();
    assert_eq!(storage.shelf(ShelfKind::Models).await.unwrap(), cards);
    assert_eq!(storage.shelf(ShelfKind::Data).await.unwrap(), []);
}

async fn records_are_kept(place: &Place) {
    let storage = place.open().await;
    let key = KeyRecord {
        id: "k1".into(),
        name: "phone".into(),
        prefix: "ap_12".into(),
        hash: "h1".into(),
        created_at: "2026-01-01".into(),
        ..KeyRecord::default()
    };
    storage.add_key(&key).await.unwrap();
    assert!(storage.add_key(&key).await.is_err());
    storage.add_key(&KeyRecord { id: "k2".into(), hash: "h2".into(), ..key.clone() }).await.unwrap();
    storage.key_used("k1", "2026-01-02").await.unwrap();
    let used = KeyRecord { used_at: Some("2026-01-02".into()), ..key };
    assert_eq!(storage.key_by_hash("h1").await.unwrap(), Some(used.clone()));
    let session = |hash: &str, key: &str, expires_at: &str| SessionRecord {
        hash: hash.into(),
        key_id: key.into(),
        created_at: "2026-01-01".into(),
        expires_at: expires_at.into(),
        ..SessionRecord::default()
    };
    for session in [session("s1", "k1", "2026-02-01"), session("s2", "k2", "2026-02-01"), session("s3", "k2", "2026-01-03")] {
        storage.add_session(&session).await.unwrap();
    }
    assert_eq!(storage.session_by_hash("s3", "2026-01-02").await.unwrap(), Some(session("s3", "k2", "2026-01-03")));
    assert_eq!(storage.session_by_hash("s3", "2026-01-03").await.unwrap(), None);
    assert_eq!(storage.remove_ended_sessions("2026-01-03").await.unwrap(), 1);
    assert!(storage.revoke_key("k1", "2026-01-04").await.unwrap());
    assert!(!storage.revoke_key("k1", "2026-01-05").await.unwrap());
    assert_eq!(storage.key_by_hash("h1").await.unwrap(), None);
    assert_eq!(storage.sessions("2026-01-04").await.unwrap(), [session("s2", "k2", "2026-02-01")]);
    assert!(storage.end_session("s2").await.unwrap() && !storage.end_session("s2").await.unwrap());
    assert_eq!(storage.keys().await.unwrap()[0], KeyRecord { revoked_at: Some("2026-01-04".into()), ..used });

    assert_eq!(storage.setting("server").await.unwrap(), None);
    assert_eq!(storage.save_setting("server", &json!({"theme": "dark"}), Some(0)).await.unwrap(), 1);
    assert_eq!(storage.save_setting("server", &json!({"theme": "light"}), Some(1)).await.unwrap(), 2);
    match storage.save_setting("server", &json!({}), Some(1)).await {
        Err(StorageError::Conflict { expected: 1, found: 2, value, .. }) => assert_eq!(value, json!({"theme": "light"})),
        other => panic!("{other:?}"),
    }
    assert_eq!(storage.save_setting("server", &json!({"theme": "system"}), None).await.unwrap(), 3);
    assert_eq!(storage.setting("server").await.unwrap().unwrap().version, 3);

    let job = |id: &str, state: &str| JobRecord {
        id: id.into(),
        kind: "upload".into(),
        state: state.into(),
        created_at: format!("2026-01-01 {id}"),
        progress: Some(0.5),
        ..JobRecord::default()
    };
    for job in [job("j1", "running"), job("j2", "done"), job("j3", "waiting")] {
        storage.save_job(&job).await.unwrap();
    }
    storage.add_job_lines("j1", "2026-01-01", &["one".into(), "two\0".into()]).await.unwrap();
    storage.add_job_lines("j1", "2026-01-02", &["three".into()]).await.unwrap();
    let lines = storage.job_lines("j1", 1, 10).await.unwrap();
    assert_eq!(lines.iter().map(|line| (line.number, line.text.as_str())).collect::<Vec<_>>(), [(2, "two"), (3, "three")]);
    let interrupted = storage.interrupt_jobs("2026-01-03").await.unwrap();
    assert_eq!(interrupted.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["j1", "j3"]);
    let states: Vec<String> = storage.jobs(10).await.unwrap().into_iter().map(|job| job.state).collect();
    assert_eq!(states, ["interrupted", "done", "interrupted"]);
    assert_eq!(storage.job("j2").await.unwrap(), Some(job("j2", "done")));
    assert!(storage.remove_job("j3").await.unwrap() && !storage.remove_job("j3").await.unwrap());
}

async fn a_backup_is_restored(place: &Place) {
    let storage = place.open().await;
    let file = place.home.path().join("records.jsonl");
    let counts = storage.backup(&file, "2026-01-05").await.unwrap();
    assert_eq!(counts, [("record_keys", 2), ("record_sessions", 0), ("record_settings", 1), ("record_jobs", 2), ("record_job_lines", 3)]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 9);

    // Into a fresh home, whichever database wrote it.
    let fresh = Place::sqlite();
    let restored = fresh.open().await;
    restored.save_setting("other", &json!(1), None).await.unwrap();
    assert_eq!(restored.restore(&file).await.unwrap(), counts);
    assert_eq!(restored.keys().await.unwrap(), storage.keys().await.unwrap());
    assert_eq!(restored.setting("other").await.unwrap(), None);
    let again = fresh.home.path().join("again.jsonl");
    restored.backup(&again, "2026-01-05").await.unwrap();
    let rows = |path: &std::path::Path| std::fs::read_to_string(path).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&again), rows(&file));

    // Whatever is wrong, nothing changes.
    let before = rows(&again);
    let head = text.lines().next().unwrap();
    for (damaged, expected) in [
        (String::new(), "line 1: expected a first line, found none"),
        ("{}\n".to_owned(), "line 1: expected the first line of a backup"),
        (head.replace("\"apertis_backup\":1", "\"apertis_backup\":2"), "line 1: expected version 1 or older, found 2"),
        (format!("{head}\n{{\"table\":\"index_runs\",\"row\":{{}}}}"), "line 2: expected a table of records, found `index_runs`"),
        (format!("{head}\n{{\"table\":\"record_settings\",\"row\":{{\"name\":1}}}}"), "line 2: record_settings.name: found 1"),
        (
            format!("{head}\n{{\"table\":\"record_keys\",\"row\":{{\"x; DROP\":1}}}}"),
            "line 2: record_keys: expected a column of it, found `x; DROP`",
        ),
        (text[..text.len() - 10].to_owned(), "line 9: expected JSON"),
    ] {
        let path = fresh.home.path().join("damaged.jsonl");
        std::fs::write(&path, &damaged).unwrap();
        let error = restored.restore(&path).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    restored.backup(&again, "2026-01-05").await.unwrap();
    assert_eq!(rows(&again), before);
}

async fn an_index_is_made_again(place: &Place) {
    let storage = place.open().await;
    let mut logs = Vec::new();
    for number in 0..3u64 {
        let mut log = Log::default();
        log.start().steps(1, 300).add(300, evaluated(2.0)).steps(301, 700).add(500, resumed(500)).steps(501, 600 + number);
        logs.push(log);
    }
    let fill = async |cuts: &[usize]| {
        storage.clear_index().await.unwrap();
        for (number, log) in logs.iter().enumerate() {
            let mut from = 0;
            for to in cuts.iter().copied().chain([log.lines.len()]) {
                storage.mirror(&parts(&format!("r{number}"), log.part(from, to))).await.unwrap();
                from = to;
            }
        }
        storage.index_lines().await.unwrap()
    };
    let before = fill(&[3, 250, 256, 258, 300, 704, 705, 706]).await;
    let keys = storage.keys().await.unwrap();
    assert!(!keys.is_empty() && before.len() > 30);
    assert_eq!(fill(&[]).await, before);
    assert_eq!(storage.keys().await.unwrap(), keys, "records stay");
}

async fn a_newer_database_is_refused(place: &Place) {
    place.open().await.close().await;
    let mut connection = place.connect().await;
    let noted = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', TRUE, $1, 0)";
    sqlx::query(noted).bind(vec![1u8, 2]).execute(&mut connection).await.unwrap();
    match apertis_storage::Storage::open(place.home.path(), place.url.as_deref()).await {
        Err(error @ StorageError::Newer { found: 99, .. }) => assert!(error.hint().unwrap().contains("version of apertis")),
        other => panic!("{other:?}"),
    }
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 99").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    place.open().await.close().await;
}

async fn another_home_is_refused(place: &Place) {
    let storage = place.open().await;
    let id = storage.home_id().to_owned();
    storage.close().await;
    std::fs::write(place.home.path().join("home.id"), "another\n").unwrap();
    let refused = apertis_storage::Storage::open(place.home.path(), place.url.as_deref()).await;
    match refused {
        Err(error @ StorageError::OtherHome { .. }) => {
            assert!(error.to_string().ends_with(&format!("expected home another, found home {id}")), "{error}");
            assert!(error.hint().is_some());
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(place.home.path().join("home.id"), id).unwrap();
}
