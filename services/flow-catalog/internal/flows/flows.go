// Package flows is what the catalog does: it names flows, validates
// definitions and numbers versions.
//
// It owns the rules about what a flow and a version may hold; what a
// definition means it asks shared/flow. It refuses to know about HTTP.
package flows

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// What a flow may hold besides its versions, in characters.
const (
	maxName        = 200
	maxDescription = 10_000
)

// Flows is safe for concurrent use. Its errors are errs.Errors about the
// input, or the storage's.
type Flows struct {
	store  storage.Flows
	limits flow.Limits
}

// New makes the catalog's flows. Definitions are held to the limits.
func New(store storage.Flows, limits flow.Limits) *Flows {
	return &Flows{store: store, limits: limits}
}

// Create makes a flow. Names are not unique: the id is the identity, and Find
// gives a name's first flow.
func (f *Flows) Create(ctx context.Context, name, description string) (storage.Flow, error) {
	name = strings.TrimSpace(name)
	faults := checkText("name", name)
	if utf8.RuneCountInString(name) > maxName {
		faults.Add("name", "is over %d characters", maxName)
	}
	if utf8.RuneCountInString(description) > maxDescription {
		faults.Add("description", "is over %d characters", maxDescription)
	}
	if err := faults.Err(); err != nil {
		return storage.Flow{}, err
	}
	made := storage.Flow{ID: ids.New(ids.Flow), Name: name, Description: description, CreatedAt: storage.Now()}
	if err := f.store.CreateFlow(ctx, made); err != nil {
		return storage.Flow{}, err
	}
	return made, nil
}

// Get returns a flow by id. Error: storage.ErrNotFound.
func (f *Flows) Get(ctx context.Context, id string) (storage.Flow, error) {
	if err := checkText("id", id).Err(); err != nil {
		return storage.Flow{}, err
	}
	return f.store.GetFlow(ctx, id)
}

// Find returns the first flow that took the name. Error: storage.ErrNotFound.
func (f *Flows) Find(ctx context.Context, name string) (storage.Flow, error) {
	name = strings.TrimSpace(name)
	if err := checkText("name", name).Err(); err != nil {
		return storage.Flow{}, err
	}
	return f.store.FindFlow(ctx, name)
}

// List returns a page of flows, newest first.
func (f *Flows) List(ctx context.Context, query storage.FlowQuery) (storage.Page[storage.Flow], error) {
	query.Name = strings.TrimSpace(query.Name)
	faults := slices.Concat(checkOptional("name", query.Name), checkOptional("cursor", query.Cursor))
	if err := faults.Err(); err != nil {
		return storage.Page[storage.Flow]{}, err
	}
	return f.store.ListFlows(ctx, query)
}

func checkOptional(path, text string) errs.Faults {
	if text == "" {
		return nil
	}
	return checkText(path, text)
}

// checkText refuses what no id and no name can be. Postgres takes neither NUL
// nor broken UTF-8 in text, and control characters garble logs and terminals.
func checkText(path, text string) (faults errs.Faults) {
	switch {
	case text == "":
		faults.Add(path, "is required")
	case !utf8.ValidString(text):
		faults.Add(path, "must be UTF-8")
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }):
		faults.Add(path, "must not hold control characters")
	}
	return faults
}
