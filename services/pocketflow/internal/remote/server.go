// Package remote is a running suite as this program uses it: the typed clients
// of its services, all through one gateway, and the two things that take more
// than one call: publishing a definition unless it is published already, and
// following a task to its end.
package remote

import (
	"context"
	"net/http"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// Server is a running suite.
type Server struct {
	Flows   *catalogapi.Client
	Tasks   *schedulerapi.Client
	Workers *registryapi.Client
	Queue   *queueapi.Client
}

// Connect makes the clients of the suite at base. It calls nobody yet.
func Connect(base string, hc *http.Client) (*Server, error) {
	flows, err := catalogapi.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	tasks, err := schedulerapi.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	workers, err := registryapi.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	queue, err := queueapi.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	return &Server{Flows: flows, Tasks: tasks, Workers: workers, Queue: queue}, nil
}

// FlowID is the id of the flow that the text names: the text itself when it is
// an id, else that of the flow of this name. errs.NotFound when there is none.
func (s *Server) FlowID(ctx context.Context, nameOrID string) (string, error) {
	if ids.Valid(ids.Flow, nameOrID) {
		return nameOrID, nil
	}
	flow, err := s.Flows.FindFlow(ctx, nameOrID)
	return flow.ID, err
}
