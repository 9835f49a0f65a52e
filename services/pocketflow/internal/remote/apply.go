package remote

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Applied tells what Apply did.
type Applied struct {
	Name      string       `json:"name"`
	FlowID    string       `json:"flow_id"`
	VersionID string       `json:"version_id"`
	Version   int          `json:"version"`
	Change    Change       `json:"change"`
	Warnings  []errs.Fault `json:"warnings,omitempty"`
}

// Change is what Apply had to do.
type Change string

// The changes.
const (
	Created   Change = "created"   // the flow is new
	Published Change = "published" // the flow was there, the version is new
	Unchanged Change = "unchanged" // the newest published version is the same
)

// Apply makes the definition the newest published version of the flow of that
// name, which it creates if need be. A definition that is the newest published
// version already is left alone, so applying the same files again, in a
// pipeline say, makes no versions. It is meant for one caller at a time: two
// at once may publish the same definition twice.
func (s *Server) Apply(ctx context.Context, name string, def *flow.Definition) (Applied, error) {
	text, err := def.JSON()
	if err != nil {
		return Applied{}, err
	}
	done := Applied{Name: name, Change: Published}
	found, err := s.Flows.FindFlow(ctx, name)
	switch {
	case err == nil:
		done.FlowID = found.ID
		newest, err := s.newestPublished(ctx, found.ID)
		if err != nil {
			return Applied{}, fmt.Errorf("read the versions of flow %s: %w", name, err)
		}
		if newest.ID != "" && canonical(newest.DefinitionJSON) == string(text) {
			done.VersionID, done.Version, done.Change = newest.ID, newest.Version, Unchanged
			return done, nil
		}
	case errs.CodeOf(err) == errs.NotFound:
		done.Change = Created
		done.FlowID, err = s.Flows.CreateFlow(ctx, catalogapi.CreateFlowRequest{Name: name})
		if err != nil {
			return Applied{}, fmt.Errorf("create flow %s: %w", name, err)
		}
	default:
		return Applied{}, fmt.Errorf("find flow %s: %w", name, err)
	}
	version, err := s.Flows.CreateVersion(ctx, catalogapi.CreateVersionRequest{FlowID: done.FlowID, Definition: text})
	if err != nil {
		return Applied{}, fmt.Errorf("publish flow %s: %w", name, err)
	}
	done.VersionID, done.Version, done.Warnings = version.ID, version.Version, version.Warnings
	return done, nil
}

// newestPublished is the flow's highest published version; the zero value when
// it has none.
func (s *Server) newestPublished(ctx context.Context, flowID string) (catalogapi.Version, error) {
	versions, err := s.Flows.ListVersions(ctx, flowID)
	if err != nil {
		return catalogapi.Version{}, err
	}
	for _, v := range versions { // newest first
		if v.Status == string(storage.VersionPublished) {
			return v, nil
		}
	}
	return catalogapi.Version{}, nil
}

// canonical brings a stored definition to the form that this program writes,
// which may be newer than the server's. What does not parse differs from
// everything.
func canonical(stored string) string {
	def, faults := flow.Parse([]byte(stored))
	if def == nil || len(faults) > 0 {
		return ""
	}
	text, err := def.JSON()
	if err != nil {
		return ""
	}
	return string(text)
}
