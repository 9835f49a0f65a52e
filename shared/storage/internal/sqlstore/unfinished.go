package sqlstore

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Tables that are in a database beside the service's own.
const (
	VersionTable = versionTable
	// UnfinishedCopyTable marks a database that is being filled by a copy; it is
	// there from before the first row until all are compared.
	UnfinishedCopyTable = "unfinished_copy"
)

// whole is nil when the database is not the target of an unfinished copy.
func (db *DB) whole(ctx context.Context) error {
	tables, err := queryOne(ctx, db.Read(), scanInt, db.driver.Dialect().TableCount, UnfinishedCopyTable)
	if err != nil {
		return fmt.Errorf("look for the mark of an unfinished copy in the %s database: %w", db.service, err)
	}
	if tables > 0 {
		return fmt.Errorf("%w: %s: give the same pocketflow store copy again, or empty the target",
			storage.ErrUnfinishedCopy, db.service)
	}
	return nil
}
