-- +goose Up

-- Each column has a default, so that a scheduler of the version before goes on
-- writing while the new ones start.
ALTER TABLE node_runs ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
ALTER TABLE node_runs ADD COLUMN comment TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';

-- Few of all tasks wait for an approval; the lists of them read no others.
CREATE INDEX tasks_approvals ON tasks (id) WHERE waits_for = 'approval';
CREATE INDEX tasks_flow_approvals ON tasks (flow_id, id) WHERE waits_for = 'approval';

-- +goose Down
DROP INDEX tasks_flow_approvals;
DROP INDEX tasks_approvals;
ALTER TABLE tasks DROP COLUMN waits_for;
ALTER TABLE node_runs DROP COLUMN comment;
ALTER TABLE node_runs DROP COLUMN decided_by;
