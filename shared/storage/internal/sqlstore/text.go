package sqlstore

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Postgres takes no NUL byte and nothing but UTF-8 in a text; SQLite takes what
// it is given. So that both store the same, text for people is cleaned, and what
// must not be altered is refused before a database sees it.

const replacement = "\uFFFD"

// clean makes text for people fit for both databases.
func clean(text string) string {
	if storable(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, replacement), "\x00", replacement)
}

// storable tells whether both databases take the texts as they are.
func storable(texts ...string) bool {
	for _, text := range texts {
		if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
			return false
		}
	}
	return true
}

// storableJSON is storable for raw JSON. An escaped NUL is no NUL in the text.
func storableJSON(raws ...json.RawMessage) bool {
	for _, raw := range raws {
		if bytes.IndexByte(raw, 0) >= 0 || !utf8.Valid(raw) {
			return false
		}
	}
	return true
}

func unstorable(statement Statement) bool {
	for _, arg := range statement.Args {
		if text, ok := arg.(string); ok && !storable(text) {
			return true
		}
	}
	return false
}

// findable leaves out the queries for texts that no row can hold: they find
// nothing.
func findable(batch *Batch) *Batch {
	if !slices.ContainsFunc(batch.Statements, unstorable) {
		return batch
	}
	return &Batch{Statements: slices.DeleteFunc(slices.Clone(batch.Statements), unstorable)}
}

// strictTx lets no text reach the database that one of the two would refuse. It
// stands behind the checks of single items, whose outcomes say more.
type strictTx struct{ Tx }

func (tx strictTx) Run(ctx context.Context, batch *Batch) error {
	if slices.ContainsFunc(batch.Statements, unstorable) {
		return storage.ErrInvalidText
	}
	return tx.Tx.Run(ctx, batch)
}

func (tx strictTx) Finish(ctx context.Context, batch *Batch) error {
	if slices.ContainsFunc(batch.Statements, unstorable) {
		return storage.ErrInvalidText
	}
	return tx.Tx.Finish(ctx, batch)
}

// sift runs a batch without the items that are refused, and puts the outcomes of
// all in the batch's order.
func sift[I, O any](items []I, refuse func(*I) (O, bool), run func([]I) ([]O, error)) ([]O, error) {
	refused := func(item I) bool { _, no := refuse(&item); return no }
	if !slices.ContainsFunc(items, refused) {
		return run(items)
	}
	outcomes := make([]O, len(items))
	var kept []I
	var places []int
	for i := range items {
		outcome, no := refuse(&items[i])
		if outcomes[i] = outcome; !no {
			kept, places = append(kept, items[i]), append(places, i)
		}
	}
	if len(kept) == 0 {
		return outcomes, nil
	}
	ran, err := run(kept)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		outcomes[place] = ran[i]
	}
	return outcomes, nil
}
