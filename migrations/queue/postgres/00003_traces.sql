-- +goose Up

-- The trace that a job belongs to, as W3C Trace Context writes it; '' for none.
-- It has a default, so that a queue-gateway of the version before goes on
-- writing while the new ones start.
ALTER TABLE jobs ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE jobs DROP COLUMN traceparent;
