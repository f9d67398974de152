//! Searching a long history, and how long it takes.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use apertis_chats::random::Random;
use apertis_chats::{ChatStore, ConversationId, Draft, ListQuery, MessageId, SearchQuery, Time};
use support::{START_MS, exchange, next, open};

fn found(store: &ChatStore, text: &str) -> Vec<ConversationId> {
    let page = store.search(&SearchQuery { text: text.to_owned(), ..SearchQuery::default() }).unwrap();
    page.items.into_iter().map(|hit| hit.card.id).collect()
}

#[test]
fn titles_texts_and_names_of_files_are_found() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let refund = store.create(next("starter")).unwrap();
    let (_, answer) = exchange(&store, &refund, None, "My INVOICE is wrong", "Naïve café — 今天天气很好");
    let other = store.create(next("starter")).unwrap();
    let file = apertis_chats::Attachment::new("Quarterly-report.txt", b"x").unwrap();
    store.say(&other, None, Draft { text: "Привет".to_owned(), attachments: vec![file] }).unwrap();
    store.rename(&other, "Wrong weather").unwrap();
    let check = |text: &str, expected: &[&ConversationId]| {
        assert_eq!(found(&store, text).iter().collect::<Vec<_>>(), expected, "{text:?}");
    };
    check("invoice", &[&refund]);
    check("wrong", &[&other, &refund]);
    check("WRONG voic", &[&refund]);
    check("天气", &[&refund]);
    check("CAFÉ naïv", &[&refund]);
    check("привет", &[&other]);
    check("quarter", &[&other]);
    check("weather invoice", &[]);
    check("", &[]);
    check("!!!", &[]);
    let hits = store.search(&SearchQuery { text: "wrong".to_owned(), ..SearchQuery::default() }).unwrap().items;
    assert_eq!((hits[0].is_in_title, hits[1].is_in_title), (true, true));
    assert!(hits[0].excerpt.is_none());
    let excerpt = hits[1].excerpt.as_ref().unwrap();
    assert_eq!((excerpt.message, excerpt.before.as_str(), excerpt.found.as_str()), (MessageId(1), "My INVOICE is ", "wrong"));
    // What changes is found as it is now.
    store.say(&other, Some(MessageId(1)), Draft::text("An invoice too")).unwrap();
    check("invoice", &[&other, &refund]);
    store.delete_message(&refund, answer).unwrap();
    check("天气", &[]);
    store.trash(&other).unwrap();
    check("invoice", &[&refund]);
    store.restore(&other).unwrap();
    check("weather", &[&other]);
}

/// What many conversations have.
const PART: &str = "za";

/// Writes the log of a conversation by hand: making 10,000 the usual way waits 60,000 times for the disk.
/// Says whether it has [`PART`].
fn write_log(root: &Path, at_ms: i64, random: &mut Random, words: &[String]) -> (ConversationId, bool) {
    let id = ConversationId::new(Time::from_millis(at_ms));
    let mut has_part = false;
    let folder = root.join(id.as_str());
    fs::create_dir(&folder).unwrap();
    let mut lines = Vec::new();
    let at = Time::from_millis(at_ms);
    writeln!(lines, "{}", serde_json::json!({"v": 1, "seq": 1, "at": at, "kind": "created"})).unwrap();
    for turn in 0..6u32 {
        // A word of rank r comes with a chance near 1 / r, as in language.
        let text: Vec<&str> =
            (0..60).map(|_| words[((words.len() as f64).powf(random.unit()) as usize).min(words.len()) - 1].as_str()).collect();
        let text = text.join(" ");
        has_part |= text.contains(PART);
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let parent = (turn > 0).then_some(turn);
        let line = serde_json::json!({
            "v": 1, "seq": turn + 2, "at": at, "kind": "message_added", "message": turn + 1, "parent": parent, "role": role,
            "text": text,
        });
        writeln!(lines, "{line}").unwrap();
    }
    fs::write(folder.join("log.jsonl"), lines).unwrap();
    (id, has_part)
}

#[test]
fn ten_thousand_conversations_are_searched_in_a_moment() {
    const COUNT: usize = 10_000;
    /// What is asked of a search.
    const SEARCH_MAX: Duration = Duration::from_millis(100);
    let home = tempfile::tempdir().unwrap();
    let mut random = Random::new(4);
    let letters: Vec<char> = "abcdefghijklmnopqrstuvwxyzäöüавгд".chars().collect();
    let words: Vec<String> =
        (0..40_000).map(|_| (0..2 + random.below(9)).map(|_| letters[random.below(letters.len())]).collect()).collect();
    let written: Vec<(ConversationId, bool)> =
        (0..COUNT).map(|at| write_log(home.path(), START_MS + at as i64, &mut random, &words)).collect();
    let ids: Vec<ConversationId> = written.iter().map(|(id, _)| id.clone()).collect();

    let (store, first_start) = timed(|| open(home.path()));
    drop(store);
    let (store, later_start) = timed(|| open(home.path()));
    assert_eq!((store.count(), store.recovery().unreadable.len()), (COUNT, 0));
    let (page, list) = timed(|| store.list(&ListQuery { limit: 50, ..ListQuery::default() }).unwrap());
    let newest: Vec<_> = page.items.iter().map(|card| &card.id).collect();
    assert_eq!(newest, ids.iter().rev().take(50).collect::<Vec<_>>());
    let ((), reading) = timed(|| store.prepare_search());

    let target = &ids[4321];
    let told = store.say(target, Some(MessageId(6)), Draft::text("a wholly unmistakable needle")).unwrap();
    let queries = ["mistak needle", words[0].as_str(), "a", "e i", words[20_000].as_str(), "nothing of this"];
    let mut times = Vec::new();
    for query in queries {
        // The least disturbed of a few: other work on the machine is not the search's.
        let quickest = (0..7).map(|_| timed(|| found(&store, query)).1).min().unwrap();
        times.push((query, quickest));
    }
    assert_eq!(found(&store, "mistak needle"), std::slice::from_ref(target));
    let hit = &store.search(&SearchQuery { text: "unmistakable".to_owned(), ..SearchQuery::default() }).unwrap().items[0];
    assert_eq!(hit.excerpt.as_ref().unwrap().message, told);
    // All pages of a broad search together are the list of those that have it.
    let expected = written.iter().filter(|(_, has_part)| *has_part).count();
    assert!((100..COUNT).contains(&expected), "{expected}");
    let mut cursor = None;
    let mut all = 0;
    loop {
        let page = store.search(&SearchQuery { text: PART.to_owned(), cursor, limit: 1000, ..SearchQuery::default() }).unwrap();
        all += page.items.len();
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(all, expected);
    let report = format!("first start {first_start:?}, later {later_start:?}, list {list:?}, reading {reading:?}, searches {times:?}");
    if let Some(path) = std::env::var_os("APERTIS_CHATS_TIMES") {
        fs::write(path, &report).unwrap();
    }
    for (query, time) in &times {
        assert!(*time < SEARCH_MAX, "{query:?} took {time:?}; {report}");
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}
