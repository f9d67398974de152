//! Each file shape to rows, whatever its ending says.

mod support;

use std::io::Write;

use apertis_dataset::Columns;
use support::{folder, rows_of};

fn check(name: &str, content: &[u8], expected: Result<&[&str], &str>) {
    let folder = folder(&[(name, content)]);
    let found = rows_of(&folder.path().join(name), &Columns::default());
    match (found, expected) {
        (Ok(rows), Ok(expected)) => assert_eq!(rows, expected, "{name}"),
        (Err(sentence), Err(part)) => assert!(sentence.contains(part), "{name}: {sentence}"),
        (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
    }
}

#[test]
fn json_in_every_shape() {
    let ab: Result<&[&str], &str> = Ok(&["a", "b"]);
    check("lines.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n", ab);
    check("lines.json", b"{\"text\":\"a\"}\n{\"text\":\"b\"}", ab);
    check("windows.jsonl", b"{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}\r\n", ab);
    check("array.json", b"[{\"text\":\"a\"},{\"text\":\"b\"}]", ab);
    check("array.jsonl", b"[\n  {\"text\": \"a\"},\n  {\n \"text\": \"b\"}\n]\n", ab);
    check("array.txt", b"[{\"text\":\"a\"},\n{\"text\":\"b\"}]", ab);
    check("pretty.json", b"{\n \"text\": \"a\"\n}\n{\n \"text\": \"b\"\n}", ab);
    check("joined.json", b"{\"text\":\"a\"}{\"text\":\"b\"}", ab);
    check("mark.jsonl", b"\xef\xbb\xbf{\"text\":\"a\"}\n{\"text\":\"b\"}\n", ab);
    check("no-ending", b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n", ab);
    check("strings.json", b"[\"a\", \"b\"]", ab);
    check("escapes.json", br#"[{"text":"a\"}]{[\\"},{"text":"]"}]"#, Ok(&["a\"}]{[\\", "]"]));
}

#[test]
fn a_bad_value_costs_itself() {
    check(
        "bad.jsonl",
        b"{\"text\":\"a\"}\n{\"text\": oops}\n{\"text\":\"b\"}\n{\"text\":\"\xff\"}\n{\"other\":1}\n{\"text\":\" \"}\n",
        Ok(&["a", "line 2: not_json", "b", "line 4: broken_utf8", "line 5: missing_field", "line 6: empty_answer"]),
    );
    check("torn.jsonl", b"{\"text\":\"a\n{\"text\":\"b\"}\n", Ok(&["line 1: not_json", "b"]));
    check("torn.json", b"[{\"text\":\"a\"},\n{\"text\":\"b\"", Ok(&["a", "line 2: damaged_file"]));
    check("open.json", b"[{\"text\":\"a\"}\n", Ok(&["a", "line 2: damaged_file"]));
    check("after.json", b"[{\"text\":\"a\"}]\nx\n", Ok(&["a", "line 2: not_json"]));
    check("inner.json", b"[{\"text\":\"a\"}, {\"text\" \"b\"}, {\"text\":\"c\"}]", Ok(&["a", "line 1: not_json", "c"]));
}

#[test]
fn tables() {
    let rows: Result<&[&str], &str> = Ok(&["user: q, 1 | assistant: a\n2", "user: q2 | assistant: 3.3"]);
    check("table.csv", b"question,answer\n\"q, 1\",\"a\n2\"\nq2,3.3\n", rows);
    check("table.tsv", b"question\tanswer\nq, 1\t\"a\n2\"\nq2\t3.3\n", rows);
    check("semicolons.csv", b"Question;Answer\n\"q, 1\";\"a\n2\"\nq2;3.3\n", rows);
    check("table.txt", b"this is text, not a table\n", Ok(&["this is text, not a table\n"]));
    check("column.csv", b"sentence\none two\nthree\n", Ok(&["one two", "three"]));
    check("headless.csv", b"a first line of several words\nsecond\n", Ok(&["a first line of several words", "second"]));
    check(
        "uneven.csv",
        b"question,answer\nq\nq,a,x\nq,a\n",
        Ok(&["line 2: wrong_column_count", "line 3: wrong_column_count", "user: q | assistant: a"]),
    );
    check("unclosed.csv", b"question,answer\nq,a\nr,\"b\nq,a\nq,a\n", Ok(&["user: q | assistant: a", "line 3: damaged_file"]));
    check("closed.csv", b"question,answer\nq,\"a\nb\"", Ok(&["user: q | assistant: a\nb"]));
    check("broken.csv", b"question,answer\nq,\xff\nq,a\n", Ok(&["line 2: broken_utf8", "user: q | assistant: a"]));
}

#[test]
fn text_and_encodings() {
    check("plain.md", "# Titel\nÄpfel\n".as_bytes(), Ok(&["# Titel\nÄpfel\n"]));
    check("broken.txt", b"good\nbad \xff\nfine\n", Ok(&["line 2: broken_utf8", "good\nfine\n"]));
    check("song.txt", b"[Intro]\nla la\n", Ok(&["[Intro]\nla la\n"]));
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain("{\"text\":\"ä𝄞\"}\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    check("utf16.jsonl", &utf16, Ok(&["ä𝄞"]));
}

#[test]
fn what_is_no_data_is_refused_with_a_sentence() {
    check("empty.jsonl", b"", Err("the file is empty"));
    check("blank.jsonl", b" \n\n", Err("the file is empty"));
    check("zeros.txt", &[0; 100], Err("binary data"));
    check("archive.jsonl", b"PK\x03\x04rest", Err("zip archive"));
    check("torn.parquet", b"PAR1 and nothing else", Err("parquet"));
    check("torn.gz", b"\x1f\x8b\x08\x00", Err("damaged"));
    check("fields.jsonl", b"{\"id\":1,\"question\":\"q\"}\n", Err("an answer is missing"));
    check("tokens.jsonl", b"{\"input_ids\":[1],\"labels\":[1]}\n", Err("tokens"));
    check("numbers.json", b"[1,2]", Err("bare values"));
}

#[test]
fn compressed_files_are_what_is_inside() {
    let text = b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    check("rows.jsonl.gz", &gzip, Ok(&["a", "b"]));
    check("misnamed.csv", &gzip, Ok(&["a", "b"]));
    let two: Vec<u8> = gzip.iter().chain(&gzip).copied().collect();
    check("two.jsonl.gz", &two, Ok(&["a", "b", "a", "b"]));
    let zstd = zstd::encode_all(&text[..], 1).expect("compressed");
    check("rows.jsonl.zst", &zstd, Ok(&["a", "b"]));
    // How much comes out before the tear is up to the decompressor; that it is counted is not.
    let torn = folder(&[("torn.jsonl.gz", &gzip[..gzip.len() - 9])]);
    let rows = rows_of(&torn.path().join("torn.jsonl.gz"), &Columns::default()).expect("the rows before the tear");
    assert_eq!(rows.first().map(String::as_str), Some("a"));
    assert!(rows.last().is_some_and(|last| last.ends_with("damaged_file")), "{rows:?}");
}

#[test]
fn folders_and_patterns() {
    let folder = folder(&[
        ("b.jsonl", b"{\"text\":\"b\"}"),
        ("a/a.jsonl", b"{\"text\":\"a\"}"),
        ("README.md", b"about"),
        ("c.bin", b"\0"),
        (".hidden.jsonl", b"{\"text\":\"h\"}"),
        ("d.jsonl", b"{\"id\":1,\"n\":2}"),
    ]);
    let rows = |path: &str| rows_of(&folder.path().join(path), &Columns::default());
    assert_eq!(rows(""), Ok(vec!["a".into(), "b".into(), "line 1: unknown_format".into()]));
    assert_eq!(rows("?.jsonl").expect("matches")[0], "b");
    assert!(rows("*.csv").expect_err("no match").contains("nothing that matches"));
    assert!(rows("none.jsonl").expect_err("absent").contains("no such file"));
}

#[test]
fn a_long_text_streams_in_pieces_that_join_again() {
    let text: String = (0..20_000).map(|line| format!("line {line} of a text\n\n  indented\n")).collect();
    let long_line = "word ".repeat(100_000) + &"x".repeat(300_000) + &"ä".repeat(200_001);
    for text in [text, long_line] {
        let folder = folder(&[("long.txt", text.as_bytes())]);
        let pieces = rows_of(&folder.path().join("long.txt"), &Columns::default()).expect("text");
        assert!(pieces.len() > 5, "{} pieces", pieces.len());
        assert!(pieces.iter().all(|piece| piece.len() <= 160 << 10));
        assert!(pieces.concat() == text, "the pieces are the text");
    }
}
