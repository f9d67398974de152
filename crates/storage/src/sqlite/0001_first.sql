CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The index: made again from the folders.

CREATE TABLE index_runs (
    id TEXT NOT NULL PRIMARY KEY,
    is_trash BIGINT NOT NULL,
    is_active BIGINT NOT NULL,
    created TEXT NOT NULL,
    changed TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    step BIGINT NOT NULL,
    elapsed BIGINT NOT NULL,
    best_loss DOUBLE,
    tokens_per_second DOUBLE,
    queue_place BIGINT,
    model TEXT NOT NULL,
    data TEXT NOT NULL,
    sweep TEXT NOT NULL,
    words TEXT NOT NULL
);
CREATE INDEX index_runs_created ON index_runs (is_trash, created, id);
CREATE INDEX index_runs_changed ON index_runs (is_trash, changed, id);
CREATE INDEX index_runs_name ON index_runs (is_trash, name, id);
CREATE INDEX index_runs_state ON index_runs (is_trash, state, id);
CREATE INDEX index_runs_step ON index_runs (is_trash, step, id);
CREATE INDEX index_runs_elapsed ON index_runs (is_trash, elapsed, id);
CREATE INDEX index_runs_best_loss ON index_runs (is_trash, best_loss, id);
CREATE INDEX index_runs_tokens_per_second ON index_runs (is_trash, tokens_per_second, id);
-- A filter with the usual order.
CREATE INDEX index_runs_state_created ON index_runs (is_trash, state, created, id);
CREATE INDEX index_runs_model_created ON index_runs (is_trash, model, created, id);
CREATE INDEX index_runs_data_created ON index_runs (is_trash, data, created, id);
CREATE INDEX index_runs_queue ON index_runs (queue_place);
CREATE INDEX index_runs_sweep ON index_runs (sweep);

-- Apart from index_runs, so that walking that one stays quick.
CREATE TABLE index_rows (
    run TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    details TEXT NOT NULL
);

CREATE TABLE index_tags (
    run TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (run, tag)
);
CREATE INDEX index_tags_tag ON index_tags (tag, run);

CREATE TABLE index_logs (
    run TEXT NOT NULL,
    file TEXT NOT NULL,
    byte_offset BIGINT NOT NULL,
    first_line TEXT NOT NULL,
    fold TEXT NOT NULL,
    PRIMARY KEY (run, file)
);

CREATE TABLE index_places (
    run TEXT NOT NULL,
    seq BIGINT NOT NULL,
    byte_offset BIGINT NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE index_events (
    run TEXT NOT NULL,
    seq BIGINT NOT NULL,
    step BIGINT NOT NULL,
    elapsed_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    place BIGINT NOT NULL,
    stands BIGINT NOT NULL,
    mark TEXT NOT NULL,
    mark_text TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE INDEX index_events_mark ON index_events (run, mark, seq);

CREATE TABLE index_tracks (
    run TEXT NOT NULL,
    track TEXT NOT NULL,
    stretch BIGINT NOT NULL,
    points BIGINT NOT NULL,
    names TEXT NOT NULL,
    PRIMARY KEY (run, track, stretch)
);

CREATE TABLE index_chunks (
    run TEXT NOT NULL,
    track TEXT NOT NULL,
    stretch BIGINT NOT NULL,
    level BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, track, stretch, level, chunk, name)
);

CREATE TABLE index_shelf (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    place BIGINT NOT NULL,
    card TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The records: they exist nowhere else, and `backup` carries them.

CREATE TABLE record_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    used_at TEXT,
    revoked_at TEXT
);

CREATE TABLE record_sessions (
    hash TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    label TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);

CREATE TABLE record_settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE record_jobs (
    id TEXT NOT NULL PRIMARY KEY,
    created_at TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
);

CREATE TABLE record_job_lines (
    job TEXT NOT NULL,
    number BIGINT NOT NULL,
    at TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, number)
);
