-- +goose Up

-- For lists of a flow's, or a version's, tasks of one ended status: without them
-- the few failed are looked for among all that completed. A task gets into them
-- once, when it ends. Of IN (...) SQLite would make a table for each task that is
-- written, which costs more than the entry.
CREATE INDEX tasks_flow_ended ON tasks (flow_id, status, id)
    WHERE status <> 'pending' AND status <> 'running' AND status <> 'waiting' AND status <> 'waiting_queue' AND status <> 'canceling';
CREATE INDEX tasks_version_ended ON tasks (flow_version_id, status, id)
    WHERE status <> 'pending' AND status <> 'running' AND status <> 'waiting' AND status <> 'waiting_queue' AND status <> 'canceling';

-- +goose Down
DROP INDEX tasks_version_ended;
DROP INDEX tasks_flow_ended;
