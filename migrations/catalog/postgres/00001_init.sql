-- +goose Up

-- Ids compare as bytes, so that both databases give one order; the order of
-- ids is the order of creation.
CREATE TABLE flows (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);

-- A name belongs to the first flow that took it: the smallest id.
CREATE INDEX flows_name ON flows (name, id);

-- definition is TEXT, not JSONB: it comes back byte for byte.
CREATE TABLE flow_versions (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    flow_id    TEXT COLLATE "C" NOT NULL REFERENCES flows (id),
    version    BIGINT NOT NULL,
    definition TEXT NOT NULL,
    status     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX flow_versions_number ON flow_versions (flow_id, version);

-- +goose Down

DROP TABLE flow_versions;
DROP TABLE flows;
