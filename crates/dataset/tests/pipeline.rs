//! Rows to batches: ids, targets, order, split, cache.

mod support;

use std::collections::BTreeSet;

use apertis_dataset::{
    DataSettings, Dataset, DatasetError, Duplicates, OnBadRow, PackedBatch, RowProblem, Sampler, SamplerSettings, TooLong, Unit,
};
use support::{EOS, folder, open, settings};

/// `count` conversations, each question and answer of its own.
fn chats(count: usize) -> String {
    (0..count)
        .map(|row| {
            format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"q{row}\"}},{{\"role\":\"assistant\",\"content\":\"a{row}\"}}]}}\n")
        })
        .collect()
}

fn text_of(ids: &[u32]) -> String {
    let piece = |&id: &u32| match id {
        256 => "<s>".to_string(),
        257 => "<e>".to_string(),
        EOS => "$".to_string(),
        byte => char::from(byte as u8).to_string(),
    };
    ids.iter().map(piece).collect()
}

/// The text of the targets of a batch, one part a sequence.
fn targets_of(batch: &PackedBatch) -> Vec<String> {
    let of = |range: &[u32]| {
        let targets = &batch.targets[range[0] as usize..range[1] as usize];
        let ids: Vec<u32> = targets.iter().filter(|&&target| target >= 0).map(|&target| target as u32).collect();
        text_of(&ids)
    };
    batch.offsets.windows(2).map(of).collect()
}

fn sequences_of(batch: &PackedBatch) -> Vec<String> {
    batch.offsets.windows(2).map(|range| text_of(&batch.ids[range[0] as usize..range[1] as usize])).collect()
}

fn sampler(dataset: &Dataset, changes: SamplerSettings) -> Sampler {
    Sampler::new(dataset.clone(), changes).expect("a sampler")
}

fn all_rows(sampler: &Sampler, epoch: u64) -> Vec<u64> {
    let steps = sampler.steps_per_epoch().expect("complete");
    let batches = (epoch * steps..(epoch + 1) * steps).map(|step| sampler.global_batch(step).expect("a batch"));
    batches.flat_map(|batch| batch.micro.into_iter().flat_map(|micro| micro.rows).map(|row| row.0)).collect()
}

#[test]
fn answers_are_targets_and_rows_lie_end_to_end() {
    let folder = folder(&[("chat.jsonl", chats(3).as_bytes())]);
    let data = DataSettings { eval_fraction: 0.0, ..settings(folder.path().join("chat.jsonl")) };
    let prepared = open(&data, folder.path()).expect("prepared");
    assert_eq!(prepared.train.unit(), Unit::Row);
    assert!(prepared.eval.is_none());
    let sampler = sampler(&prepared.train, SamplerSettings { batch_size: 2, shuffle: false, ..Default::default() });
    assert_eq!(sampler.steps_per_epoch().expect("complete"), 2);
    let batch = sampler.global_batch(0).expect("a batch");
    assert_eq!(batch.micro.len(), 1);
    let micro = &batch.micro[0];
    assert_eq!(sequences_of(micro)[1], "<s>user\nq1<e>\n<s>assistant\na1<e>\n");
    assert_eq!(targets_of(micro), ["a0<e>\n", "a1<e>\n"]);
    assert_eq!(batch.target_count, 8);
    assert_eq!(micro.positions.iter().filter(|&&position| position == 0).count(), 2);
    let last = sampler.global_batch(1).expect("a batch");
    assert_eq!(targets_of(&last.micro[0]), ["a2<e>\n"]);
    assert_eq!((last.epoch, last.unit_count), (0, 1));
    assert_eq!(sampler.global_batch(2).expect("a batch").micro, batch.micro);
    let statistics = prepared.report.statistics;
    assert_eq!((statistics.rows, statistics.target_tokens), (3, 12));
    assert_eq!(prepared.train.row(micro.rows[1]).expect("a row").source.line, 2);
}

#[test]
fn the_order_depends_on_seed_and_step_only() {
    let folder = folder(&[("chat.jsonl", chats(101).as_bytes())]);
    let prepared = open(&settings(folder.path().join("chat.jsonl")), folder.path()).expect("prepared");
    let eval = prepared.eval.expect("rows are held out");
    assert_eq!((prepared.train.units().expect("complete"), eval.units().expect("complete")), (96, 5));
    let one = sampler(&prepared.train, SamplerSettings { batch_size: 7, ..Default::default() });
    let (first, second) = (all_rows(&one, 0), all_rows(&one, 1));
    assert_eq!(first, all_rows(&one, 0));
    assert_ne!(first, second);
    let held: BTreeSet<u64> = eval.in_order(64).flat_map(|batch| batch.expect("a batch").rows).map(|row| row.0).collect();
    let all: BTreeSet<u64> = first.iter().copied().collect();
    assert_eq!((first.len(), all.len(), held.len()), (96, 96, 5));
    assert_eq!(all, second.into_iter().collect());
    assert!(all.is_disjoint(&held));
    let other = sampler(&prepared.train, SamplerSettings { batch_size: 7, seed: 1, ..Default::default() });
    assert_ne!(first, all_rows(&other, 0));
}

#[test]
fn workers_share_a_step_and_its_target_count() {
    let folder = folder(&[("chat.jsonl", chats(50).as_bytes())]);
    let prepared = open(&settings(folder.path().join("chat.jsonl")), folder.path()).expect("prepared");
    let of = |rank, world_size| {
        let settings = SamplerSettings { batch_size: 5, rank, world_size, ..Default::default() };
        sampler(&prepared.train, settings).global_batch(3).expect("a batch")
    };
    let (whole, left, right) = (of(0, 1), of(0, 2), of(1, 2));
    assert_eq!((whole.target_count, whole.target_count), (left.target_count, right.target_count));
    let mut rows = [left.rows(), right.rows()].concat();
    rows.sort_unstable();
    assert_eq!(rows, whole.rows());
    let counted: u64 = whole.micro.iter().map(PackedBatch::target_count).sum();
    assert_eq!(counted, whole.target_count);
}

#[test]
fn micro_batches_hold_whole_rows_within_their_budget() {
    let folder = folder(&[("chat.jsonl", chats(10).as_bytes())]);
    let data = DataSettings { eval_fraction: 0.0, ..settings(folder.path().join("chat.jsonl")) };
    let prepared = open(&data, folder.path()).expect("prepared");
    let batch = |micro_batch_tokens| {
        let settings = SamplerSettings { batch_size: 10, micro_batch_tokens, shuffle: false, ..Default::default() };
        sampler(&prepared.train, settings).global_batch(0).expect("a batch")
    };
    let length = batch(1).micro[0].ids.len();
    assert_eq!(batch(1).micro.len(), 10);
    assert_eq!(batch(3 * length).micro.iter().map(|micro| micro.rows.len()).collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert_eq!(batch(1 << 20).micro.len(), 1);
}

/// What `too_long` makes of one conversation of 35 tokens whose answer is its last 12.
fn check_too_long(too_long: TooLong, max_length: usize, expected: Result<(&[&str], u64, u64), &str>) {
    let row = br#"{"prompt":"abcd","response":"0123456789"}"#;
    let folder = folder(&[("row.jsonl", row)]);
    let data = DataSettings { too_long, max_length, eval_fraction: 0.0, ..settings(folder.path().join("row.jsonl")) };
    match (open(&data, folder.path()), expected) {
        (Ok(prepared), Ok((targets, cut_tokens, rows))) => {
            let batches = prepared.train.in_order(1000).map(|batch| targets_of(&batch.expect("a batch")));
            assert_eq!(batches.flatten().collect::<Vec<_>>(), targets, "{too_long:?} {max_length}");
            let statistics = prepared.report.statistics;
            assert_eq!((statistics.cut_tokens, statistics.token_rows), (cut_tokens, rows), "{too_long:?}");
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{too_long:?}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn rows_that_are_too_long() {
    check_too_long(TooLong::Cut, 100, Ok((&["0123456789<e>\n"], 0, 1)));
    check_too_long(TooLong::Cut, 30, Ok((&["0123456"], 5, 1)));
    check_too_long(TooLong::Cut, 20, Err("1 nothing_trained"));
    check_too_long(TooLong::Skip, 30, Err("1 too_long"));
    check_too_long(TooLong::Split, 30, Ok((&["01234567", "89<e>\n"], 0, 2)));
    check_too_long(TooLong::Split, 12, Ok((&["01", "23456789<e>\n"], 0, 2)));
    check_too_long(TooLong::Stop, 30, Err("too_long"));
}

#[test]
fn text_becomes_windows_that_cover_everything_once() {
    let lines: String = ["abcdefghij", "k", "lmnopqrstuvwxyz"].map(|text| format!("{{\"text\":\"{text}\"}}\n")).concat();
    let folder = folder(&[("text.jsonl", lines.as_bytes())]);
    let data = DataSettings { eval_fraction: 0.0, max_length: 4, ..settings(folder.path().join("text.jsonl")) };
    let prepared = open(&data, folder.path()).expect("prepared");
    assert_eq!(prepared.train.unit(), Unit::Window(4));
    let in_order: Vec<PackedBatch> = prepared.train.in_order(4).map(|batch| batch.expect("a batch")).collect();
    let sequences: Vec<Vec<String>> = in_order.iter().map(sequences_of).collect();
    assert_eq!(sequences[2], ["ij$", "k"]);
    assert_eq!(targets_of(&in_order[2]), ["j$", "$"]);
    assert_eq!(sequences[3], ["$", "lmn"]);
    assert_eq!(targets_of(&in_order[3]), ["", "mno"]);
    let sampler = sampler(&prepared.train, SamplerSettings { batch_size: 3, ..Default::default() });
    for epoch in 0..3 {
        let steps = sampler.steps_per_epoch().expect("complete");
        let batches: Vec<_> = (0..steps).map(|step| sampler.global_batch(epoch * steps + step).expect("a batch")).collect();
        let mut bytes: Vec<u32> = batches.iter().flat_map(|batch| &batch.micro).flat_map(|micro| micro.ids.clone()).collect();
        bytes.sort_unstable();
        let expected: Vec<u32> = (97..=122).chain([EOS; 3]).collect();
        assert_eq!(bytes, expected);
        assert_eq!(batches.iter().map(|batch| batch.target_count).sum::<u64>(), 26);
        assert!(batches.iter().flat_map(|batch| &batch.micro).all(|micro| micro.ids.len() <= 12));
    }
}

#[test]
fn unpacked_documents_have_windows_of_their_own() {
    let folder = folder(&[("text.jsonl", b"{\"text\":\"abcdefghij\"}\n{\"text\":\"k\"}\n")]);
    let data = DataSettings { eval_fraction: 0.0, max_length: 4, packing: false, ..settings(folder.path().join("text.jsonl")) };
    let prepared = open(&data, folder.path()).expect("prepared");
    let batches: Vec<PackedBatch> = prepared.train.in_order(1).map(|batch| batch.expect("a batch")).collect();
    assert_eq!(batches.iter().map(|batch| sequences_of(batch).concat()).collect::<Vec<_>>(), ["abcd", "efgh", "ij$", "k$"]);
    assert_eq!(batches.iter().map(|batch| targets_of(batch).concat()).collect::<Vec<_>>(), ["bcde", "fghi", "j$", "$"]);
}

#[test]
fn the_end_of_a_text_is_held_out() {
    let text: String = (0..1000).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    let folder = folder(&[("text.txt", text.as_bytes())]);
    let data = DataSettings { eval_fraction: 0.1, max_length: 8, ..settings(folder.path().join("text.txt")) };
    let prepared = open(&data, folder.path()).expect("prepared");
    let eval = prepared.eval.expect("held out");
    let ids = |dataset: &Dataset| {
        let batches: Vec<PackedBatch> = dataset.in_order(8).map(|batch| batch.expect("a batch")).collect();
        (batches.iter().flat_map(|batch| batch.ids.clone()).collect::<Vec<_>>(), batches)
    };
    let (train_ids, train) = ids(&prepared.train);
    let (eval_ids, eval) = ids(&eval);
    // 1,000 characters and the end mark; nine tenths, rounded down, are trained on.
    assert_eq!((train_ids.len(), eval_ids.len()), (900, 101));
    assert_eq!(text_of(&[train_ids, eval_ids].concat()), text + "$");
    let targets = |batches: &[PackedBatch]| batches.iter().map(PackedBatch::target_count).sum::<u64>();
    // The last token of each part predicts nothing: the next one belongs to the other part.
    assert_eq!((targets(&train), targets(&eval)), (899, 100));
}

#[test]
fn bad_rows_are_counted_or_stop() {
    let text = chats(3) + "{\"messages\":[]}\noops\n{\"prompt\":1}\n";
    let folder = folder(&[("chat.jsonl", text.as_bytes())]);
    let data = settings(folder.path().join("chat.jsonl"));
    for _ in 0..2 {
        let report = open(&data, folder.path()).expect("prepared").report;
        let counts: Vec<(&str, u64)> = report.problems.iter().map(|(kind, count)| (kind.code(), count.count)).collect();
        assert_eq!(counts, [("not_json", 1), ("missing_field", 1), ("empty_answer", 1)]);
        assert_eq!((report.rows_read, report.statistics.rows), (6, 3));
        let example = report.problems.iter().next().expect("a reason").1.examples[0].clone();
        assert_eq!((example.source.line, example.excerpt.as_str()), (5, "oops "));
    }
    let stop = DataSettings { on_bad_row: OnBadRow::Stop, ..data };
    let error = open(&stop, folder.path()).expect_err("stops").to_string();
    assert!(error.contains(":4: empty_answer") && error.contains("on_bad_row=stop"), "{error}");
    let fresh = tempfile::tempdir().expect("a folder");
    let error = open(&stop, fresh.path()).expect_err("stops").to_string();
    assert!(error.contains(":4: empty_answer"), "{error}");
}

#[test]
fn copies_are_counted_and_kept_unless_told_otherwise() {
    let text = chats(2) + &chats(3);
    let folder = folder(&[("chat.jsonl", text.as_bytes())]);
    let data = settings(folder.path().join("chat.jsonl"));
    let report = open(&data, folder.path()).expect("prepared").report;
    assert_eq!((report.statistics.rows, report.statistics.duplicate_rows), (5, 2));
    let report = open(&DataSettings { duplicates: Duplicates::Skip, ..data }, folder.path()).expect("prepared").report;
    assert_eq!((report.statistics.rows, report.problems.count(RowProblem::Duplicate)), (3, 2));
}

#[test]
fn blocks_can_be_trained_on_before_all_is_there() {
    let folder = folder(&[("chat.jsonl", chats(3000).as_bytes())]);
    let data = DataSettings { block_bytes: 10_000, ..settings(folder.path().join("chat.jsonl")) };
    let tokenizer = support::byte_tokenizer();
    let prepared = apertis_dataset::open(&data, &tokenizer, folder.path(), &mut |_| {}).expect("prepared");
    let one = sampler(&prepared.train, SamplerSettings::default());
    let early: Vec<_> = (0..20).map(|step| one.global_batch(step).expect("a batch")).collect();
    assert_eq!(prepared.train.units().expect("complete") + prepared.eval.as_ref().expect("held out").units().expect("complete"), 3000);
    let again = open(&data, folder.path()).expect("cached");
    assert!(again.report.is_complete);
    let cached = sampler(&again.train, SamplerSettings::default());
    let late: Vec<_> = (0..20).map(|step| cached.global_batch(step).expect("a batch")).collect();
    assert_eq!(early, late);
    assert_eq!(all_rows(&one, 1), all_rows(&cached, 1));
    assert_eq!(all_rows(&one, 1).into_iter().collect::<BTreeSet<_>>(), all_rows(&one, 0).into_iter().collect());
}

#[test]
fn torn_caches_are_made_again() {
    let folder = folder(&[("chat.jsonl", chats(40).as_bytes())]);
    let data = settings(folder.path().join("chat.jsonl"));
    let cache = tempfile::tempdir().expect("a folder");
    let rows = |cache: &std::path::Path| {
        let prepared = open(&data, cache).expect("prepared");
        all_rows(&sampler(&prepared.train, SamplerSettings::default()), 0)
    };
    let expected = rows(cache.path());
    let files: Vec<_> = glob::glob(&format!("{}/*/*", cache.path().display())).expect("a pattern").flatten().collect();
    let damages: [fn(&std::path::Path); 3] = [
        |path| std::fs::remove_file(path).expect("removed"),
        |path| std::fs::write(path, b"torn").expect("written"),
        |path| {
            let content = std::fs::read(path).expect("read");
            std::fs::write(path, &content[..content.len() - 1]).expect("written");
        },
    ];
    for file in files.iter().filter(|file| file.parent().is_some_and(|folder| !folder.ends_with("hashes"))) {
        for damage in damages {
            damage(file);
            assert_eq!(rows(cache.path()), expected, "{}", file.display());
        }
    }
}

#[test]
fn settings_out_of_range_are_errors() {
    let folder = folder(&[("chat.jsonl", chats(4).as_bytes())]);
    let data = settings(folder.path().join("chat.jsonl"));
    let error = |data: DataSettings| match open(&data, folder.path()) {
        Err(error @ DatasetError::Settings(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(error(DataSettings { max_length: 1, ..data.clone() }).contains("max_length=1"));
    assert!(error(DataSettings { eval_fraction: 1.5, ..data }).contains("eval_fraction=1.5"));
}

#[test]
fn names_in_a_folder_say_what_is_held_out() {
    let (train, valid, test) = (chats(20), chats(3), chats(5));
    let folder =
        folder(&[("data/train-00.jsonl", train.as_bytes()), ("data/valid.jsonl", valid.as_bytes()), ("data/test.jsonl", test.as_bytes())]);
    let data = settings(folder.path().join("data"));
    let prepared = open(&data, folder.path()).expect("prepared");
    let units = |dataset: &Dataset| dataset.units().expect("complete");
    assert_eq!((units(&prepared.train), prepared.eval.as_ref().map(units)), (20, Some(3)));
    assert_eq!(prepared.report.notes.len(), 2);
    let all = open(&DataSettings { eval_fraction: 0.0, ..data }, folder.path()).expect("prepared");
    assert_eq!((units(&all.train), all.eval.is_none()), (20, true));
    let own = DataSettings { eval_paths: vec![folder.path().join("data/test.jsonl")], ..settings(folder.path().join("data/*.jsonl")) };
    let prepared = open(&own, folder.path()).expect("prepared");
    assert_eq!((units(&prepared.train), prepared.eval.as_ref().map(units)), (28, Some(5)));
}

#[test]
fn makers_at_the_same_time_do_not_disturb_each_other() {
    let folder = folder(&[("chat.jsonl", chats(400).as_bytes())]);
    let data = DataSettings { block_bytes: 5_000, ..settings(folder.path().join("chat.jsonl")) };
    let cache = tempfile::tempdir().expect("a folder");
    let orders: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let make = || {
            let prepared = open(&data, cache.path()).expect("prepared");
            all_rows(&sampler(&prepared.train, SamplerSettings::default()), 1)
        };
        let makers: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        makers.into_iter().map(|maker| maker.join().expect("no panic")).collect()
    });
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
    let left: Vec<_> = glob::glob(&format!("{}/**/*.tmp", cache.path().display())).expect("a pattern").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Makes a cache of many blocks, loses all after the first `kept` as a kill does, and goes on.
fn check_killed_at(text: &str, changes: DataSettings, kept: usize) {
    let folder = folder(&[("rows.jsonl", text.as_bytes())]);
    let data = DataSettings { paths: vec![folder.path().join("rows.jsonl")], block_bytes: 3_000, ..changes };
    let cache = tempfile::tempdir().expect("a folder");
    let whole = open(&data, cache.path()).expect("prepared");
    let file = |name: &str| {
        let pattern = format!("{}/*/{name}", cache.path().display());
        glob::glob(&pattern).expect("a pattern").flatten().next()
    };
    let content = |block: usize| std::fs::read(file(&format!("block-{block:05}.tokens")).expect("a block")).expect("readable");
    let blocks = (0..).take_while(|block| file(&format!("block-{block:05}.tokens")).is_some()).count();
    assert!(blocks > kept + 1, "{blocks} blocks");
    let expected: Vec<Vec<u8>> = (0..blocks).map(content).collect();
    std::fs::remove_file(file("manifest.json").expect("a manifest")).expect("removed");
    for block in kept..blocks {
        std::fs::remove_file(file(&format!("block-{block:05}.tokens")).expect("a block")).expect("removed");
    }
    let first = file("block-00000.tokens").map(|path| path.metadata().and_then(|data| data.modified()).expect("a time"));
    let again = open(&data, cache.path()).expect("prepared");
    assert_eq!(again.report, whole.report);
    assert!((0..blocks).map(content).eq(expected));
    let after = file("block-00000.tokens").map(|path| path.metadata().and_then(|data| data.modified()).expect("a time"));
    assert_eq!(first == after, kept > 0, "whole blocks are not made again");
}

#[test]
fn a_killed_preparation_goes_on_after_its_last_block() {
    let rows = chats(200) + "oops\n" + &chats(150) + "{\"messages\":[]}\n";
    let documents: String = (0..300).map(|row| format!("{{\"text\":\"document {row} {}\"}}\n", "x".repeat(row))).collect();
    for kept in [0, 1, 4] {
        check_killed_at(&rows, DataSettings { duplicates: Duplicates::Skip, ..settings("") }, kept);
        check_killed_at(&documents, settings(""), kept);
        check_killed_at(&documents, DataSettings { packing: false, max_length: 64, ..settings("") }, kept);
    }
}
