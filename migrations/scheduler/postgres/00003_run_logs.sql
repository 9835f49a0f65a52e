-- +goose Up

-- A log is found by its run alone. A row is there from the start of a run that
-- a pull worker is to carry out, else from the first entry on; it is also what
-- two writers of one log wait for each other at.
CREATE TABLE run_logs (
    run_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    task_id TEXT COLLATE "C" NOT NULL,
    no      BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    bytes   BIGINT NOT NULL
);

CREATE TABLE run_log_entries (
    run_id    TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    text      TEXT   NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE UNIQUE INDEX run_log_sources ON run_log_entries (run_id, source_id) WHERE source_id <> '';

-- +goose Down
DROP TABLE run_log_entries;
DROP TABLE run_logs;
