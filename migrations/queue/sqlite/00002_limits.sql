-- +goose Up

-- It has a default, so that a queue-gateway of the version before goes on
-- writing while the new ones start.
ALTER TABLE jobs ADD COLUMN run_no INTEGER NOT NULL DEFAULT 0;

-- What the operator allows the workers of a service; 0 for no such limit.
-- full_at is the state of the rate, a token bucket: the time, in nanoseconds
-- since 1970, at which it holds its whole burst again. Each job claimed moves it
-- on by the time that one token takes. Every claim looks for a row here: without
-- rowids that is one tree to search instead of two.
CREATE TABLE service_limits (
    service         TEXT NOT NULL PRIMARY KEY,
    max_claimed     INTEGER NOT NULL,
    rate_per_second REAL NOT NULL,
    burst           INTEGER NOT NULL,
    full_at         INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many claims a service has. The second condition always holds; what looks
-- for time-outs does not state it, so that Postgres cannot take this index for
-- it in place of jobs_claims.
CREATE INDEX jobs_claimed ON jobs (service) WHERE status = 'claimed' AND result_hash = '';

-- The lists of dead jobs, of all and of one service. The second serves what
-- jobs_dead did as well, and by the first's other condition, which always holds,
-- it is not taken for the second's lists.
CREATE INDEX jobs_dead_newest ON jobs (id) WHERE status = 'dead' AND result_hash = '';
CREATE INDEX jobs_dead_service ON jobs (service, id) WHERE status = 'dead';
DROP INDEX jobs_dead;

-- +goose Down

CREATE INDEX jobs_dead ON jobs (service) WHERE status = 'dead';
DROP INDEX jobs_dead_service;
DROP INDEX jobs_dead_newest;
DROP INDEX jobs_claimed;
DROP TABLE service_limits;
ALTER TABLE jobs DROP COLUMN run_no;
