-- +goose Up

-- services (array) and labels (object) are JSON text.
CREATE TABLE workers (
    id              TEXT NOT NULL PRIMARY KEY,
    url             TEXT NOT NULL,
    services        TEXT NOT NULL,
    type            TEXT NOT NULL,
    load            INTEGER NOT NULL,
    max_concurrency INTEGER NOT NULL,
    labels          TEXT NOT NULL,
    registered_at   INTEGER NOT NULL,
    last_heartbeat  INTEGER NOT NULL
) STRICT;

CREATE INDEX workers_last_heartbeat ON workers (last_heartbeat);

-- +goose Down

DROP TABLE workers;
