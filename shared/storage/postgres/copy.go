package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
)

// ApplicationName is how a service's sessions are called, unless the
// operator's URL calls them otherwise.
func ApplicationName(service string) string { return "pocketflow-" + service }

// OpenForCopy opens one session for reading or filling a service's schema as a
// whole. The schema may be missing. It has none of the time limits of a
// service: between two batches of a copy its transaction is idle.
func OpenForCopy(ctx context.Context, name dsn.DSN, schema string) (*pgx.Conn, error) {
	settings, err := parse(Config{DSN: name, Schema: schema})
	if err != nil {
		return nil, err
	}
	settings.ConnConfig.RuntimeParams["application_name"] = "pocketflow-copy"
	settings.ConnConfig.RuntimeParams[idleLimit] = "0"
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, settings.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("connect to database %s: %w", name, reason(err))
	}
	return conn, nil
}
