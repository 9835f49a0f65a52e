-- +goose Up

-- The trace that a task belongs to, as W3C Trace Context writes it; '' for none.
-- It has a default, so that a scheduler of the version before goes on writing
-- while the new ones start.
ALTER TABLE tasks ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE tasks DROP COLUMN traceparent;
