//! One conversation from its first word to the trash.

mod support;

use apertis_chats::{
    Alternative, AnswerEnd, AnswerSettings, AnswerState, Attachment, ContextFit, Draft, ListQuery, Measured, MessageId, NextAnswer, Role,
    TRASH_KEPT_MS, Time, TokenScore, Turn,
};
use support::{START_MS, answered, done, exchange, model, next, open, path};

#[test]
fn an_answer_is_kept_with_all_that_is_known_of_it() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    let asked = store.say(&id, None, Draft::text("My invoice is wrong")).unwrap();
    let settings =
        AnswerSettings { temperature: Some(0.7), seed: Some(u64::MAX), stop: vec!["\n".to_owned()], ..AnswerSettings::default() };
    let wanted = NextAnswer { model: Some(model("tone-of-voice-3")), settings: settings.clone() };
    let answer = store.queue_answer(&id, asked, wanted).unwrap();
    let state = |expected: AnswerState| {
        let conversation = store.get(&id).unwrap();
        assert_eq!(conversation.message(answer).unwrap().answer.as_ref().unwrap().state, expected);
        assert_eq!(store.card(&id).unwrap().unfinished, usize::from(!expected.is_ended()));
    };
    state(AnswerState::Queued);
    store.start_answer(&id, answer).unwrap();
    state(AnswerState::Writing);
    store.grow_answer(&id, answer, "I'm ").unwrap();
    store.grow_answer(&id, answer, "sorry").unwrap();
    assert!(store.say(&id, Some(answer), Draft::text("too early")).is_err());
    assert!(store.rerun(&id, answer, None).is_err());
    assert!(store.trash(&id).is_err());
    assert!(store.delete_message(&id, asked).is_err());
    let score = |text: &str, log_probability: f32| TokenScore {
        id: 5,
        text: text.to_owned(),
        log_probability,
        alternatives: vec![Alternative { id: 6, text: "Oh".to_owned(), log_probability: -2.5 }],
    };
    let scores = vec![score("I'm ", -0.5), score("sorry", -1.5)];
    let measured = Measured { first_token_ms: Some(180.0), last_token_ms: Some(190.0), tokens_in: 9, tokens_out: 2 };
    let end = AnswerEnd { state: AnswerState::Stopped, reason: Some("stopped".to_owned()), measured, scores: scores.clone() };
    let not_ended = AnswerEnd { state: AnswerState::Writing, ..end.clone() };
    assert!(store.end_answer(&id, answer, not_ended).is_err());
    store.end_answer(&id, answer, end).unwrap();
    state(AnswerState::Stopped);
    assert!(store.grow_answer(&id, answer, "more").is_err());
    assert!(store.end_answer(&id, answer, done()).is_err());
    drop(store);

    let store = open(home.path());
    let conversation = store.get(&id).unwrap();
    let message = conversation.message(answer).unwrap();
    assert_eq!(message.text, "I'm sorry");
    let found = message.answer.as_ref().unwrap();
    assert_eq!((found.state, found.reason.as_deref()), (AnswerState::Stopped, Some("stopped")));
    assert_eq!((&found.model, &found.settings), (&model("tone-of-voice-3"), &settings));
    let analysis = found.analysis.unwrap();
    assert_eq!((analysis.first_token_ms, analysis.tokens_per_second), (Some(180.0), Some(100.0)));
    assert_eq!((analysis.mean_log_probability, analysis.perplexity), (Some(-1.0), Some(std::f64::consts::E)));
    assert!(found.started.unwrap() < found.ended.unwrap());
    assert_eq!(store.scores(&id, answer).unwrap(), scores);
    assert_eq!(store.scores(&id, asked).unwrap(), []);
    let card = store.card(&id).unwrap();
    assert_eq!(
        (card.title.as_deref(), card.models.as_slice()),
        (Some("My invoice is wrong"), &["tone-of-voice-3, step 600".to_owned()][..])
    );
}

#[test]
fn edits_and_new_answers_stand_beside_the_old_ones() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    let (first, first_answer) = exchange(&store, &id, None, "one", "1");
    let (second, _) = exchange(&store, &id, Some(first_answer), "two", "2");
    let edited = store.edit(&id, first, Draft::text("one, edited")).unwrap();
    assert_eq!(path(&store.get(&id).unwrap()), ["one, edited"]);
    answered(&store, &id, edited, "1 anew");
    let again = store.rerun(&id, first_answer, Some(next("other"))).unwrap();
    store.grow_answer(&id, again, "1 again").unwrap();
    store.end_answer(&id, again, done()).unwrap();
    let conversation = store.get(&id).unwrap();
    assert_eq!(path(&conversation), ["one", "1 again"]);
    let siblings = conversation.siblings(again).unwrap();
    assert_eq!((siblings.position, siblings.ids), (2, vec![first_answer, again]));
    assert_eq!(conversation.siblings(edited).unwrap().position, 2);
    assert_eq!(conversation.message(edited).unwrap().edited_from, Some(first));
    store.choose(&id, second).unwrap();
    assert_eq!(path(&store.get(&id).unwrap()), ["one", "1", "two", "2"]);
    // A person may correct an answer: the text is theirs then.
    let corrected = store.edit(&id, first_answer, Draft::text("I")).unwrap();
    let conversation = store.get(&id).unwrap();
    let message = conversation.message(corrected).unwrap();
    assert_eq!((message.role, message.answer.is_none(), path(&conversation)), (Role::Assistant, true, vec!["one", "I"]));

    store.choose(&id, second).unwrap();
    store.delete_message(&id, first_answer).unwrap();
    let conversation = store.get(&id).unwrap();
    assert_eq!(path(&conversation), ["one", "I"]);
    assert!(conversation.message(second).is_none());
    assert!(store.say(&id, Some(second), Draft::text("to nobody")).is_err());
    assert!(store.restore_message(&id, second).is_err());
    store.restore_message(&id, first_answer).unwrap();
    assert_eq!(path(&store.get(&id).unwrap()), ["one", "1", "two", "2"]);

    let copy = store.copy(&id, Some(first_answer)).unwrap();
    let copied = store.get(&copy).unwrap();
    assert_eq!(path(&copied), ["one", "1"]);
    assert_eq!(copied.origin, Some(apertis_chats::Origin::Conversation(id.clone())));
    assert_eq!(copied.messages[1].answer.as_ref().unwrap().model, model("starter"));
    store.say(&copy, Some(MessageId(2)), Draft::text("elsewhere")).unwrap();
    assert_eq!(path(&store.get(&id).unwrap()), ["one", "1", "two", "2"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(NextAnswer::default()).unwrap();
    let (asked, answer) = exchange(&store, &id, None, "one", "1");
    let unknown = MessageId(99);
    assert!(store.say(&id, None, Draft::text(" \n")).is_err());
    assert!(store.say(&id, Some(unknown), Draft::text("x")).is_err());
    assert!(store.edit(&id, unknown, Draft::text("x")).is_err());
    assert!(store.queue_answer(&id, answer, next("starter")).is_err());
    assert!(store.queue_answer(&id, asked, NextAnswer::default()).is_err());
    assert!(store.rerun(&id, asked, None).is_err());
    assert!(store.start_answer(&id, answer).is_err());
    assert!(store.choose(&id, unknown).is_err());
    assert!(store.restore_message(&id, asked).is_err());
    assert!(store.rename(&id, "").is_err());
    assert!(store.set_tags(&id, &["two\nlines".to_owned()]).is_err());
    assert!(store.restore(&id).is_err());
    assert!(store.remove(&id).is_err());
    let nowhere = apertis_chats::ConversationId::new(Time::from_millis(1));
    assert!(store.get(&nowhere).is_err() && store.trash(&nowhere).is_err() && store.copy(&nowhere, None).is_err());
    assert_eq!(store.get(&id).unwrap().messages.len(), 2);
}

#[test]
fn files_stand_before_the_text_and_count() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(next("starter")).unwrap();
    let settings = AnswerSettings { system: "Be kind.".to_owned(), ..AnswerSettings::default() };
    store.set_next(&id, NextAnswer { model: Some(model("starter")), settings }).unwrap();
    let file = Attachment::new("notes.txt", b"a b c").unwrap();
    let asked = store.say(&id, None, Draft { text: String::new(), attachments: vec![file.clone()] }).unwrap();
    assert_eq!(store.card(&id).unwrap().title.as_deref(), Some("notes.txt"));
    let edited = store.edit(&id, asked, Draft::text("What is in it?")).unwrap();
    let conversation = store.get(&id).unwrap();
    assert_eq!(conversation.message(edited).unwrap().attachments, [file]);
    let user = "File notes.txt:\n```\na b c\n```\n\nWhat is in it?";
    let expected = [Turn::new(Role::System, "Be kind."), Turn::new(Role::User, user)];
    let count = |turns: &[Turn]| {
        assert_eq!(turns, expected);
        Ok::<u64, ()>(turns.iter().map(|turn| turn.text.split_whitespace().count() as u64).sum())
    };
    let context = conversation.context(None, 16, 512, count).unwrap();
    assert_eq!((context.used, context.answer_max, context.fit), (13, 3, ContextFit::Shortened));
    assert_eq!(conversation.context(None, 16, 512, |_| Err("no tokenizer")), Err("no tokenizer"));
}

#[test]
fn the_list_is_newest_first_in_pages() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let ids: Vec<_> = (0..7).map(|_| store.create(next("starter")).unwrap()).collect();
    exchange(&store, &ids[2], None, "late", "yes");
    store.rename(&ids[0], "named").unwrap();
    store.set_tags(&ids[0], &["work".to_owned()]).unwrap();
    store.set_tags(&ids[5], &[" work ".to_owned(), "work".to_owned(), "b".to_owned()]).unwrap();
    let expected = [2, 6, 5, 4, 3, 1, 0].map(|at: usize| ids[at].clone());
    for limit in 1..9 {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.list(&ListQuery { cursor, limit, ..ListQuery::default() }).unwrap();
            assert!(page.items.len() <= limit && !page.items.is_empty());
            found.extend(page.items.into_iter().map(|card| card.id));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
    let tagged = store.list(&ListQuery { tag: Some("work".to_owned()), ..ListQuery::default() }).unwrap();
    let tagged: Vec<_> = tagged.items.iter().map(|card| (card.id.clone(), card.tags.len())).collect();
    assert_eq!(tagged, [(ids[5].clone(), 2), (ids[0].clone(), 1)]);
    for cursor in ["", "x", "12", "12-", "-5", "12-../../etc/passwd"] {
        assert!(store.list(&ListQuery { cursor: Some(cursor.to_owned()), ..ListQuery::default() }).is_err(), "{cursor:?}");
    }
    // A page goes on where it ended, also when what it ended with is gone.
    let page = store.list(&ListQuery { limit: 3, ..ListQuery::default() }).unwrap();
    store.trash(&ids[5]).unwrap();
    let rest = store.list(&ListQuery { cursor: page.cursor, ..ListQuery::default() }).unwrap();
    assert_eq!(rest.items.iter().map(|card| card.id.clone()).collect::<Vec<_>>(), expected[3..]);
}

#[test]
fn the_trash_gives_back_and_is_swept() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let ids: Vec<_> = (0..3).map(|_| store.create(next("starter")).unwrap()).collect();
    for id in &ids {
        exchange(&store, id, None, "one", "1");
        store.trash(id).unwrap();
    }
    assert_eq!(store.count(), 0);
    assert!(store.say(&ids[0], None, Draft::text("x")).is_err());
    assert!(store.trash(&ids[0]).is_err());
    store.restore(&ids[0]).unwrap();
    assert_eq!(path(&store.get(&ids[0]).unwrap()), ["one", "1"]);
    store.say(&ids[0], Some(MessageId(2)), Draft::text("back")).unwrap();
    let in_trash = |limit| store.list(&ListQuery { is_trash: true, limit, ..ListQuery::default() }).unwrap();
    assert_eq!(in_trash(0).items.iter().map(|card| card.id.clone()).collect::<Vec<_>>(), [ids[2].clone(), ids[1].clone()]);
    let page = in_trash(1);
    let rest = store.list(&ListQuery { is_trash: true, cursor: page.cursor, ..ListQuery::default() }).unwrap();
    assert_eq!((rest.items[0].id.clone(), rest.cursor), (ids[1].clone(), None));
    assert_eq!(store.sweep(Time::from_millis(START_MS)).unwrap(), 0);
    let late = Time::from_millis(START_MS + TRASH_KEPT_MS + 1_000_000);
    assert_eq!(store.sweep(late).unwrap(), 2);
    assert!(store.get(&ids[1]).is_err());
    drop(store);
    let store = open(home.path());
    assert_eq!((store.count(), in_trash_of(&store)), (1, 0));
    assert_eq!(path(&store.get(&ids[0]).unwrap()), ["one", "1", "back"]);
}

fn in_trash_of(store: &apertis_chats::ChatStore) -> usize {
    store.list(&ListQuery { is_trash: true, ..ListQuery::default() }).unwrap().items.len()
}
