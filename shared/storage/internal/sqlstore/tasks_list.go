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
	bytes := 0
	list.Row = func(row Row) error {
		task, err := scanTask(row)
		bytes += len(task.Params) + len(task.Shared) + len(task.State)
		shown := len(page.Items) < query.Limit
		page.Items = append(page.Items, task)
		if err == nil && shown && len(page.Items) > 1 && query.MostBytes > 0 && bytes > query.MostBytes {
			return storage.ErrPageTooLarge
		}
		return err
	}
	if err := t.Read().Run(ctx, &Batch{Statements: []Statement{count, list}}); err != nil {
		return storage.Page[storage.Task]{}, fmt.Errorf("list tasks: %w", err)
	}
	shown := query.Offset + len(page.Items) // one more than asked for, unless the page is the last
	if len(page.Items) > query.Limit {
		page.Items = page.Items[:query.Limit]
		page.Next = page.Items[query.Limit-1].ID
	}
	if page.Total == storage.MaxTotal && len(page.Items) > 0 {
		page.Total = max(page.Total, shown)
	}
	return page, nil
}

// listTasks makes the two statements of a query: how many tasks there are, at
// most MaxTotal, and those of the page. The oldest are counted: Postgres knows
// of them that everybody sees them, and so reads the index alone.
func listTasks(query storage.TaskQuery) (count, page Statement) {
	where := selectTasks(query, "")
	count = Statement{Args: where.args, SQL: fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM tasks%s ORDER BY %s LIMIT %d) t`,
		where.String(), strings.Join(where.order, ", "), storage.MaxTotal)}

	where = selectTasks(query, query.Cursor)
	page.SQL = `SELECT ` + taskColumns + ` FROM tasks` + where.String() +
		fmt.Sprintf(` ORDER BY %s DESC LIMIT $%d OFFSET $%d`, strings.Join(where.order, " DESC, "), len(where.args)+1, len(where.args)+2)
	// One more than asked for tells whether the page is the last.
	page.Args = slices.Concat(where.args, []any{query.Limit + 1, query.Offset})
	return count, page
}

const (
	// Planners take a partial index for its very condition, not for a parameter
	// that might be equal.
	waitsForApprovalSQL = `waits_for = 'approval'`
	endedSQL            = `status <> 'pending' AND status <> 'running' AND status <> 'waiting' AND status <> 'waiting_queue' AND status <> 'canceling'`
)

// selectTasks chooses the index that a query is answered from, and writes the
// conditions so that both databases can take no other: see between and among.
// Nothing but the tasks asked for is read of it, or nothing but unfinished ones.
func selectTasks(query storage.TaskQuery, before string) taskSelection {
	s := taskSelection{before: before}
	status, waitsFor, flow, version := string(query.Status), string(query.WaitsFor), query.FlowID, query.FlowVersionID
	switch {
	case query.WaitsFor == storage.WaitApproval && flow != "":
		s.terms = append(s.terms, waitsForApprovalSQL)
		s.between("flow_id", flow)
		waitsFor, flow = "", ""
	case query.WaitsFor == storage.WaitApproval:
		s.terms = append(s.terms, waitsForApprovalSQL)
		s.less("id", before)
		s.order = []string{"id"}
		waitsFor = ""
	case query.Status.Terminal() && version != "":
		s.equal("flow_version_id", version)
		s.terms = append(s.terms, endedSQL)
		s.between("status", status)
		status, version = "", ""
	case query.Status.Terminal() && flow != "":
		s.equal("flow_id", flow)
		s.terms = append(s.terms, endedSQL)
		s.between("status", status)
		status, flow = "", ""
	case status != "":
		s.between("status", status)
		status = ""
	case version != "":
		s.between("flow_version_id", version)
		version = ""
	case flow != "":
		s.between("flow_id", flow)
		flow = ""
	default:
		s.less("id", before)
		s.order = []string{"id"}
	}
	s.among("status", status)
	s.among("waits_for", waitsFor)
	s.among("flow_version_id", version)
	s.among("flow_id", flow)
	return s
}

// taskSelection are conditions, and the columns of the order in which the index
// for them has the tasks.
type taskSelection struct {
	conditions
	order  []string
	before string // the cursor
}

// between asks for one value of an index's last column but the id, as a range
// and in that column's order. For equal values the order would be that of ids
// alone, and Postgres, not knowing the value, would rather read the primary key
// backwards until it has met enough of them: all of the table where they are few.
func (s *taskSelection) between(column, value string) {
	n := len(s.args) + 1
	s.args = append(s.args, value)
	s.order = []string{column, "id"}
	if s.before == "" {
		s.terms = append(s.terms, fmt.Sprintf("%[1]s >= $%[2]d AND %[1]s <= $%[2]d", column, n))
		return
	}
	// The pair is where the reading begins. Postgres guesses by its first alone, so
	// with < it would expect next to nothing; of a range it expects little when it
	// sees both ends. SQLite sees no end in a NOT, and so begins at the pair.
	s.terms = append(s.terms, fmt.Sprintf("(%[1]s, id) <= ($%[2]d, $%[3]d) AND id <> $%[3]d AND %[1]s >= $%[2]d AND NOT %[1]s > $%[2]d", column, n, n+1))
	s.args = append(s.args, s.before)
}

// among picks from what the index has found. Of the bare column SQLite, which
// keeps no statistics here, would rather take the index.
func (s *taskSelection) among(column, value string) { s.equal(column+" || ''", value) }

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
