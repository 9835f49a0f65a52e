package flows

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

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
	_, report := flow.Check(sources[0], f.limits)
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
	definition, report := flow.Check(p.Sources[0], f.limits)
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

// VersionRef names a version of a flow: the flow by its id or by its name, and
// the version by its number.
type VersionRef struct {
	FlowID  string
	Name    string // the first flow that was created under it
	Version int    // 0: the highest published one
}

// flow is the flow as it was asked for: one of the two is empty.
func (r VersionRef) flow() string { return r.FlowID + r.Name }

func (r VersionRef) check() error {
	faults := slices.Concat(checkOptional("flow_id", r.FlowID), checkOptional("name", r.Name), checkNumber(r.Version))
	if (r.FlowID == "") == (r.Name == "") {
		faults.Add("flow_id", "give either flow_id or name")
		faults.Add("name", "give either flow_id or name")
	}
	return faults.Err()
}

// Resolve returns the version that ref names, in whatever status. Error:
// not_found.
func (f *Flows) Resolve(ctx context.Context, ref VersionRef) (storage.FlowVersion, error) {
	ref.Name = strings.TrimSpace(ref.Name)
	if err := ref.check(); err != nil {
		return storage.FlowVersion{}, err
	}
	id, err := f.flowID(ctx, ref)
	if err != nil {
		return storage.FlowVersion{}, err
	}
	version, err := f.store.ResolveVersion(ctx, id, ref.Version)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.FlowVersion{}, errs.Wrap(err, errs.NotFound, "%s", f.missing(ctx, id, ref))
	}
	return version, err
}

func (f *Flows) flowID(ctx context.Context, ref VersionRef) (string, error) {
	if ref.Name == "" {
		return ref.FlowID, nil
	}
	named, err := f.store.FindFlow(ctx, ref.Name)
	if errors.Is(err, storage.ErrNotFound) {
		return "", errs.Wrap(err, errs.NotFound, "there is no flow %q", ref.Name)
	}
	return named.ID, err
}

// missing says what there is not: the flow, or a version of it.
func (f *Flows) missing(ctx context.Context, id string, ref VersionRef) string {
	if _, err := f.store.GetFlow(ctx, id); errors.Is(err, storage.ErrNotFound) {
		return fmt.Sprintf("there is no flow %q", ref.flow())
	}
	if ref.Version == 0 {
		return fmt.Sprintf("the flow %q has no published version", ref.flow())
	}
	return fmt.Sprintf("the flow %q has no version %d", ref.flow(), ref.Version)
}
