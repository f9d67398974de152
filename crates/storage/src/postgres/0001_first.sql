CREATE TABLE meta (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- The index: made again from the folders.

CREATE TABLE index_runs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    is_trash BIGINT NOT NULL,
    is_active BIGINT NOT NULL,
    created TEXT COLLATE "C" NOT NULL,
    changed TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    step BIGINT NOT NULL,
    elapsed BIGINT NOT NULL,
    best_loss DOUBLE PRECISION,
    tokens_per_second DOUBLE PRECISION,
    queue_place BIGINT,
    model TEXT COLLATE "C" NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    sweep TEXT COLLATE "C" NOT NULL,
    words TEXT COLLATE "C" NOT NULL
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
    run TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL
);

CREATE TABLE index_tags (
    run TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, tag)
);
CREATE INDEX index_tags_tag ON index_tags (tag, run);

CREATE TABLE index_logs (
    run TEXT COLLATE "C" NOT NULL,
    file TEXT COLLATE "C" NOT NULL,
    byte_offset BIGINT NOT NULL,
    first_line TEXT COLLATE "C" NOT NULL,
    fold TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, file)
);

CREATE TABLE index_places (
    run TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    byte_offset BIGINT NOT NULL,
    PRIMARY KEY (run, seq)
);

CREATE TABLE index_events (
    run TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    step BIGINT NOT NULL,
    elapsed_ms BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    stands BIGINT NOT NULL,
    mark TEXT COLLATE "C" NOT NULL,
    mark_text TEXT COLLATE "C" NOT NULL,
    line TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE INDEX index_events_mark ON index_events (run, mark, seq);

CREATE TABLE index_tracks (
    run TEXT COLLATE "C" NOT NULL,
    track TEXT COLLATE "C" NOT NULL,
    stretch BIGINT NOT NULL,
    points BIGINT NOT NULL,
    names TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (run, track, stretch)
);

CREATE TABLE index_chunks (
    run TEXT COLLATE "C" NOT NULL,
    track TEXT COLLATE "C" NOT NULL,
    stretch BIGINT NOT NULL,
    level BIGINT NOT NULL,
    chunk BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (run, track, stretch, level, chunk, name)
);

CREATE TABLE index_shelf (
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    place BIGINT NOT NULL,
    card TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The records: they exist nowhere else, and `backup` carries them.

CREATE TABLE record_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    prefix TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at TEXT COLLATE "C" NOT NULL,
    used_at TEXT COLLATE "C",
    revoked_at TEXT COLLATE "C"
);

CREATE TABLE record_sessions (
    hash TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    key_id TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL
);

CREATE TABLE record_settings (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE record_jobs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    created_at TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL
);

CREATE TABLE record_job_lines (
    job TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    at TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job, number)
);
