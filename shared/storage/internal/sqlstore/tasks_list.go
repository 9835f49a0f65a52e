package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// ListTasks implements storage.Tasks. Each filter that is used has its index,
// so the text holds only those.
func (t *Tasks) ListTasks(ctx context.Context, query storage.TaskQuery) (storage.Page[storage.Task], error) {
	var where conditions
	where.equal("status", string(query.Status))
	where.equal("flow_id", query.FlowID)
	where.equal("flow_version_id", query.FlowVersionID)

	page := storage.Page[storage.Task]{Items: []storage.Task{}}
	var batch Batch
	batch.Query(func(row Row) error { return row.Scan(&page.Total) },
		`SELECT COUNT(*) FROM tasks`+where.String(), where.args...)
	where.less("id", query.Cursor)
	// One more than asked for tells whether the page is the last.
	batch.Query(appendTo(&page.Items, scanTask), `SELECT `+taskColumns+` FROM tasks`+where.String()+
		fmt.Sprintf(` ORDER BY id DESC LIMIT $%d OFFSET $%d`, len(where.args)+1, len(where.args)+2),
		append(where.args, query.Limit+1, query.Offset)...)
	if err := t.Read().Run(ctx, &batch); err != nil {
		return storage.Page[storage.Task]{}, fmt.Errorf("list tasks: %w", err)
	}
	if len(page.Items) > query.Limit {
		page.Items = page.Items[:query.Limit]
		page.Next = page.Items[query.Limit-1].ID
	}
	return page, nil
}

// conditions builds a WHERE clause; an empty value asks for nothing. Column
// names are constants of the caller.
type conditions struct {
	terms []string
	args  []any
}

func (c *conditions) equal(column, value string) { c.add(column, "=", value) }

func (c *conditions) less(column, value string) { c.add(column, "<", value) }

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
