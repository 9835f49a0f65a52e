-- +goose Up

-- Times are microseconds since 1970 in UTC. JSON is TEXT, so that it comes back
-- byte for byte (jsonb would not). Keys compare by byte, so that they sort as
-- they do in SQLite and prefix scans need no second index.
CREATE TABLE tasks (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    flow_id         TEXT COLLATE "C" NOT NULL,
    flow_version_id TEXT COLLATE "C" NOT NULL,
    flow_name       TEXT    NOT NULL,
    flow_version    BIGINT  NOT NULL,
    status          TEXT COLLATE "C" NOT NULL,
    current_node    TEXT    NOT NULL,
    lease_owner     TEXT    NOT NULL,
    lease_expiry    BIGINT,
    lease_epoch     BIGINT  NOT NULL,
    runnable_at     BIGINT,
    seq             BIGINT  NOT NULL,
    inbox_seq       BIGINT  NOT NULL,
    inbox_done      BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    finished_at     BIGINT,
    request_id      TEXT COLLATE "C" NOT NULL,
    request_hash    TEXT    NOT NULL,
    error           TEXT,
    state           TEXT,
    shared          TEXT    NOT NULL,
    params          TEXT    NOT NULL
);

CREATE UNIQUE INDEX tasks_request ON tasks (request_id) WHERE request_id <> '';
CREATE INDEX tasks_runnable ON tasks (runnable_at) WHERE runnable_at IS NOT NULL;
CREATE INDEX tasks_status ON tasks (status, id);
CREATE INDEX tasks_flow ON tasks (flow_id, id);
CREATE INDEX tasks_flow_version ON tasks (flow_version_id, id);

CREATE TABLE node_runs (
    task_id     TEXT COLLATE "C" NOT NULL,
    no          BIGINT NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    node_key    TEXT   NOT NULL,
    path        TEXT   NOT NULL,
    visit       BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    sub_status  TEXT   NOT NULL,
    branch_id   TEXT   NOT NULL,
    error_code  TEXT   NOT NULL,
    error_text  TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    worker_id   TEXT   NOT NULL,
    worker_url  TEXT   NOT NULL,
    log_path    TEXT   NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    params      TEXT,
    input       TEXT,
    output      TEXT,
    PRIMARY KEY (task_id, no)
);

CREATE TABLE task_events (
    task_id   TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    kind      TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    arrival   BIGINT NOT NULL,
    seq       BIGINT,
    data      TEXT   NOT NULL,
    PRIMARY KEY (task_id, source_id)
);

CREATE INDEX task_events_inbox ON task_events (task_id, arrival) WHERE seq IS NULL;

CREATE TABLE outbox (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    task_id  TEXT COLLATE "C" NOT NULL,
    kind     TEXT   NOT NULL,
    next_at  BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    payload  TEXT   NOT NULL
);

CREATE INDEX outbox_next ON outbox (next_at);

-- +goose Down
DROP TABLE outbox;
DROP TABLE task_events;
DROP TABLE node_runs;
DROP TABLE tasks;
