-- +goose Up

-- One row per execution offered to pull workers. worker_id, token, timeout_at
-- and started_at tell of the latest claim; they outlive its expiry, so that an
-- answer which comes late is still known.
CREATE TABLE jobs (
    id           TEXT NOT NULL PRIMARY KEY,
    task_id      TEXT NOT NULL,
    run_id       TEXT NOT NULL,
    node_key     TEXT NOT NULL,
    path         TEXT NOT NULL,
    visit        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    service      TEXT NOT NULL,
    input        TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    status       TEXT NOT NULL,
    deliveries   INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    worker_id    TEXT NOT NULL,
    token        TEXT NOT NULL,
    timeout_at   INTEGER,
    created_at   INTEGER NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    result_hash  TEXT NOT NULL,
    log_path     TEXT NOT NULL
) STRICT;

-- Each index below covers the rows of one status, so that finished jobs, which
-- are nearly all of them, cost the hot path nothing.

-- Which job of a service is next: higher priority first, then oldest.
CREATE INDEX jobs_ready ON jobs (service, priority DESC, available_at, id) WHERE status = 'pending';
-- When the next delayed job becomes ready. The second condition always holds;
-- claims do not state it, so that Postgres cannot take this index for them: while
-- the queue was empty it looks as good as jobs_ready, and reads all of a backlog.
CREATE INDEX jobs_delayed ON jobs (available_at) WHERE status = 'pending' AND available_at > 0;
-- Which claim times out next.
CREATE INDEX jobs_claims ON jobs (timeout_at, id) WHERE status = 'claimed';
-- How many dead jobs a service has.
CREATE INDEX jobs_dead ON jobs (service) WHERE status = 'dead';

-- The result messages that the scheduler has not acknowledged.
CREATE TABLE job_results (
    job_id   TEXT NOT NULL PRIMARY KEY,
    task_id  TEXT NOT NULL,
    run_id   TEXT NOT NULL,
    payload  TEXT NOT NULL,
    next_at  INTEGER NOT NULL,
    attempts INTEGER NOT NULL
) STRICT;

CREATE INDEX job_results_next ON job_results (next_at, job_id);

-- +goose Down

DROP TABLE job_results;
DROP TABLE jobs;
