package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// ListTasks implements storage.Tasks.
func (t *Tasks) ListTasks(ctx context.Context, query storage.TaskQuery) (storage.Page[storage.Task], error) {
	page := storage.Page[storage.Task]{Items: []storage.Task{}}
	count, list := listTasks(query)
	count.Row = func(row Row) error { return row.Scan(&page.Total) }
	list.Row = appendTo(&page.Items, scanTask)
	if err := t.Read().Run(ctx, &Batch{Statements: []Statement{count, list}}); err != nil {
		return storage.Page[storage.Task]{}, fmt.Errorf("list tasks: %w", err)
	}
	if len(page.Items) > query.Limit {
		page.Items = page.Items[:query.Limit]
		page.Next = page.Items[query.Limit-1].ID
	}
	return page, nil
}

// listTasks makes the two statements of a query: how many tasks there are, and
// those of the page. Each filter that is used has its index, so the texts hold
// only those.
func listTasks(query storage.TaskQuery) (count, page Statement) {
	var where conditions
	where.waitsFor(query.WaitsFor)
	where.equal("status", string(query.Status))
	where.equal("flow_id", query.FlowID)
	where.equal("flow_version_id", query.FlowVersionID)
	count = Statement{SQL: `SELECT COUNT(*) FROM tasks` + where.String(), Args: where.args}

	where.less("id", query.Cursor)
	page.SQL = `SELECT ` + taskColumns + ` FROM tasks` + where.String() +
		fmt.Sprintf(` ORDER BY id DESC LIMIT $%d OFFSET $%d`, len(where.args)+1, len(where.args)+2)
	// One more than asked for tells whether the page is the last.
	page.Args = append(slices.Clone(where.args), query.Limit+1, query.Offset)
	return count, page
}

// conditions builds a WHERE clause; an empty value asks for nothing. Column
// names are constants of the caller.
type conditions struct {
	terms []string
	args  []any
}

func (c *conditions) equal(column, value string) { c.add(column, "=", value) }

func (c *conditions) less(column, value string) { c.add(column, "<", value) }

// Planners take a partial index for its very condition, not for a parameter
// that might be equal.
const waitsForApprovalSQL = `waits_for = 'approval'`

func (c *conditions) waitsFor(kind storage.WaitKind) {
	if kind == storage.WaitApproval {
		c.terms = append(c.terms, waitsForApprovalSQL)
		return
	}
	c.equal("waits_for", string(kind))
}

func (c *conditions) add(column, operator, value string) {
	if value == "" {
		return
	}
	c.args = append(c.args, value)
	c.terms = append(c.terms, fmt.Sprintf("%s %s $%d", column, operator, len(c.args)))
}

func (c *conditions) String() string {
	if len(c.terms) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(c.terms, " AND ")
}
