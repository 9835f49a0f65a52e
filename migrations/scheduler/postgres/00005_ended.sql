-- +goose Up
-- +goose NO TRANSACTION

-- For lists of a flow's, or a version's, tasks of one ended status: without them
-- the few failed are looked for among all that completed. A task gets into them
-- once, when it ends.
--
-- Built beside everybody's work, an index waits at last for each transaction that
-- is older than it, such as a dump's. Nobody waits for that in turn, so it need
-- not hurry; given up, it would be built anew.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS tasks_flow_ended;
CREATE INDEX CONCURRENTLY tasks_flow_ended ON tasks (flow_id, status, id)
    WHERE status <> 'pending' AND status <> 'running' AND status <> 'waiting' AND status <> 'waiting_queue' AND status <> 'canceling';
DROP INDEX CONCURRENTLY IF EXISTS tasks_version_ended;
CREATE INDEX CONCURRENTLY tasks_version_ended ON tasks (flow_version_id, status, id)
    WHERE status <> 'pending' AND status <> 'running' AND status <> 'waiting' AND status <> 'waiting_queue' AND status <> 'canceling';
RESET lock_timeout;

-- +goose Down
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS tasks_version_ended;
DROP INDEX CONCURRENTLY IF EXISTS tasks_flow_ended;
RESET lock_timeout;
