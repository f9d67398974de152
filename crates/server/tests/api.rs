//! The routes over a home with recorded runs: lists, curves, recipes, files, presets, jobs.

mod support;

use std::fs;

use apertis_domain::Recipe;
use apertis_runs::RunFolder;
use serde_json::{Value, json};
use support::Served;

const ROWS: &str = r#"{"prompt":"What is a checkpoint?","completion":"A saved state of a run."}
{"prompt":"What is a step?","completion":"One update of the weights."}
{"prompt":"","completion":""}
"#;

/// A run of a home with a log of so many steps.
fn record(served: &Served, name: &str, steps: u64) -> RunFolder {
    let recipe = Recipe { name: name.to_owned(), data: "rows.jsonl".to_owned(), model: "base".to_owned(), ..Recipe::default() };
    let folder = RunFolder::create(&served.home, &recipe).expect("a new run");
    let mut lines = Vec::new();
    let mut line = |step: u64, kind: &str, fields: Value| {
        let mut line = json!({ "v": 1, "seq": lines.len(), "attempt": 1, "step": step, "at": "2026-11-22T10:00:00.000Z", "elapsed_ms": step * 10, "kind": kind });
        line.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("an object"));
        lines.push(line.to_string());
    };
    line(0, "run_started", json!({ "run": name, "method": "lora" }));
    line(0, "plan_made", json!({ "total_steps": steps, "parameters": 1000, "trainable_parameters": 10 }));
    for step in 1..=steps {
        let loss = 4.0 / step as f64;
        line(
            step,
            "step_finished",
            json!({ "loss": loss, "learning_rate": 1e-4, "tokens": 100, "epoch": step as f64 / 10.0, "tokens_per_second": 50.0, "step_ms": 10.0 }),
        );
        if step % 10 == 0 {
            line(step, "evaluated", json!({ "loss": loss + 1.0, "accuracy": 0.5, "best": true }));
        }
    }
    line(steps, "run_finished", json!({ "reason": "completed", "steps": steps }));
    fs::write(folder.events(), lines.join("\n") + "\n").expect("the home can be written");
    folder
}

/// The id of a run, once the server has found it.
fn id_of(served: &Served, name: &str) -> String {
    served.until(name, || {
        let list = served.get("/api/v1/runs?limit=200");
        let found = list["items"].as_array()?.iter().find(|row| row["name"] == name && row["state"]["name"] == "finished")?;
        Some(found["id"].as_str()?.to_owned())
    })
}

#[test]
fn a_run_is_listed_shown_renamed_and_deleted() {
    let served = Served::new();
    record(&served, "first", 40);
    let id = id_of(&served, "first");
    let run = served.get(&format!("/api/v1/runs/{id}"));
    assert_eq!((&run["row"]["step"], &run["row"]["best_step"], &run["parameters"]), (&json!(40), &json!(40), &json!(1000)));
    assert_eq!(run["row"]["curve"].as_array().map(Vec::len), Some(40));
    assert!(run["can"].as_array().is_some_and(|can| can.contains(&json!("delete")) && !can.contains(&json!("pause"))), "{run}");

    let page = format!("/api/v1/runs/{id}");
    let changed = served.ask("PATCH", &page, Some(&json!({ "name": "Тон голоса", "tags": ["good"], "notes": "why" }))).json();
    assert_eq!(
        (&changed["row"]["name"], &changed["row"]["tags"], &changed["notes"]),
        (&json!("Тон голоса"), &json!(["good"]), &json!("why"))
    );
    let (host, old) = (served.host(), format!("\"{}\"", run["etag"].as_str().expect("a tag")));
    let late =
        served.send("PATCH", &page, &[("host", &host), ("content-type", "application/json"), ("if-match", &old)], br#"{"name":"other"}"#);
    assert_eq!(late.status, 409);
    assert_eq!(late.json()["details"]["present"]["name"], "Тон голоса");
    assert_eq!(served.ask("PATCH", &page, Some(&json!({ "name": "" }))).status, 400);
    assert_eq!(served.get("/api/v1/runs?text=голоса%20why")["total"], 1);
    assert_eq!(served.get("/api/v1/runs?tag=bad")["total"], 0);

    assert_eq!(served.ask("DELETE", &page, None).status, 204);
    assert_eq!(served.get("/api/v1/runs")["of"], 0);
    assert_eq!(served.ask("GET", &page, None).json()["code"], "not_found");
    assert_eq!(served.get("/api/v1/runs?trash=true")["items"][0]["id"], json!(id));
    let back = served.post(&format!("{page}/restore"), &json!({}));
    assert_eq!(back["row"]["id"], json!(id));
}

#[test]
fn lists_come_in_pages_that_hold_each_run_once() {
    let served = Served::new();
    for number in 0..7_u64 {
        record(&served, &format!("run-{number}"), 10 + number);
    }
    (0..7).for_each(|number| drop(id_of(&served, &format!("run-{number}"))));
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/api/v1/runs?limit=3&sort=step&order=desc{cursor}"));
        assert_eq!((&page["total"], &page["of"]), (&json!(7), &json!(7)));
        names.extend(page["items"].as_array().expect("rows").iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, (0..7).rev().map(|number| format!("run-{number}")).collect::<Vec<String>>());
    for bad in ["sort=colour", "order=up", "cursor=x", "limit=many"] {
        assert_eq!(served.ask("GET", &format!("/api/v1/runs?{bad}"), None).status, 400, "{bad}");
    }
}

#[test]
fn curves_events_files_and_comparison_say_what_the_log_says() {
    let served = Served::new();
    let folder = record(&served, "long", 2000);
    record(&served, "short", 20);
    let (long, short) = (id_of(&served, "long"), id_of(&served, "short"));
    let metrics = served.get(&format!("/api/v1/runs/{long}/metrics?names=loss,eval_loss&points=300"));
    let series = &metrics["series"];
    assert_eq!((&series[0]["name"], &series[0]["bin"], &series[0]["total"]), (&json!("loss"), &json!(8), &json!(2000)));
    assert_eq!((series[0]["mean"].as_array().map(Vec::len), series[1]["mean"].as_array().map(Vec::len)), (Some(250), Some(200)));
    let seq = metrics["seq"].as_u64().expect("a number");
    let newest = served.get(&format!("/api/v1/runs/{long}/events?limit=1"));
    assert_eq!((&newest["items"][0]["kind"], newest["seq"].as_u64()), (&json!("run_finished"), Some(seq)));
    let after = served.get(&format!("/api/v1/runs/{long}/events?after={}&points=true", seq - 3));
    let kinds: Vec<&str> = after["items"].as_array().expect("events").iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["step_finished", "evaluated", "run_finished"]);

    let files = served.get(&format!("/api/v1/runs/{long}/files"));
    assert!(files.as_array().is_some_and(|files| files.iter().any(|file| file["path"] == "events.jsonl")), "{files}");
    let file = served.ask("GET", &format!("/api/v1/runs/{long}/files/recipe.toml"), None);
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"recipe.toml\""));
    assert_eq!(file.body, fs::read(folder.recipe_file()).expect("the recipe"));
    for path in ["../short/recipe.toml", "..%2Fshort%2Frecipe.toml", "%2Fetc%2Fpasswd", "checkpoints", "none"] {
        let status = served.ask("GET", &format!("/api/v1/runs/{long}/files/{path}"), None).status;
        assert!([403, 404].contains(&status), "{path}: {status}");
    }
    assert_eq!(served.ask("GET", &format!("/api/v1/runs/{long}/files/report.html?view=frame"), None).status, 404);
    fs::write(folder.report(), "<p>report</p>").expect("the home can be written");
    let report = served.ask("GET", &format!("/api/v1/runs/{long}/files/report.html?view=frame"), None);
    assert!(report.header("content-security-policy").is_some_and(|policy| policy.starts_with("sandbox;")));

    let both = served.get(&format!("/api/v1/compare?runs={long},{short}&metric=loss"));
    assert_eq!(both["curves"].as_array().map(Vec::len), Some(2));
    assert_eq!(both["fields"], json!([]));
    let best = both["values"].as_array().expect("values").iter().find(|value| value["name"] == "loss").expect("the loss");
    assert_eq!((&best["best"], &best["last"]), (&json!([0.002, 0.2]), &json!([0.002, 0.2])));
    assert_eq!(served.ask("GET", "/api/v1/compare?runs=none", None).status, 404);
}

#[test]
fn a_recipe_has_three_forms_and_its_paths_are_checked() {
    let served = Served::new();
    fs::write(served.home.root().join("rows.jsonl"), ROWS).expect("the home can be written");
    let form = served.post("/api/v1/recipe", &json!({ "command": "apertis train method=scratch data=rows.jsonl epochs=2" }));
    assert_eq!((&form["changed"], &form["problems"]), (&json!(["data", "method", "epochs"]), &json!([])));
    let outside = served.post("/api/v1/recipe", &json!({ "fields": { "method": "scratch", "data": "/etc/hostname" } }));
    assert_eq!(outside["problems"][0]["field"], "data");
    let wrong = served.ask("POST", "/api/v1/recipe", Some(&json!({ "fields": { "lora.rnak": "3" } })));
    assert_eq!((wrong.status, wrong.json()["details"]["field"].clone()), (422, json!("lora.rnak")));
    assert_eq!(served.ask("POST", "/api/v1/recipe", Some(&json!({}))).status, 400);
    assert_eq!(
        served.ask("POST", "/api/v1/runs", Some(&json!({ "recipe": { "command": "data=/etc/passwd method=scratch" } }))).status,
        403
    );

    let plan = served.post("/api/v1/plan", &json!({ "command": "method=scratch data=rows.jsonl batch_size=1 epochs=2 eval_fraction=0" }));
    assert_eq!((&plan["rows"], &plan["steps"], &plan["is_measured"]), (&json!(2), &json!(4), &json!(false)));

    let new = json!({ "recipe": { "toml": form["toml"] }, "name": "Ночь", "tags": ["a"], "start": false });
    let run = served.post("/api/v1/runs", &new);
    assert_eq!((&run["row"]["name"], &run["row"]["state"]["name"]), (&json!("Ночь"), &json!("queued")));
    let id = run["row"]["id"].as_str().expect("an id");
    let cloned = served.post(&format!("/api/v1/runs/{id}/clone"), &json!({ "how": "as_started" }));
    assert_eq!(cloned["fields"]["epochs"], "2.0");
    let command = served.ask("POST", &format!("/api/v1/runs/{id}/commands"), Some(&json!({ "action": "pause" })));
    assert_eq!(command.json()["code"], "not_possible_now");

    let catalogue = served.get("/api/v1/catalogue");
    assert!(catalogue["fields"].as_array().is_some_and(|fields| fields.len() > 50));
}

#[test]
fn presets_are_recipe_files_of_the_home() {
    let served = Served::new();
    let preset = json!({ "title": "Mine", "what": "Less.\nMore.", "fields": { "lora.rank": "8", "model.layers": "2", "targets": "x" } });
    assert_eq!(served.ask("PUT", "/api/v1/presets/mine", Some(&preset)).status, 422);
    let preset =
        json!({ "title": "Mine", "what": "Less.\nMore.", "fields": { "lora.rank": "8", "model.layers": "2", "lora.targets": "q_proj" } });
    let saved = served.ask("PUT", "/api/v1/presets/mine", Some(&preset)).json();
    assert_eq!((&saved["what"], &saved["fields"]["lora.rank"], &saved["is_own"]), (&json!("Less. More."), &json!("8"), &json!(true)));
    assert_eq!(saved["fields"]["model.layers"], "2");
    for (name, status) in [("..%2Fmine", 400), ("nul", 400), ("facts", 409)] {
        assert_eq!(served.ask("PUT", &format!("/api/v1/presets/{name}"), Some(&preset)).status, status, "{name}");
    }
    assert_eq!(served.get("/api/v1/presets").as_array().map(Vec::len), Some(6));
    assert_eq!(served.ask("DELETE", "/api/v1/presets/mine", None).status, 204);
    assert_eq!(served.ask("DELETE", "/api/v1/presets/mine", None).status, 404);
}

#[test]
fn an_upload_is_stored_shown_and_counted() {
    let served = Served::new();
    let host = served.host();
    let headers = [("host", host.as_str()), ("content-type", "application/octet-stream")];
    let upload = |query: &str, body: &[u8]| served.send("POST", &format!("/api/v1/data?{query}"), &headers, body);
    let reply = upload("name=chats.jsonl&title=Support%20chats", ROWS.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let done = served.until("the count", || Some(served.get("/api/v1/jobs")["items"][0].clone()).filter(|job| job["state"] == "done"));
    assert_eq!((&done["result"]["rows"], &done["result"]["bad_rows"]), (&json!(3), &json!(1)));
    let card = served.get("/api/v1/data")[0].clone();
    assert_eq!((&card["name"], &card["rows"], &card["bad_rows"]), (&json!("Support chats"), &json!(3), &json!(1)));
    let path = card["reference"].as_str().expect("a path");
    assert!(path.ends_with("/data/Support-chats/v1/rows.jsonl"), "{path}");
    let rows = served.get(&format!("/api/v1/data/{}/rows?limit=2", path.replace('/', "%2F")));
    assert_eq!(rows["items"][0]["messages"][1], json!({ "role": "assistant", "text": "A saved state of a run." }));
    assert_eq!((rows["items"].as_array().map(Vec::len), &rows["reasons"][0]["count"]), (Some(2), &json!(1)));

    assert_eq!(upload("name=Support%20chats.jsonl", ROWS.as_bytes()).json()["code"], "name_taken");
    assert_eq!(upload("name=bad.jsonl", b"{\"colour\": 3}\n").json()["code"], "data_invalid");
    assert_eq!(upload("name=x.jsonl&title=..%2Fup", ROWS.as_bytes()).status, 400);
    let limit = served.ask("PATCH", "/api/v1/settings", Some(&json!({ "upload_max_bytes": 10 })));
    assert_eq!(limit.status, 200);
    assert_eq!(upload("name=big.jsonl", ROWS.as_bytes()).json()["code"], "too_large");
    // What broke off leaves nothing.
    let left: Vec<_> = fs::read_dir(served.home.data()).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["Support-chats"]);
    assert_eq!(served.ask("GET", "/api/v1/data/none/rows?data=/etc/passwd", None).status, 403);
}

#[test]
fn jobs_fail_with_a_reason_and_can_be_asked_again() {
    let served = Served::new();
    fs::write(served.home.root().join("rows.jsonl"), ROWS).expect("the home can be written");
    let task = json!({ "kind": "tokenise", "recipe": { "command": "method=scratch data=rows.jsonl" } });
    let job = served.post("/api/v1/jobs", &task);
    let id = job["id"].as_str().expect("an id");
    // The program of this test answers nothing and fails.
    let failed = served.until("the end", || Some(served.get(&format!("/api/v1/jobs/{id}"))).filter(|job| job["state"] == "failed"));
    assert!(failed["failure"].as_str().is_some_and(|text| text.contains("ended with")), "{failed}");
    assert_eq!(served.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), Some(&json!({}))).status, 409);
    let again = served.post(&format!("/api/v1/jobs/{id}/again"), &json!({}));
    assert_ne!(again["id"], job["id"]);
    assert!(served.get(&format!("/api/v1/jobs/{id}/log"))["text"].as_str().is_some_and(|text| text.contains("apertis data")));
    assert!(served.get("/api/v1/jobs")["items"].as_array().is_some_and(|jobs| jobs.len() == 2));
}

#[test]
fn settings_keys_system_home_and_documents_answer() {
    let served = Served::new();
    let folder = tempfile::tempdir().expect("a folder");
    let added = folder.path().canonicalize().expect("a path");
    fs::write(added.join("rows.jsonl"), ROWS).expect("the folder can be written");
    let rows = format!("/api/v1/data/x/rows?data={}", added.join("rows.jsonl").display());
    assert_eq!(served.ask("GET", &rows, None).status, 403);
    let settings = served.ask("PATCH", "/api/v1/settings", Some(&json!({ "folders": [added], "theme": "dark" }))).json();
    assert_eq!((&settings["theme"], &settings["keep_awake"]), (&json!("dark"), &json!(true)));
    assert_eq!(served.ask("GET", &rows, None).status, 200);
    for bad in [json!({ "theme": "pink" }), json!({ "folders": ["/"] }), json!({ "folders": ["/proc"] }), json!({ "watts": -1.0 })] {
        assert!([400, 403].contains(&served.ask("PATCH", "/api/v1/settings", Some(&bad)).status), "{bad}");
    }
    let made = served.post("/api/v1/keys", &json!({ "name": "laptop" }));
    let id = made["key"]["id"].as_str().expect("an id");
    assert_eq!(served.get("/api/v1/keys")[0]["id"], json!(id));
    assert_eq!(served.ask("DELETE", &format!("/api/v1/keys/{id}"), None).status, 204);
    assert!(served.get("/api/v1/system")["now"]["memory_total_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let home = served.get("/api/v1/home");
    assert!(home["next"].as_array().is_some_and(|steps| !steps.is_empty()) && home["tour"].as_array().is_some_and(|tour| !tour.is_empty()));

    let document = served.get("/api/v1/openapi.json");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    for name in ["ApiError", "Join", "Joined", "RunMessage", "RunsMessage", "SystemMessage", "JobMessage", "Gap"] {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let docs = served.ask("GET", "/docs", None);
    assert_eq!(docs.status, 200);
    let text = docs.text();
    assert!(text.contains("/api/v1/runs/{id}/metrics") && !text.contains("<script") && !text.contains("https://"), "{text}");
    assert_eq!(served.ask("GET", "/api/v1/none", None).json()["code"], "not_found");
    assert_eq!(served.ask("GET", "/assets/none.js", None).status, 404);
    assert!(served.ask("GET", "/runs/some", None).header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert_eq!(served.ask("POST", "/api/v1/recipe", Some(&json!("x".repeat(5 << 20)))).status, 413);
}

#[test]
fn the_queue_has_an_order_and_can_be_held() {
    let served = Served::new();
    fs::write(served.home.root().join("rows.jsonl"), ROWS).expect("the home can be written");
    let held = served.ask("PUT", "/api/v1/queue", Some(&json!({ "is_paused": true }))).json();
    assert_eq!((&held["is_paused"], &held["runs"]), (&json!(true), &json!([])));
    let start = |name: &str| {
        let run = served.post("/api/v1/runs", &json!({ "recipe": { "command": "method=scratch data=rows.jsonl" }, "name": name }));
        run["row"]["id"].as_str().expect("an id").to_owned()
    };
    let (first, second, third) = (start("first"), start("second"), start("third"));
    let ids = || -> Vec<String> {
        let queue = served.get("/api/v1/queue");
        queue["runs"].as_array().expect("runs").iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(ids(), [first.clone(), second.clone(), third.clone()]);
    let ordered = served.ask("PUT", "/api/v1/queue", Some(&json!({ "order": [third] }))).json();
    assert_eq!(ordered["runs"][0]["queue_place"], 1);
    assert_eq!(ids(), [third.clone(), first.clone(), second.clone()]);
    assert_eq!(served.ask("PUT", "/api/v1/queue", Some(&json!({ "order": ["none"] }))).status, 404);
    let raise = |id: &str, priority: i32| served.ask("PUT", "/api/v1/queue", Some(&json!({ "priorities": { id: priority } })));
    assert_eq!(raise(&second, 5).status, 200);
    assert_eq!(ids(), [second.clone(), third.clone(), first.clone()]);
    assert_eq!((raise(&second, 101).status, raise("none", 1).status), (400, 404));
    assert_eq!(raise(&second, -1).status, 200);
    assert_eq!(ids(), [third.clone(), first.clone(), second.clone()]);
    assert_eq!(served.ask("DELETE", &format!("/api/v1/runs/{first}"), None).status, 204);
    assert_eq!(ids(), [third, second]);
    // The workers of this test end at once: the queue empties itself when it is let go.
    served.ask("PUT", "/api/v1/queue", Some(&json!({ "is_paused": false })));
    served.until("the queue's end", || ids().is_empty().then_some(()));
}

#[test]
fn a_sweep_is_previewed_and_becomes_a_queued_group() {
    let served = Served::new();
    fs::write(served.home.root().join("rows.jsonl"), ROWS).expect("the home can be written");
    served.ask("PUT", "/api/v1/queue", Some(&json!({ "is_paused": true })));
    let axes = json!([{ "field": "batch_size", "values": ["1", "2"] }, { "field": "epochs", "min": 1.0, "max": 2.0, "steps": 2 }]);
    let mut draft = json!({ "recipe": { "command": "method=scratch data=rows.jsonl" }, "axes": axes, "order": "grid", "limit": 3, "preview": true, "name": "try" });
    let preview = served.post("/api/v1/sweeps", &draft);
    assert_eq!((&preview["total"], preview["tries"].as_array().map(Vec::len), &preview["problem"]), (&json!(4), Some(3), &json!("")));
    assert_eq!(served.get("/api/v1/runs")["of"], 0);
    draft["preview"] = json!(false);
    let sweep = served.post("/api/v1/sweeps", &draft);
    let id = sweep["id"].as_str().expect("an id");
    assert_eq!(served.get("/api/v1/queue")["runs"].as_array().map(Vec::len), Some(3));
    let shown = served.get(&format!("/api/v1/sweeps/{id}"));
    assert_eq!((&shown["tries"][2]["run"]["sweep"], &shown["tries"][2]["run"]["name"]), (&json!(id), &json!("try 3")));
    assert_eq!(served.ask("GET", "/api/v1/sweeps/..%2Fx", None).status, 404);
    draft["axes"] = json!([{ "field": "batch_size", "values": ["many"] }]);
    assert_eq!(served.ask("POST", "/api/v1/sweeps", Some(&draft)).status, 422);
}
