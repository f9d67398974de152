//! Whatever a kill leaves behind, the next start has every whole record and goes on from there.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;

use apertis_chats::{AnswerState, ChatStore, ChatsError, Draft, ListQuery};
use support::{copy_folder, done, exchange, log, next, open, path};

#[test]
fn a_log_cut_at_any_byte_of_its_last_record_is_as_before_it() {
    let check = |act: &dyn Fn(&ChatStore, &apertis_chats::ConversationId)| {
        let home = tempfile::tempdir().unwrap();
        let store = open(home.path());
        let id = store.create(next("starter")).unwrap();
        exchange(&store, &id, None, "Ünïcödé 字 question?", "An answer.\nWith \"two\" lines.");
        let before = store.get(&id).unwrap();
        let whole_before = fs::metadata(log(home.path(), &id)).unwrap().len();
        act(&store, &id);
        let after = store.get(&id).unwrap();
        drop(store);
        let bytes = fs::read(log(home.path(), &id)).unwrap();
        assert!(bytes.len() as u64 > whole_before + 1);
        for length in whole_before..=bytes.len() as u64 {
            let home_cut = tempfile::tempdir().unwrap();
            copy_folder(home.path(), home_cut.path());
            OpenOptions::new().write(true).open(log(home_cut.path(), &id)).unwrap().set_len(length).unwrap();
            let store = open(home_cut.path());
            let expected = if length == bytes.len() as u64 { &after } else { &before };
            assert_eq!(&store.get(&id).unwrap(), expected, "cut at {length}");
            let is_cut = length > whole_before && length < bytes.len() as u64;
            assert_eq!(store.recovery().cut.len(), usize::from(is_cut), "cut at {length}");
            // It goes on, and is read again.
            store.say(&id, None, Draft::text("and on")).unwrap();
            let went_on = store.get(&id).unwrap();
            let card = store.card(&id).unwrap();
            drop(store);
            let store = open(home_cut.path());
            assert_eq!(store.get(&id).unwrap(), went_on);
            assert_eq!(store.card(&id).unwrap(), card);
            assert_eq!(went_on.damaged_lines, 0);
        }
    };
    check(&|store, id| {
        store.say(id, None, Draft::text("zweite Frage — 二")).unwrap();
    });
    check(&|store, id| store.rename(id, "Ein Titel").unwrap());
    check(&|store, id| store.delete_message(id, apertis_chats::MessageId(2)).unwrap());
}

#[test]
fn partial_text_survives_a_kill_and_is_interrupted() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    let asked = store.say(&id, None, Draft::text("Tell me a story")).unwrap();
    let answer = store.queue_answer(&id, asked, next("starter")).unwrap();
    store.start_answer(&id, answer).unwrap();
    let queued_too = store.queue_answer(&id, asked, next("other")).unwrap();
    for piece in ["Once ", "upon ", "a time ", "字"] {
        store.grow_answer(&id, answer, piece).unwrap();
    }
    // The files as they are now are what a kill leaves: nothing is told to the store.
    let writing = format!("{id}/writing-{answer}.txt");
    let whole = "Once upon a time 字";
    assert_eq!(fs::read_to_string(home.path().join(&writing)).unwrap(), whole);
    for length in 0..=whole.len() {
        let left = tempfile::tempdir().unwrap();
        copy_folder(home.path(), left.path());
        OpenOptions::new().write(true).open(left.path().join(&writing)).unwrap().set_len(length as u64).unwrap();
        let expected = (0..=length).rev().find_map(|end| whole.get(..end)).unwrap();
        let next_start = open(left.path());
        assert_eq!(next_start.recovery().interrupted, [(id.clone(), answer), (id.clone(), queued_too)]);
        let conversation = next_start.get(&id).unwrap();
        let found = conversation.message(answer).unwrap();
        assert_eq!(found.text, expected, "cut at {length}");
        assert_eq!(found.answer.as_ref().unwrap().state, AnswerState::Interrupted);
        assert_eq!(conversation.message(queued_too).unwrap().answer.as_ref().unwrap().state, AnswerState::Interrupted);
        assert_eq!(next_start.card(&id).unwrap().unfinished, 0);
        assert!(!left.path().join(&writing).exists());
        // What was interrupted stays so, and can be asked again.
        assert!(next_start.grow_answer(&id, answer, "more").is_err());
        let again = next_start.rerun(&id, answer, None).unwrap();
        next_start.end_answer(&id, again, done()).unwrap();
        drop(next_start);
        let third_start = open(left.path());
        assert!(third_start.recovery().interrupted.is_empty());
        assert_eq!(third_start.get(&id).unwrap().message(answer).unwrap().text, expected);
    }
}

#[test]
fn two_writers_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path());
    assert!(matches!(ChatStore::open(home.path()), Err(ChatsError::Locked { .. })));
    drop(first);
    assert!(ChatStore::open(home.path()).is_ok());
}

#[test]
fn lines_that_say_nothing_are_counted_and_kept() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    let (_, answer) = exchange(&store, &id, None, "one", "two");
    let expected = store.get(&id).unwrap();
    drop(store);
    let mut file = OpenOptions::new().append(true).open(log(home.path(), &id)).unwrap();
    let at = r#""at":"2026-01-01T00:10:00.000Z""#;
    let of_later = format!(r#"{{"v":2,"seq":90,{at},"kind":"sung","melody":[1,2]}}"#);
    let lost_parent =
        format!(r#"{{"v":1,"seq":91,{at},"kind":"message_added","message":70,"parent":60,"role":"user","text":"lost","new":1}}"#);
    let no_answer = format!(r#"{{"v":1,"seq":92,{at},"kind":"answer_ended","message":1,"text":"x","state":"done"}}"#);
    writeln!(file, "{of_later}\n\0\0\0garbage\n{lost_parent}\n{no_answer}").unwrap();
    drop(file);
    let store = open(home.path());
    let found = store.get(&id).unwrap();
    // Garbage, a lost parent, an answer that is none; a kind of later is no damage.
    assert_eq!(found.damaged_lines, 3);
    assert_eq!(found.messages[..2], expected.messages[..]);
    assert_eq!(path(&found), ["lost"]);
    // Numbers go on after the greatest; the line of later is still there.
    let (asked, _) = exchange(&store, &id, Some(answer), "three", "four");
    assert_eq!(asked.0, 71);
    drop(store);
    assert!(fs::read_to_string(log(home.path(), &id)).unwrap().contains("melody"));
    assert_eq!(path(&open(home.path()).get(&id).unwrap()), ["one", "two", "three", "four"]);
}

#[test]
fn a_card_is_made_again_from_its_log() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    exchange(&store, &id, None, "one", "two");
    store.set_tags(&id, &["b".to_owned(), "a".to_owned()]).unwrap();
    let expected = store.card(&id).unwrap();
    drop(store);
    let path = home.path().join(id.as_str()).join("card.json");
    for damage in [Some(""), Some("{}"), Some("{\"v\":1"), Some("\0\0"), None] {
        match damage {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert_eq!(open(home.path()).card(&id).unwrap(), expected, "{damage:?}");
        assert!(path.is_file());
    }
}

#[test]
fn a_move_that_was_interrupted_is_finished() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    exchange(&store, &id, None, "one", "two");
    store.trash(&id).unwrap();
    drop(store);
    let (living, trashed) = (home.path().join(id.as_str()), home.path().join("trash").join(id.as_str()));
    assert!(trashed.is_dir() && !living.exists());
    // Killed between the record and the move.
    fs::rename(&trashed, &living).unwrap();
    let store = open(home.path());
    assert!(trashed.is_dir() && !living.exists());
    assert_eq!(store.list(&ListQuery::default()).unwrap().items.len(), 0);
    store.restore(&id).unwrap();
    drop(store);
    fs::rename(&living, &trashed).unwrap();
    let store = open(home.path());
    assert!(living.is_dir() && !trashed.exists());
    assert_eq!(path(&store.get(&id).unwrap()), ["one", "two"]);
    drop(store);
    // Killed while a conversation was made.
    let half_made = home.path().join(format!(".new-{id}"));
    fs::create_dir(&half_made).unwrap();
    fs::write(half_made.join("log.jsonl"), "{\"v\":1").unwrap();
    assert_eq!(open(home.path()).count(), 1);
    assert!(!half_made.exists());
}
