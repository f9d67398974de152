//! Blind votes: kept through kills, rated fairly, given out as rows to train on.

mod support;

use std::fs::{self, OpenOptions};

use apertis_chats::arena::{Arena, Choice, Pair, PairId, RESAMPLES, Side, Slot, leaderboard, preferences};
use apertis_chats::random::Random;
use apertis_chats::{ChatsError, ModelVersion, Role, Time, Turn};
use support::{clock, model};

fn question(text: &str) -> Vec<Turn> {
    vec![Turn::new(Role::System, "Be kind."), Turn::new(Role::User, text)]
}

fn open(folder: &std::path::Path) -> Arena {
    Arena::open_with_clock(folder, clock()).unwrap()
}

#[test]
fn a_pair_is_drawn_answered_and_voted_on_once() {
    let home = tempfile::tempdir().unwrap();
    let arena = open(home.path());
    let pair = arena.draw(question("Why?"), model("base"), model("tuned"), 7).unwrap();
    assert!(arena.vote(pair, Choice::A).is_err());
    arena.answer(pair, Slot::A, "one").unwrap();
    assert!(arena.answer(pair, Slot::A, "again").is_err());
    assert!(arena.vote(pair, Choice::A).is_err());
    assert!(matches!(Arena::open(home.path()), Err(ChatsError::Locked { .. })));
    drop(arena);
    let arena = open(home.path());
    arena.answer(pair, Slot::B, "two").unwrap();
    let voted = arena.vote(pair, Choice::B).unwrap();
    assert_eq!(voted.choice, Some(Choice::B));
    assert!(voted.voted.is_some());
    assert!(arena.vote(pair, Choice::A).is_err());
    assert_eq!(arena.pair(pair).unwrap(), voted);
    assert!(arena.pair(PairId(2)).is_err());
    assert!(arena.draw(question("Why?"), model("base"), model("base"), 1).is_err());
    assert!(arena.draw(Vec::new(), model("base"), model("tuned"), 1).is_err());
    assert!(arena.draw(vec![Turn::new(Role::Assistant, "x")], model("base"), model("tuned"), 1).is_err());
}

#[test]
fn the_order_is_blind_and_follows_from_the_seed() {
    let home = tempfile::tempdir().unwrap();
    let arena = open(home.path());
    let drawn: Vec<Pair> = (0..200)
        .map(|seed| {
            let id = arena.draw(question("Why?"), model("base"), model("tuned"), seed).unwrap();
            arena.pair(id).unwrap()
        })
        .collect();
    for pair in &drawn {
        assert_eq!(pair.a.model.name, if pair.is_swapped { "tuned" } else { "base" });
        assert_ne!(pair.a.model, pair.b.model);
    }
    let swapped = drawn.iter().filter(|pair| pair.is_swapped).count();
    // Expected 100, deviation 7: within four of them.
    assert!((72..=128).contains(&swapped), "{swapped}");
    let again = arena.draw(question("Why?"), model("base"), model("tuned"), 3).unwrap();
    assert_eq!(arena.pair(again).unwrap().is_swapped, drawn[3].is_swapped);
}

#[test]
fn a_log_of_votes_cut_at_any_byte_keeps_its_whole_lines() {
    let home = tempfile::tempdir().unwrap();
    let arena = open(home.path());
    let pair = arena.draw(question("字?"), model("base"), model("tuned"), 7).unwrap();
    arena.answer(pair, Slot::A, "one").unwrap();
    arena.answer(pair, Slot::B, "zwei — 二").unwrap();
    let before = arena.pairs();
    let path = home.path().join("votes.jsonl");
    let whole = fs::metadata(&path).unwrap().len();
    arena.vote(pair, Choice::Tie).unwrap();
    let after = arena.pairs();
    drop(arena);
    let bytes = fs::read(&path).unwrap();
    for length in whole..=bytes.len() as u64 {
        fs::write(&path, &bytes).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let arena = open(home.path());
        if length == bytes.len() as u64 {
            assert_eq!(arena.pairs(), after);
            continue;
        }
        assert_eq!(arena.pairs(), before, "cut at {length}");
        arena.vote(pair, Choice::A).unwrap();
        drop(arena);
        let arena = open(home.path());
        assert_eq!((arena.pairs()[0].choice, arena.damaged_lines()), (Some(Choice::A), 0), "cut at {length}");
    }
}

/// Votes as models of known strengths would get them.
fn votes(ratings: &[f64], count: usize, tie_share: f64, random: &mut Random) -> Vec<Pair> {
    (0..count)
        .map(|number| {
            let a = random.below(ratings.len());
            let b = (a + 1 + random.below(ratings.len() - 1)) % ratings.len();
            let chance = 1.0 / (1.0 + 10f64.powf((ratings[b] - ratings[a]) / 400.0));
            let choice = match random.unit() < tie_share {
                true => Choice::Tie,
                false if random.unit() < chance => Choice::A,
                false => Choice::B,
            };
            pair(number, &format!("model-{a}"), &format!("model-{b}"), Some(choice))
        })
        .collect()
}

fn pair(number: usize, a: &str, b: &str, choice: Option<Choice>) -> Pair {
    let side = |name: &str| Side { model: model(name), answer: Some(format!("answer of {name}")) };
    let at = Time::from_millis(number as i64);
    Pair {
        id: PairId(number as u64 + 1),
        at,
        prompt: question("Why?"),
        a: side(a),
        b: side(b),
        is_swapped: false,
        choice,
        voted: choice.map(|_| at),
    }
}

#[test]
fn ratings_recover_planted_strengths() {
    let planted = [1200.0, 1100.0, 1000.0, 950.0, 750.0];
    let pairs = votes(&planted, 4000, 0.0, &mut Random::new(1));
    let board = leaderboard(&pairs, RESAMPLES, 5);
    assert_eq!((board.votes, board.is_connected), (4000, true));
    let names: Vec<String> = board.ratings.iter().map(|rating| rating.model.name.clone()).collect();
    assert_eq!(names, ["model-0", "model-1", "model-2", "model-3", "model-4"]);
    for (rating, planted) in board.ratings.iter().zip(planted) {
        // 1,600 votes a model: a standard error near 400 / ln 10 / √(1600 · 0.2) ≈ 10; four of them.
        assert!((rating.rating - planted).abs() < 40.0, "{rating:?}, planted {planted}");
        assert!(rating.low < rating.rating && rating.rating < rating.high, "{rating:?}");
        assert!((20.0..80.0).contains(&(rating.high - rating.low)), "{rating:?}");
        assert_eq!((rating.ties, rating.both_bad), (0, 0));
    }
    let total: u32 = board.ratings.iter().map(|rating| rating.wins + rating.losses).sum();
    assert_eq!(total, 8000);
    let mean: f64 = board.ratings.iter().map(|rating| rating.rating).sum::<f64>() / 5.0;
    assert!((mean - 1000.0).abs() < 1e-6);
    assert_eq!(leaderboard(&pairs, RESAMPLES, 5), board);
    assert_ne!(leaderboard(&pairs, RESAMPLES, 6), board);
}

#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    let planted = [1150.0, 1050.0, 950.0, 850.0];
    let mut random = Random::new(2);
    let (mut held, mut all) = (0, 0);
    for seed in 0..60 {
        let board = leaderboard(&votes(&planted, 300, 0.0, &mut random), 200, seed);
        for rating in &board.ratings {
            let number: usize = rating.model.name["model-".len()..].parse().unwrap();
            held += usize::from((rating.low..=rating.high).contains(&planted[number]));
            all += 1;
        }
    }
    // 240 intervals of 95%: expected 228, deviation 3.4 were they independent; bootstrap intervals
    // of 300 votes are a little narrow.
    assert!((210..=240).contains(&held), "{held} of {all}");
}

#[test]
fn few_votes_give_finite_ratings() {
    let check = |pairs: &[Pair], expected: &[(&str, f64)], is_connected: bool| {
        let board = leaderboard(pairs, 50, 1);
        let found: Vec<(&str, f64)> = board.ratings.iter().map(|rating| (rating.model.name.as_str(), rating.rating.round())).collect();
        assert_eq!(found, expected);
        assert_eq!(board.is_connected, is_connected);
        assert!(board.ratings.iter().all(|rating| rating.low.is_finite() && rating.high.is_finite()));
    };
    check(&[], &[], true);
    check(&[pair(0, "a", "b", None)], &[], true);
    check(&[pair(0, "a", "b", Some(Choice::Tie))], &[("a", 1000.0), ("b", 1000.0)], true);
    check(&[pair(0, "a", "b", Some(Choice::BothBad))], &[("a", 1000.0), ("b", 1000.0)], true);
    // One win: strengths ±s with 1 − σ(2s) = σ(s) − ½, from the derivative of ln σ(2s) + ln σ(s) + ln σ(−s)
    // by s being 0; s = 0.7563, which is 131 points.
    check(&[pair(0, "a", "b", Some(Choice::B))], &[("b", 1131.0), ("a", 869.0)], true);
    let apart = [pair(0, "a", "b", Some(Choice::Tie)), pair(1, "c", "d", Some(Choice::Tie))];
    check(&apart, &[("a", 1000.0), ("b", 1000.0), ("c", 1000.0), ("d", 1000.0)], false);
    // Always winning stays finite.
    let always: Vec<Pair> = (0..1000).map(|number| pair(number, "a", "b", Some(Choice::A))).collect();
    let board = leaderboard(&always, 20, 1);
    assert!(board.ratings[0].rating.is_finite() && board.ratings[0].rating > 1300.0, "{board:?}");
    assert_eq!(board.a_share, Some(1.0));
    assert_eq!((board.ratings[0].wins, board.ratings[1].losses), (1000, 1000));
}

#[test]
fn votes_become_preference_rows() {
    let version = |name: &str, step| ModelVersion { name: name.to_owned(), step, content: String::new() };
    let mut better_b = pair(0, "base", "tuned", Some(Choice::B));
    better_b.b.model = version("tuned", Some(600));
    better_b.a.model = version("base", None);
    (better_b.a.answer, better_b.b.answer) = (Some("Rain \"falls\".".to_owned()), Some("Because of clouds — 雲.\nMostly.".to_owned()));
    let mut better_a = pair(1, "base", "tuned", Some(Choice::A));
    better_a.prompt = vec![Turn::new(Role::User, "Hello"), Turn::new(Role::Assistant, "Hi."), Turn::new(Role::User, "=1+1 <b>?</b>")];
    let mut empty = pair(2, "base", "tuned", Some(Choice::A));
    empty.b.answer = Some(" ".to_owned());
    let mut equal = pair(3, "base", "tuned", Some(Choice::A));
    equal.b.answer = equal.a.answer.clone();
    let neither = [pair(4, "base", "tuned", Some(Choice::Tie)), pair(5, "base", "tuned", Some(Choice::BothBad))];
    let open = pair(6, "base", "tuned", None);
    let pairs: Vec<Pair> = [better_b, better_a, empty, equal].into_iter().chain(neither).chain([open]).collect();
    let found = preferences(&pairs);
    assert_eq!((found.rows, found.without_vote, found.without_preference, found.without_difference), (2, 1, 2, 2));
    // `apertis data` takes this very file for preference rows.
    let expected = fs::read_to_string(apertis_testkit::fixtures().join("votes/rows.jsonl")).unwrap();
    assert_eq!(found.lines, expected);
}
