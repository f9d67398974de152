//! Run folders, checkpoints, requests and the queue before a device.

mod support;

use std::fs;
use std::time::Duration;

use apertis_domain::event::*;
use apertis_domain::{Action, CheckpointMark, CheckpointStore, Control, EventKind, EventSink, Recipe};
use apertis_runs::checkpoints::{CheckpointIndex, FolderStore};
use apertis_runs::control::ask;
use apertis_runs::log::read_log;
use apertis_runs::run_lock::RunLock;
use apertis_runs::slot::Ticket;
use apertis_runs::{Home, OpenOptions, Opened, RunCard, RunFolder, RunsError, default_root, trash, worker};
use support::*;

#[test]
fn names_are_numbered_and_never_overwritten() {
    let (_guard, home) = home();
    let create = |name: &str| RunFolder::create(&home, &recipe(name)).map(|run| run.name());
    assert_eq!(create("").unwrap(), "lora-1");
    assert_eq!(create("").unwrap(), "lora-2");
    assert_eq!(create("lora-10").unwrap(), "lora-10");
    assert_eq!(create("").unwrap(), "lora-11");
    assert_eq!(create("mine").unwrap(), "mine");
    let taken = create("mine").unwrap_err();
    assert_eq!(taken.to_string(), "create run: `mine` already exists");
    assert!(taken.hint().unwrap().contains("resume=mine"));
    assert!(matches!(create("../evil"), Err(RunsError::Name(_))));
    let names: Vec<_> = RunFolder::all(&home).unwrap().iter().map(RunFolder::name).collect();
    assert_eq!(names, ["lora-1", "lora-2", "lora-10", "lora-11", "mine"]);

    let found = RunFolder::find(&home, "mine").unwrap();
    assert_eq!(RunFolder::find(&home, found.path().to_str().unwrap()).unwrap(), found);
    let missing = RunFolder::find(&home, "mien").unwrap_err();
    assert_eq!(missing.hint().unwrap(), "did you mean `mine`?");
}

#[test]
fn a_written_recipe_makes_a_new_run() {
    let (_guard, home) = home();
    let recipe = Recipe { epochs: 2.5, ..recipe("named") };
    let folder = RunFolder::create(&home, &recipe).unwrap();
    let read = folder.recipe().unwrap();
    assert_eq!(read, Recipe { name: String::new(), ..recipe });
    assert_eq!(RunFolder::create(&home, &read).unwrap().name(), "lora-1");
}

#[test]
fn the_home_is_where_the_platform_says() {
    let root = |pairs: &[(&str, &str)]| {
        default_root(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()))
            .map(|path| path.to_string_lossy().into_owned())
    };
    assert_eq!(root(&[("APERTIS_HOME", "/x"), ("HOME", "/h")]).as_deref(), Some("/x"));
    assert_eq!(root(&[]), None);
    if cfg!(target_os = "linux") {
        assert_eq!(root(&[("HOME", "/h")]).as_deref(), Some("/h/.local/share/apertis"));
        assert_eq!(root(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")]).as_deref(), Some("/d/apertis"));
    }
}

fn save(store: &mut FolderStore, step: u64, is_best: bool) {
    let path = store.begin(step).unwrap();
    fs::create_dir(path.join("adapter")).unwrap();
    fs::write(path.join("adapter/weights"), format!("weights {step}")).unwrap();
    let saved = store.commit(step, CheckpointMark { is_best, is_last: true }).unwrap();
    assert_eq!(saved.bytes, format!("weights {step}").len() as u64);
}

fn steps(folder: &RunFolder) -> Vec<u64> {
    let index = CheckpointIndex::read(folder).unwrap();
    let on_disk = fs::read_dir(folder.checkpoints()).unwrap().filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count();
    assert_eq!(on_disk, index.checkpoints.len(), "no folder without an entry");
    index.checkpoints.iter().map(|entry| entry.step).collect()
}

#[test]
fn the_best_and_the_last_checkpoint_stay() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("keep")).unwrap();
    let (mut store, _) = FolderStore::open(&folder, 3).unwrap();
    for step in 1..=6 {
        save(&mut store, step, step == 2);
    }
    assert_eq!(steps(&folder), [2, 5, 6], "best, last, and the newest of the others");
    let read = |link: std::path::PathBuf| fs::read_to_string(link.join("adapter/weights")).unwrap();
    assert_eq!((read(folder.best()), read(folder.last())), ("weights 2".into(), "weights 6".into()));
    store.mark_best(5).unwrap();
    assert_eq!(read(folder.best()), "weights 5");
    assert!(store.mark_best(1).is_err());

    // A step saved again, after going back, gets a folder of its own.
    save(&mut store, 6, false);
    assert_eq!(store.last().unwrap().folder, folder.checkpoints().join("step-000006-2"));
    assert_eq!(steps(&folder), [2, 5, 6]);
    store.begin(7).unwrap();
    store.discard(7);
    assert_eq!(steps(&folder), [2, 5, 6]);
}

#[test]
fn what_an_interrupted_worker_left_is_removed_and_links_are_made_anew() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("left")).unwrap();
    let (mut store, _) = FolderStore::open(&folder, 3).unwrap();
    save(&mut store, 1, true);
    // Killed while writing step 2; and between the rename of step 3 and the new index.
    fs::write(store.begin(2).unwrap().join("half"), "").unwrap();
    fs::create_dir(folder.checkpoints().join("step-000003")).unwrap();
    fs::remove_file(folder.last()).unwrap();
    fs::remove_file(folder.best()).unwrap();
    fs::write(folder.checkpoints().join(".link.77.tmp"), "").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("step-000002.tmp", folder.best()).unwrap();
    let (store, damaged) = FolderStore::open(&folder, 3).unwrap();
    assert!(damaged.is_empty());
    assert_eq!((steps(&folder), store.last().unwrap().step), (vec![1], 1));
    for link in [folder.best(), folder.last()] {
        assert_eq!(fs::read_to_string(link.join("adapter/weights")).unwrap(), "weights 1");
    }
}

#[test]
fn a_damaged_checkpoint_is_put_aside_for_the_one_before() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("damaged")).unwrap();
    let mut first = session(&folder, &options());
    save(&mut first.checkpoints, 1, false);
    save(&mut first.checkpoints, 2, false);
    drop(first);
    fs::write(folder.last().join("adapter/weights"), "weights X").unwrap();
    let second = session(&folder, &options());
    assert_eq!(second.resume_from().unwrap().step, 1);
    assert!(folder.checkpoints().join("step-000002.damaged").exists());
    let events = read_log(&folder.events()).unwrap();
    let said = events.iter().find_map(|event| match &event.kind {
        EventKind::CheckpointDamaged(damaged) => Some(damaged.message.clone()),
        _ => None,
    });
    assert!(said.unwrap().starts_with("step-000002: adapter/weights: expected checksum"));
}

#[test]
fn requests_reach_their_attempt_once_and_in_order() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("asked")).unwrap();
    let mut first = session(&folder, &options());
    assert_eq!(ask(&folder, &Action::Pause).unwrap(), "1-1");
    assert_eq!(ask(&folder, &Action::SetLearningRate { learning_rate: 1e-5 }).unwrap(), "1-2");
    fs::write(folder.control().join("1-3.json"), "not a request").unwrap();
    let commands = first.control.poll(1);
    let actions: Vec<_> = commands.iter().map(|command| command.action.name()).collect();
    assert_eq!(actions, ["pause", "set_learning_rate"]);
    std::thread::sleep(Duration::from_millis(60));
    assert!(first.control.poll(1).is_empty(), "each is given once");
    assert_eq!(ask(&folder, &Action::SaveNow).unwrap(), "1-4");
    drop(first);

    // The next attempt never applies what was asked of the one before; it answers it.
    let mut second = session(&folder, &options());
    assert!(second.control.poll(1).is_empty());
    let events = read_log(&folder.events()).unwrap();
    let answers: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::CommandAnswered(answer) => Some((answer.id.as_str(), answer.accepted)),
            _ => None,
        })
        .collect();
    let refused = [("1-3", false), ("1-1", false), ("1-2", false), ("1-4", false)];
    assert_eq!(answers, refused, "the one that is no request at once");
    assert_eq!(ask(&folder, &Action::Stop { now: true }).unwrap(), "2-1");
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(second.control.poll(1)[0].action, Action::Stop { now: true });
}

#[test]
fn a_run_killed_for_memory_goes_on_with_half_the_micro_batch_once() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("memory")).unwrap();
    let die = |message: &str| {
        let mut session = session(&folder, &options());
        session.events.emit(0, plan().into()).unwrap();
        let decisions: Vec<_> = session.decisions().iter().map(|event| event.kind.clone()).collect();
        drop(session);
        let log = fs::read_to_string(folder.worker_log()).unwrap();
        fs::write(folder.worker_log(), log + message).unwrap();
        decisions
    };
    let out_of_memory = "memory allocation of 1234 bytes failed\n";
    assert!(die(out_of_memory).is_empty());
    let halved: EventKind = MicroBatchHalved { from_tokens: 1024, to_tokens: 512, reason: "memory".to_owned() }.into();
    assert_eq!(die(out_of_memory), std::slice::from_ref(&halved));
    assert_eq!(die(""), std::slice::from_ref(&halved), "halved once, and repeated");
    assert_eq!(die(""), [halved], "what an earlier worker said explains nothing");
}

#[test]
fn a_finished_run_is_only_opened_to_extend_it() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("done")).unwrap();
    session(&folder, &options()).end(5, RunFinished::default()).unwrap();
    let before = fs::read(folder.events()).unwrap();
    assert!(matches!(worker::open(&folder, &options()).unwrap(), Opened::Finished(_)));
    assert_eq!(fs::read(folder.events()).unwrap(), before);
    let extended = session(&folder, &OpenOptions { extend: true, ..options() });
    assert_eq!(extended.attempt(), 2);
    let resumed = read_log(&folder.events()).unwrap().pop().unwrap();
    assert!(matches!(resumed.kind, EventKind::RunResumed(resumed) if resumed.cause == "finished"));
}

#[test]
fn another_version_is_noted() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("versions")).unwrap();
    drop(session(&folder, &options()));
    drop(session(&folder, &OpenOptions { version: "0.2.0".to_owned(), ..options() }));
    let resumed = read_log(&folder.events()).unwrap().pop().unwrap();
    let EventKind::RunResumed(resumed) = resumed.kind else { panic!("{resumed:?}") };
    assert_eq!((resumed.version.as_str(), resumed.version_before.as_str()), ("0.2.0", "0.1.0"));
}

#[test]
fn a_device_is_taken_in_the_order_of_coming() {
    let (_guard, home) = home();
    let take = || Ticket::take(&home, "cpu").unwrap();
    let (first, second, third) = (take(), take(), take());
    assert_eq!(second.try_slot().unwrap().unwrap_err(), 2, "nobody overtakes");
    let slot = first.try_slot().unwrap().unwrap();
    drop(first);
    assert_eq!(second.try_slot().unwrap().unwrap_err(), 1);
    assert_eq!(third.try_slot().unwrap().unwrap_err(), 2);
    drop(second);
    assert_eq!(third.try_slot().unwrap().unwrap_err(), 1, "who left does not count");
    drop(slot);
    assert!(third.try_slot().unwrap().is_ok());
    // Another device is another queue.
    assert!(Ticket::take(&home, "gpu0").unwrap().try_slot().unwrap().is_ok());
}

#[test]
fn a_queued_run_can_be_stopped_or_hurried() {
    let (_guard, home) = home();
    let ticket = Ticket::take(&home, "cpu").unwrap();
    let _slot = ticket.try_slot().unwrap().unwrap();
    drop(ticket);
    let folder = RunFolder::create(&home, &recipe("waits")).unwrap();
    let mut waiting = session(&folder, &options());
    waiting.wait_for_device(&home, "cpu", true).unwrap();
    ask(&folder, &Action::Stop { now: false }).unwrap();
    let stopped = waiting.wait_for_device(&home, "cpu", false).unwrap_err();
    assert!(matches!(stopped, RunsError::StoppedInQueue { .. }), "{stopped}");
    let names: Vec<_> = read_log(&folder.events()).unwrap().iter().map(|event| event.kind.name().to_owned()).collect();
    assert_eq!(names, ["run_started", "run_queued", "command_answered"]);
}

#[test]
fn the_reproducibility_record_reads_back_and_tells_differences() {
    let (_guard, home) = home();
    let folder = RunFolder::create(&home, &recipe("lock")).unwrap();
    assert_eq!(RunLock::read(&folder).unwrap(), None);
    let lock = RunLock { data_hash: "a".to_owned(), threads: 2, ..RunLock::default() };
    lock.write(&folder).unwrap();
    assert_eq!(RunLock::read(&folder).unwrap().as_ref(), Some(&lock));
    let found = RunLock { data_hash: "b".to_owned(), threads: 4, ..RunLock::default() };
    assert_eq!(lock.differences(&found), ["data: a before, b now"]);
}

#[test]
fn a_title_that_no_folder_can_have_is_kept_on_the_card() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::open(place.path()).unwrap();
    let create = |name: &str| RunFolder::create(&home, &Recipe { name: name.to_owned(), ..Recipe::default() });
    let first = create("Тон голоса").unwrap();
    assert_eq!((first.name().as_str(), RunCard::open(&home, &first).unwrap().title()), ("run", "Тон голоса"));
    // Another title with the same folder name is another run; the same title is taken.
    assert_eq!(create("Другой тон").unwrap().name(), "run-2");
    assert!(matches!(create("Тон голоса"), Err(RunsError::NameTaken { .. })));
    // A name that a folder can have is taken in any mix of capitals.
    create("Tone").unwrap();
    assert!(matches!(create("tone"), Err(RunsError::NameTaken { .. })));
}

#[test]
fn a_copied_folder_gets_an_id_of_its_own_and_a_renamed_one_keeps_it() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::open(place.path()).unwrap();
    let run = RunFolder::create(&home, &Recipe { name: "one".to_owned(), ..Recipe::default() }).unwrap();
    let id = RunCard::open(&home, &run).unwrap().id;
    let copy = home.runs().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["recipe.toml", "card.toml"] {
        std::fs::copy(run.path().join(file), copy.join(file)).unwrap();
    }
    let copy = RunFolder::open(&copy).unwrap();
    assert_ne!(RunCard::open(&home, &copy).unwrap().id, id);
    let renamed = home.runs().join("renamed");
    std::fs::rename(run.path(), &renamed).unwrap();
    assert_eq!(RunCard::open(&home, &RunFolder::open(&renamed).unwrap()).unwrap().id, id);
}

#[test]
fn a_deleted_run_comes_back_or_goes_after_thirty_days() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::open(place.path()).unwrap();
    let create = || RunFolder::create(&home, &Recipe { name: "one".to_owned(), ..Recipe::default() }).unwrap();
    let run = create();
    let id = trash::discard(&home, &run).unwrap().id;
    assert!(RunFolder::all(&home).unwrap().is_empty());
    create();
    // Its name was taken meanwhile.
    let restored = trash::restore(&home, &id).unwrap();
    assert_eq!((restored.name().as_str(), RunCard::open(&home, &restored).unwrap().id), ("one-2", id));
    trash::discard(&home, &restored).unwrap();
    let now = std::time::SystemTime::now();
    assert_eq!(trash::sweep(&home, now).unwrap(), 0);
    assert_eq!(trash::sweep(&home, now + trash::KEPT).unwrap(), 1);
    assert!(trash::list(&home).unwrap().is_empty());
}
