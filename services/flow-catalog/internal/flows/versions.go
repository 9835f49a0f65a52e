package flows

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// MaxVersion keeps numbers inside what every client can hold.
const MaxVersion = math.MaxInt32

// Publication is a version to store.
type Publication struct {
	FlowID  string
	Version int // 0: the flow's next number
	Status  storage.VersionStatus
	// Sources are the definitions that were given; there must be one.
	Sources []flow.Source
}

// Published is a stored version and what its author may want to look at.
type Published struct {
	storage.FlowVersion
	Warnings []errs.Fault
}

// Validate reports what Publish would find in a definition. Error:
// invalid_argument unless there is one source; faults of the definition are in
// the report alone.
func (f *Flows) Validate(sources []flow.Source) (flow.Report, error) {
	if err := checkSources(sources).Err(); err != nil {
		return flow.Report{}, err
	}
	_, report := flow.Check(sources[0], f.rules)
	return report, nil
}

// Publish validates a definition and stores it as a version. Drafts are held
// to the same rules: a version never changes, so a fault could not be mended.
// Errors: invalid_argument or invalid_definition with every fault,
// already_exists for a number that is taken, not_found for an unknown flow.
func (f *Flows) Publish(ctx context.Context, p Publication) (Published, error) {
	if err := p.check(); err != nil {
		return Published{}, err
	}
	definition, report := flow.Check(p.Sources[0], f.rules)
	if err := report.Err(); err != nil {
		return Published{}, err
	}
	text, err := definition.JSON()
	if err != nil {
		return Published{}, errs.Wrap(err, errs.Internal, "the definition could not be written as JSON")
	}
	stored, err := f.store.CreateVersion(ctx, storage.FlowVersion{
		ID:         ids.New(ids.Version),
		FlowID:     p.FlowID,
		Version:    p.Version,
		Definition: string(text),
		Status:     p.Status,
		CreatedAt:  storage.Now(),
	})
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Published{}, errs.Wrap(err, errs.NotFound, "there is no flow %q", p.FlowID)
	case errors.Is(err, storage.ErrConflict):
		return Published{}, errs.Wrap(err, errs.AlreadyExists, "the flow has a version %d already; versions never change, publish another", p.Version)
	case err != nil:
		return Published{}, err
	}
	return Published{FlowVersion: stored, Warnings: report.Warnings}, nil
}

func (p Publication) check() error {
	faults := slices.Concat(checkText("flow_id", p.FlowID), checkNumber(p.Version))
	if !slices.Contains(storage.VersionStatuses, p.Status) {
		faults.Add("status", "must be published or draft")
	}
	return append(faults, checkSources(p.Sources)...).Err()
}

func checkSources(sources []flow.Source) (faults errs.Faults) {
	if n := len(sources); n != 1 {
		faults.Add("definition", "must be given once, as definition (object), definition_json or definition_yaml (text); it is given %d times", n)
	}
	return faults
}

func checkNumber(version int) (faults errs.Faults) {
	if version < 0 || version > MaxVersion {
		faults.Add("version", "must be a number from 1 to %d, or 0 for the next", MaxVersion)
	}
	return faults
}

// Version returns a version by id. Error: storage.ErrNotFound.
func (f *Flows) Version(ctx context.Context, id string) (storage.FlowVersion, error) {
	if err := checkText("id", id).Err(); err != nil {
		return storage.FlowVersion{}, err
	}
	return f.store.GetVersion(ctx, id)
}

// Versions returns all versions of a flow, newest first. Error:
// storage.ErrNotFound for an unknown flow.
func (f *Flows) Versions(ctx context.Context, flowID string) ([]storage.FlowVersion, error) {
	if err := checkText("flow_id", flowID).Err(); err != nil {
		return nil, err
	}
	return f.store.ListVersions(ctx, flowID)
}

// Resolve returns the flow's version of that number in whatever status, or
// with number 0 its highest published one. Error: not_found.
func (f *Flows) Resolve(ctx context.Context, flowID string, number int) (storage.FlowVersion, error) {
	if err := slices.Concat(checkText("flow_id", flowID), checkNumber(number)).Err(); err != nil {
		return storage.FlowVersion{}, err
	}
	version, err := f.store.ResolveVersion(ctx, flowID, number)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.FlowVersion{}, errs.Wrap(err, errs.NotFound, "%s", f.missing(ctx, flowID, number))
	}
	return version, err
}

// missing says what there is not: the flow, or a version of it.
func (f *Flows) missing(ctx context.Context, flowID string, number int) string {
	if _, err := f.store.GetFlow(ctx, flowID); errors.Is(err, storage.ErrNotFound) {
		return fmt.Sprintf("there is no flow %q", flowID)
	}
	if number == 0 {
		return fmt.Sprintf("the flow %q has no published version", flowID)
	}
	return fmt.Sprintf("the flow %q has no version %d", flowID, number)
}
