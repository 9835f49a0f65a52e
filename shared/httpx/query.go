package httpx

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Query reads a request's query string and gathers every fault in it. Names
// match in any letter case and with or without underscores.
type Query struct {
	values map[string]string
	faults errs.Faults
}

// NewQuery reads the query of r. Of a name given twice the first value counts.
// A value that no database takes as text is a fault, whoever asks for it.
func NewQuery(r *http.Request) *Query {
	q := &Query{values: map[string]string{}}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		q.fault("", "the query string is malformed: %s", err)
	}
	// Sorted, so that of two spellings of one name the same one wins always.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key, value := normalize(name), values[name][0]
		if _, seen := q.values[key]; seen {
			continue
		}
		q.values[key] = value
		if fault := textFault(value); fault != "" {
			q.fault(name, "%s", fault)
		}
	}
	return q
}

// fault records what is wrong with a name; what was wrong with it first says
// enough.
func (q *Query) fault(name, format string, args ...any) {
	if slices.ContainsFunc(q.faults, func(f errs.Fault) bool { return f.Path == name }) {
		return
	}
	q.faults.Add(name, format, args...)
}

// Err is nil, or every fault found so far.
func (q *Query) Err() error { return q.faults.Err() }

// String is the value of name, "" when it is absent.
func (q *Query) String(name string) string { return q.values[normalize(name)] }

// Required is the value of name; its absence is a fault.
func (q *Query) Required(name string) string {
	v := q.String(name)
	if v == "" {
		q.fault(name, "is required")
	}
	return v
}

// Int is the value of name within bounds, or the default when it is absent.
func (q *Query) Int(name string, b Bounds) int {
	text := q.String(name)
	if text == "" {
		return b.Default
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < b.Min || n > b.Max {
		q.fault(name, "must be a whole number from %d to %d", b.Min, b.Max)
		return b.Default
	}
	return n
}

// Bounds are the least and most that a number may be, and what its absence
// means.
type Bounds struct{ Default, Min, Max int }

// OneOf is the value of name, which must be one of the given; "" when absent.
func OneOf[T ~string](q *Query, name string, all []T) T {
	v := q.String(name)
	if v == "" {
		return ""
	}
	names := make([]string, len(all))
	for i, one := range all {
		if strings.EqualFold(string(one), v) {
			return one
		}
		names[i] = string(one)
	}
	q.fault(name, "must be one of %s", strings.Join(names, ", "))
	return ""
}

// Page is the position in a list as the caller gave it.
type Page struct {
	Number int // from 1
	Size   int
	storage.ListOptions
}

// maxPage keeps page × page_size far from overflowing; deep lists use cursors.
const maxPage = 1_000_000

// Page reads page (from 1), page_size (default 10, at most 1000) and cursor.
//
// A cursor is the id of an item of the list, which is how one from elsewhere is
// told.
func (q *Query) Page(items ids.Prefix) Page {
	p := Page{
		Number: q.Int("page", Bounds{Default: 1, Min: 1, Max: maxPage}),
		Size:   q.Int("page_size", Bounds{Default: 10, Min: 1, Max: 1000}),
	}
	p.ListOptions = storage.ListOptions{Limit: p.Size, Offset: (p.Number - 1) * p.Size}
	if cursor := q.String("cursor"); cursor != "" {
		if !ids.Valid(items, cursor) {
			q.fault("cursor", "must be the next_cursor of the page before")
		}
		p.ListOptions = storage.ListOptions{Limit: p.Size, Cursor: cursor}
	}
	return p
}

// List is the body of a paged answer. Data is never null.
type List[T any] struct {
	Data       []T    `json:"data"`
	Total      int    `json:"total"`
	Page       int    `json:"page"`
	Size       int    `json:"size"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// NewList is the answer for a page of records, each turned into its wire form.
func NewList[R, T any](at Page, page storage.Page[R], wire func(R) T) List[T] {
	list := List[T]{Data: make([]T, 0, len(page.Items)), Total: page.Total, Page: at.Number, Size: at.Size, NextCursor: page.Next}
	for _, item := range page.Items {
		list.Data = append(list.Data, wire(item))
	}
	return list
}
