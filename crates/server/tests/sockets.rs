//! Socket.IO by polling, spoken as its protocol says: joining, what was missed, and what happens.

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;

use apertis_domain::Recipe;
use apertis_runs::RunFolder;
use serde_json::{Value, json};
use support::Served;

/// A socket by polling.
struct Socket<'a> {
    served: &'a Served,
    path: String,
    heard: Vec<(String, Value)>,
}

impl<'a> Socket<'a> {
    fn connect(served: &'a Served) -> Socket<'a> {
        let open = served.ask("GET", "/socket.io/?EIO=4&transport=polling", None).text();
        let handshake: Value = serde_json::from_str(open.strip_prefix('0').expect("an open packet")).expect("JSON");
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", handshake["sid"].as_str().expect("an id"));
        let mut socket = Socket { served, path, heard: Vec::new() };
        socket.send("40");
        served.until("the connection", || socket.poll().contains("40{").then_some(()));
        socket
    }

    fn send(&self, packet: &str) {
        let (host, origin) = (self.served.host(), format!("http://{}", self.served.host()));
        let headers = [("host", host.as_str()), ("origin", origin.as_str()), ("content-type", "text/plain;charset=UTF-8")];
        let reply = self.served.send("POST", &self.path, &headers, packet.as_bytes());
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
    }

    fn emit(&self, event: &str, argument: &Value) {
        self.send(&format!("42{}", json!([event, argument])));
    }

    fn poll(&mut self) -> String {
        let text = self.served.ask("GET", &self.path, None).text();
        for packet in text.split('\u{1e}') {
            if packet == "2" {
                self.send("3");
            }
            if let Some(event) = packet.strip_prefix("42") {
                let event: Value = serde_json::from_str(event).expect("JSON");
                self.heard.push((event[0].as_str().unwrap_or_default().to_owned(), event[1].clone()));
            }
        }
        text
    }

    /// Waits for an event for which something holds.
    fn hear<T>(&mut self, what: &str, look: impl Fn(&str, &Value) -> Option<T>) -> T {
        let served = self.served;
        served.until(what, || {
            let found = self.heard.iter().find_map(|(event, body)| look(event, body));
            if found.is_none() {
                self.poll();
            }
            found
        })
    }
}

fn line(seq: u64, kind: &str) -> String {
    json!({ "v": 1, "seq": seq, "attempt": 1, "step": seq, "at": "2026-11-22T10:00:00.000Z", "elapsed_ms": seq, "kind": kind, "loss": 1.0 })
        .to_string()
        + "\n"
}

#[test]
fn a_listener_gets_what_it_missed_and_then_what_happens() {
    let served = Served::new();
    let recipe = Recipe { name: "live".to_owned(), ..Recipe::default() };
    let folder = RunFolder::create(&served.home, &recipe).expect("a new run");
    let old: String = (0..20).map(|seq| line(seq, "step_finished")).collect();
    fs::write(folder.events(), old).expect("the home can be written");
    let id = served.until("the run", || {
        let list = served.get("/api/v1/runs");
        list["items"][0]["id"].as_str().filter(|_| list["items"][0]["step"] == 19).map(str::to_owned)
    });

    let mut socket = Socket::connect(&served);
    let room = format!("run:{id}");
    socket.emit("join", &json!({ "room": room, "after": 16 }));
    let joined = socket.hear("the room", |event, body| (event == "joined").then(|| body.clone()));
    assert_eq!((&joined["room"], &joined["seq"], &joined["reload"]), (&json!(room), &json!(19), &json!(false)));
    let mut log = OpenOptions::new().append(true).open(folder.events()).expect("the log");
    for seq in 20..25 {
        log.write_all(line(seq, "step_finished").as_bytes()).expect("the log can be written");
    }
    log.write_all(line(25, "run_stopped").as_bytes()).expect("the log can be written");
    socket.hear("the end", |event, body| (event == "event" && body["event"]["seq"] == 25).then_some(()));
    let seqs: Vec<u64> =
        socket.heard.iter().filter(|(event, _)| event == "event").filter_map(|(_, body)| body["event"]["seq"].as_u64()).collect();
    assert_eq!(seqs, (17..=25).collect::<Vec<u64>>());

    // A room that does not exist says so, and what is no wish is passed over.
    socket.emit("join", &json!({ "room": "run:none" }));
    let problem = socket.hear("no room", |event, body| (event == "joined" && body["room"] == "run:none").then(|| body["problem"].clone()));
    assert_ne!(problem, "");
    socket.emit("join", &json!(3));
    socket.emit("command", &json!({ "action": "stop" }));

    // The list is heard with numbers of this life of the server.
    let list = served.get("/api/v1/runs");
    socket.emit("join", &json!({ "room": "runs", "after": list["seq"], "epoch": list["epoch"] }));
    socket.hear("the list's room", |event, body| (event == "joined" && body["room"] == "runs" && body["reload"] == false).then_some(()));
    assert_eq!(served.ask("PATCH", &format!("/api/v1/runs/{id}"), Some(&json!({ "name": "other" }))).status, 200);
    let told = socket.hear("the new name", |event, body| (event == "run" && body["run"]["name"] == "other").then(|| body["seq"].clone()));
    assert!(told.as_u64() > list["seq"].as_u64());
    let mut late = Socket::connect(&served);
    late.emit("join", &json!({ "room": "runs", "after": 0, "epoch": "before" }));
    late.hear("another life", |event, body| (event == "joined" && body["reload"] == true).then_some(()));

    // The machine is sampled while somebody listens.
    late.emit("join", &json!({ "room": "system" }));
    late.hear("a sample", |event, body| (event == "sample" && body["sample"]["memory_total_bytes"].as_u64() > Some(0)).then_some(()));
}
