//! The studio's server as a program: it answers, is found by a second one, trains, and ends.

#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Home, text};

const LIMIT: Duration = Duration::from_secs(120);

/// A server that is killed if the test ends before it.
struct Server {
    child: Child,
    host: String,
}

impl Server {
    fn start(home: &Home) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_apertis"))
            .arg("--home")
            .arg(home.path())
            .args(["--json", "serve", "--no-open", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("the server speaks");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let host = said["url"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address").to_owned();
        Server { child, host }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.host).expect("the server listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("the server reads");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("the server answers");
        let (_, body) = reply.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}"))
    }

    fn until(&self, what: &str, path: &str, look: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let found = self.ask("GET", path, &Value::Null);
            if look(&found) {
                return found;
            }
            assert!(began.elapsed() < LIMIT, "{what} did not come: {found}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_goes_on_without_the_server_and_is_there_when_it_is_back() {
    let home = Home::new();
    home.write("book.txt", text());
    let mut server = Server::start(&home);
    let session = server.ask("GET", "/api/v1/session", &Value::Null);
    assert_eq!((&session["needs_key"], &session["is_open"]), (&json!(false), &json!(true)));

    let second = home.json(&["serve", "--no-open"]);
    assert_eq!((&second["was_running"], second["url"].as_str()), (&json!(true), Some(format!("http://{}", server.host).as_str())));

    let command = "apertis train method=scratch data=book.txt tokenizer=char model.layers=2 model.heads=2 model.width=32 \
                   model.context=32 max_length=32 batch_size=4 threads=1 learning_rate=0.003 patience=0 max_steps=4000 save_every=50";
    let run = server.ask("POST", "/api/v1/runs", &json!({ "recipe": { "command": command }, "name": "Night shift" }));
    let id = run["row"]["id"].as_str().unwrap_or_else(|| panic!("no run: {run}")).to_owned();
    let page = format!("/api/v1/runs/{id}");
    server.until("training", &page, |run| run["row"]["step"].as_u64() > Some(20));

    let batches = server.ask("GET", &format!("{page}/batches"), &Value::Null);
    let first = &batches[0]["tokens"];
    assert_eq!((&first[0]["kind"], &first[1]["kind"], &batches[0]["batch"]), (&json!("masked"), &json!("trained"), &json!(0)), "{batches}");

    // What is asked is done at the next step, and stands in the log.
    for (command, kind) in [
        (json!({ "action": "evaluate_now" }), "evaluation_asked"),
        (json!({ "action": "set_eval_steps", "eval_steps": 1000 }), "eval_steps_changed"),
        (json!({ "action": "set_learning_rate", "learning_rate": 0.002 }), "learning_rate_changed"),
    ] {
        let answer = server.ask("POST", &format!("{page}/commands"), &command);
        assert!(["accepted", "waiting"].iter().any(|outcome| answer["outcome"] == *outcome), "{command}: {answer}");
        server.until(kind, &format!("{page}/events?limit=100"), |events| {
            events["items"].as_array().is_some_and(|events| events.iter().any(|event| event["kind"] == kind))
        });
    }
    let refused = server.ask("POST", &format!("{page}/commands"), &json!({ "action": "set_eval_steps", "eval_steps": 0 }));
    assert_eq!(refused["code"], json!("bad_request"), "{refused}");

    // The server dies without a word; the run does not notice.
    server.signal("-KILL");
    server.child.wait().expect("it was ours");
    let steps = || home.events("Night-shift").iter().filter(|event| event["kind"] == "step_finished").count();
    let before = steps();
    let began = Instant::now();
    while steps() <= before && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(steps() > before, "the run stopped with the server");

    let mut server = Server::start(&home);
    server.until("the run", "/api/v1/runs", |runs| runs["items"][0]["id"] == json!(id) && runs["items"][0]["state"]["name"] == "training");
    let answer = server.ask("POST", &format!("{page}/commands"), &json!({ "action": "stop" }));
    assert!(["accepted", "waiting"].iter().any(|outcome| answer["outcome"] == *outcome), "{answer}");
    let stopped = server.until("the end", &page, |run| run["row"]["state"]["name"] == "stopped");
    assert!(stopped["can"].as_array().is_some_and(|can| can.contains(&json!("resume"))), "{stopped}");

    // Steps are without a hole and none is there twice.
    let metrics = server.ask("GET", &format!("{page}/metrics?names=loss&points=10000"), &Value::Null);
    let found: Vec<u64> = metrics["series"][0]["step"].as_array().expect("steps").iter().filter_map(Value::as_u64).collect();
    assert_eq!(found, (1..=found.len() as u64).collect::<Vec<u64>>());

    // A worker that is killed is started again.
    let resumed = server.ask("POST", &format!("{page}/resume"), &json!({}));
    assert_eq!(resumed["row"]["id"], json!(id), "{resumed}");
    server.until("training again", &page, |run| run["row"]["state"]["name"] == "training");
    let pid = std::fs::read_to_string(home.run("Night-shift").join("worker.pid")).expect("a worker");
    let killed = Command::new("kill").args(["-KILL", pid.trim()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    server.until("the next worker", &format!("{page}/events?limit=50"), |events| {
        events["items"]
            .as_array()
            .is_some_and(|events| events.iter().any(|event| event["kind"] == "run_resumed" && event["fields"]["automatic"] == json!(true)))
    });
    server.ask("POST", &format!("{page}/commands"), &json!({ "action": "abort" }));
    server.until("the end", &page, |run| run["row"]["state"]["name"] == "stopped");

    server.signal("-TERM");
    assert!(server.child.wait().expect("it was ours").success());
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let home = Home::new();
    let made = home.json(&["keys", "create", "laptop"]);
    let (id, secret) = (made["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    let listed = home.call(&["keys", "list"]);
    assert!(listed.stdout.contains("laptop") && !listed.stdout.contains(secret), "{}", listed.stdout);
    assert_eq!(home.json(&["keys", "revoke", id])["revoked"], json!(id));
    assert_eq!(home.call(&["keys", "revoke", id]).code, 1);
    let misplaced = home.call(&["--port", "9000", "runs"]);
    assert_eq!(misplaced.code, 2, "{}", misplaced.stderr);
}

#[test]
fn records_are_carried_and_the_index_is_made_again() {
    let home = Home::new();
    let data = format!("data={}", home.write("book.txt", text()));
    let made = home.json(&["keys", "create", "laptop"]);
    let file = home.path().join("records.jsonl").display().to_string();
    assert_eq!(home.json(&["backup", &file])["counts"]["keys"], json!(1));
    assert_eq!(home.json(&["keys", "revoke", made["id"].as_str().expect("an id")])["revoked"], made["id"]);
    assert_eq!(home.json(&["restore", &file])["counts"]["keys"], json!(1));
    assert_eq!(home.json(&["keys", "list"])["keys"][0]["id"], made["id"]);

    home.json(&[
        "train",
        "method=scratch",
        &data,
        "tokenizer=char",
        "model.layers=1",
        "model.heads=2",
        "model.width=16",
        "model.context=32",
        "max_length=32",
        "batch_size=4",
        "threads=1",
        "max_steps=3",
        "name=tiny",
    ]);
    std::fs::remove_file(home.path().join("apertis.db")).expect("the database is there");
    assert_eq!(home.json(&["reindex"])["runs"], json!(1));
    let server = Server::start(&home);
    assert_eq!(server.ask("GET", "/api/v1/runs", &Value::Null)["items"][0]["name"], json!("tiny"));
    for verb in [vec!["reindex"], vec!["restore", &file]] {
        let refused = home.call(&verb);
        assert!(refused.code == 1 && refused.stderr.contains("has the database open"), "{}", refused.stderr);
    }
    drop(server);

    let check = |arguments: &[&str], code: i32, expected: &str| {
        let answer = home.call(arguments);
        assert!(answer.code == code && answer.stderr.contains(expected), "{arguments:?}: {} {}", answer.code, answer.stderr);
    };
    check(&["backup"], 2, "<FILE>");
    check(&["backup", home.path().to_str().expect("a plain path")], 2, "expected a file to write");
    check(&["backup", "/no/such/folder/x"], 1, "write /no/such/folder/x");
    check(&["restore", "/no/such/file"], 1, "/no/such/file");
    check(&["restore", &home.write("other.jsonl", "{}\n")], 1, "expected the first line of a backup");
    check(&["reindex", "--database-url", "mysql://root:secret@db/x"], 1, "expected postgres://");
    check(&["keys", "create", " "], 2, "expected a name of 1 to 80 characters");
    for verb in ["reindex", "backup", "restore", "keys", "serve"] {
        let help = home.call(&[verb, "--help"]);
        assert!(help.stdout.contains("Examples:") && help.stdout.contains("--database-url"), "{}", help.stdout);
    }
}
