package sqlstore

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Flows implements storage.Flows.
type Flows struct {
	*DB
}

var _ storage.Flows = (*Flows)(nil)

// NewFlows makes the catalog's role of its database.
func NewFlows(db *DB) *Flows { return &Flows{DB: db} }

// A conflict is told by the number of rows: an error of the constraint would
// abort the transaction on Postgres.
const createFlowSQL = `
INSERT INTO flows (id, name, description, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING`

// CreateFlow implements storage.Flows.
func (f *Flows) CreateFlow(ctx context.Context, flow storage.Flow) error {
	err := f.Write(ctx, func(ctx context.Context, tx Tx) error {
		return insertOne(ctx, tx, createFlowSQL, flow.ID, clean(flow.Name), clean(flow.Description), micros(flow.CreatedAt))
	})
	if err != nil {
		return fmt.Errorf("create flow %s: %w", flow.ID, err)
	}
	return nil
}

const getFlowSQL = `SELECT id, name, description, created_at FROM flows WHERE id = $1`

// GetFlow implements storage.Flows.
func (f *Flows) GetFlow(ctx context.Context, id string) (storage.Flow, error) {
	flow, err := queryOne(ctx, f.Read(), scanFlow, getFlowSQL, id)
	if err != nil {
		return storage.Flow{}, fmt.Errorf("get flow %s: %w", id, err)
	}
	return flow, nil
}

const findFlowSQL = `SELECT id, name, description, created_at FROM flows WHERE name = $1 ORDER BY id LIMIT 1`

// FindFlow implements storage.Flows.
func (f *Flows) FindFlow(ctx context.Context, name string) (storage.Flow, error) {
	flow, err := queryOne(ctx, f.Read(), scanFlow, findFlowSQL, clean(name))
	if err != nil {
		return storage.Flow{}, fmt.Errorf("find flow %q: %w", name, err)
	}
	return flow, nil
}

// A query with a name has texts of its own: one text with "no name given, or
// this name" in it would read the whole table either way.
const (
	listFlowsSQL = `
SELECT id, name, description, created_at FROM flows
WHERE id < $1 ORDER BY id DESC LIMIT $2 OFFSET $3`
	listNamedFlowsSQL = `
SELECT id, name, description, created_at FROM flows
WHERE id < $1 AND name = $4 ORDER BY id DESC LIMIT $2 OFFSET $3`
	countFlowsSQL      = `SELECT COUNT(*) FROM flows`
	countNamedFlowsSQL = `SELECT COUNT(*) FROM flows WHERE name = $1`
)

// afterAllFlows is greater than every id: where a list without a cursor begins.
const afterAllFlows = "\U0010ffff"

// ListFlows implements storage.Flows.
func (f *Flows) ListFlows(ctx context.Context, query storage.FlowQuery) (storage.Page[storage.Flow], error) {
	listSQL, countSQL := listFlowsSQL, countFlowsSQL
	// One more than asked for tells whether the page is the last.
	listArgs := []any{cmp.Or(query.Cursor, afterAllFlows), query.Limit + 1, query.Offset}
	var countArgs []any
	if query.Name != "" {
		listSQL, countSQL = listNamedFlowsSQL, countNamedFlowsSQL
		listArgs, countArgs = append(listArgs, clean(query.Name)), append(countArgs, clean(query.Name))
	}

	page := storage.Page[storage.Flow]{Items: []storage.Flow{}}
	var batch Batch
	batch.Query(appendTo(&page.Items, scanFlow), listSQL, listArgs...)
	batch.Query(func(row Row) error { return row.Scan(&page.Total) }, countSQL, countArgs...)
	if err := f.Read().Run(ctx, &batch); err != nil {
		return storage.Page[storage.Flow]{}, fmt.Errorf("list flows: %w", err)
	}
	if len(page.Items) > query.Limit {
		page.Items = page.Items[:query.Limit]
		page.Next = page.Items[query.Limit-1].ID
	}
	return page, nil
}

// The flow's row is the lock under which its versions are numbered.
const lockFlowSQL = `SELECT name FROM flows WHERE id = $1`

const nextVersionSQL = `SELECT COALESCE(MAX(version), 0) + 1 FROM flow_versions WHERE flow_id = $1`

const createVersionSQL = `
INSERT INTO flow_versions (id, flow_id, version, definition, status, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING`

// CreateVersion implements storage.Flows.
func (f *Flows) CreateVersion(ctx context.Context, version storage.FlowVersion) (storage.FlowVersion, error) {
	var stored storage.FlowVersion
	err := f.Write(ctx, func(ctx context.Context, tx Tx) error {
		if !storable(version.FlowID) {
			return storage.ErrNotFound
		}
		stored = version
		var err error
		stored.FlowName, err = queryOne(ctx, tx, scanText, lockFlowSQL+f.Dialect().ForUpdate, version.FlowID)
		if err != nil {
			return err
		}
		if stored.Version == 0 {
			next, err := queryOne(ctx, tx, scanInt, nextVersionSQL, version.FlowID)
			if err != nil {
				return err
			}
			stored.Version = int(next)
		}
		return insertOne(ctx, tx, createVersionSQL, stored.ID, stored.FlowID, stored.Version, stored.Definition,
			string(stored.Status), micros(stored.CreatedAt))
	})
	if err != nil {
		return storage.FlowVersion{}, fmt.Errorf("create version %d of flow %s: %w", version.Version, version.FlowID, err)
	}
	return stored, nil
}

const selectVersionSQL = `
SELECT v.id, v.flow_id, f.name, v.version, v.definition, v.status, v.created_at
FROM flow_versions v JOIN flows f ON f.id = v.flow_id `

const getVersionSQL = selectVersionSQL + `WHERE v.id = $1`

// GetVersion implements storage.Flows.
func (f *Flows) GetVersion(ctx context.Context, id string) (storage.FlowVersion, error) {
	version, err := queryOne(ctx, f.Read(), scanVersion, getVersionSQL, id)
	if err != nil {
		return storage.FlowVersion{}, fmt.Errorf("get flow version %s: %w", id, err)
	}
	return version, nil
}

const (
	resolveNumberSQL = selectVersionSQL + `WHERE v.flow_id = $1 AND v.version = $2`
	resolveLatestSQL = selectVersionSQL + `WHERE v.flow_id = $1 AND v.status = 'published' ORDER BY v.version DESC LIMIT 1`
)

// ResolveVersion implements storage.Flows.
func (f *Flows) ResolveVersion(ctx context.Context, flowID string, number int) (storage.FlowVersion, error) {
	var version storage.FlowVersion
	var err error
	if number == 0 {
		version, err = queryOne(ctx, f.Read(), scanVersion, resolveLatestSQL, flowID)
	} else {
		version, err = queryOne(ctx, f.Read(), scanVersion, resolveNumberSQL, flowID, number)
	}
	if err != nil {
		return storage.FlowVersion{}, fmt.Errorf("resolve version %d of flow %s: %w", number, flowID, err)
	}
	return version, nil
}

const listVersionsSQL = selectVersionSQL + `WHERE v.flow_id = $1 ORDER BY v.version DESC`

// ListVersions implements storage.Flows.
func (f *Flows) ListVersions(ctx context.Context, flowID string) ([]storage.FlowVersion, error) {
	versions, err := queryAll(ctx, f.Read(), scanVersion, listVersionsSQL, flowID)
	if err == nil && len(versions) == 0 {
		// Versions are never deleted, and their flow is there before them: so
		// the flow needs a look only when there are none.
		_, err = queryOne(ctx, f.Read(), scanFlow, getFlowSQL, flowID)
	}
	if err != nil {
		return nil, fmt.Errorf("list versions of flow %s: %w", flowID, err)
	}
	return versions, nil
}

// insertOne runs an INSERT with ON CONFLICT DO NOTHING: ErrConflict when it
// did nothing.
func insertOne(ctx context.Context, tx Tx, sql string, args ...any) error {
	affected, err := exec(ctx, tx, sql, args...)
	if err == nil && affected == 0 {
		return storage.ErrConflict
	}
	return err
}

func scanFlow(row Row) (storage.Flow, error) {
	var flow storage.Flow
	err := row.Scan(&flow.ID, &flow.Name, &flow.Description, intoTime(&flow.CreatedAt))
	return flow, err
}

func scanVersion(row Row) (storage.FlowVersion, error) {
	var version storage.FlowVersion
	var status string
	err := row.Scan(&version.ID, &version.FlowID, &version.FlowName, &version.Version, &version.Definition,
		&status, intoTime(&version.CreatedAt))
	version.Status = storage.VersionStatus(status)
	return version, err
}

func scanText(row Row) (string, error) {
	var s string
	err := row.Scan(&s)
	return s, err
}
