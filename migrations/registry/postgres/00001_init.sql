-- +goose Up

-- services (array) and labels (object) are JSON text. Ids compare as bytes, so
-- that both databases give one order.
CREATE TABLE workers (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    url             TEXT NOT NULL,
    services        TEXT NOT NULL,
    type            TEXT NOT NULL,
    load            BIGINT NOT NULL,
    max_concurrency BIGINT NOT NULL,
    labels          TEXT NOT NULL,
    registered_at   BIGINT NOT NULL,
    last_heartbeat  BIGINT NOT NULL
);

CREATE INDEX workers_last_heartbeat ON workers (last_heartbeat);

-- +goose Down

DROP TABLE workers;
