-- +goose Up

-- The order of ids is the order of creation.
CREATE TABLE flows (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- A name belongs to the first flow that took it: the smallest id.
CREATE INDEX flows_name ON flows (name, id);

CREATE TABLE flow_versions (
    id         TEXT NOT NULL PRIMARY KEY,
    flow_id    TEXT NOT NULL REFERENCES flows (id),
    version    INTEGER NOT NULL,
    definition TEXT NOT NULL,
    status     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX flow_versions_number ON flow_versions (flow_id, version);

-- +goose Down

DROP TABLE flow_versions;
DROP TABLE flows;
