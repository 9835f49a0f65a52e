package catalog_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// instance is a catalog under test, called through its handler.
type instance struct {
	httpxtest.Caller
	t       *testing.T
	service *catalog.Service
	client  *catalogapi.Client
}

func config(t *testing.T) catalog.Config {
	t.Helper()
	return catalog.Config{
		DB:                 "sqlite://" + filepath.Join(t.TempDir(), "catalog.db"),
		AutoMigrate:        true,
		MaxDefinitionBytes: 1 << 20,
		MaxNodes:           2000,
		MaxNesting:         16,
	}
}

func setup(t *testing.T) *instance {
	t.Helper()
	c := open(t, config(t))
	t.Cleanup(func() { require.NoError(t, c.service.Close()) })
	return c
}

func open(t *testing.T, cfg catalog.Config) *instance {
	t.Helper()
	service, err := catalog.New(t.Context(), cfg, catalog.Deps{Log: zaptest.NewLogger(t)})
	require.NoError(t, err)
	transport := inproc.NewTransport(http.DefaultTransport)
	transport.Handle("catalog.test", service.Handler())
	client, err := catalogapi.NewClient("http://catalog.test", &http.Client{Transport: transport})
	require.NoError(t, err)
	return &instance{Caller: httpxtest.Caller{Handler: service.Handler()}, t: t, service: service, client: client}
}

func (i *instance) flow(name string) string {
	i.t.Helper()
	id, err := i.client.CreateFlow(i.t.Context(), catalogapi.CreateFlowRequest{Name: name})
	require.NoError(i.t, err)
	return id
}

// publishEach publishes versions from 1 in these statuses.
func (i *instance) publishEach(flowID string, statuses ...string) {
	i.t.Helper()
	for n, status := range statuses {
		_, err := i.client.CreateVersion(i.t.Context(), catalogapi.CreateVersionRequest{
			FlowID: flowID, Version: n + 1, DefinitionJSON: minimal, Status: status,
		})
		require.NoError(i.t, err)
	}
}

// minimal is the smallest definition, with white space that is not kept.
const minimal = `{ "start": "A", "nodes": { "A": {"kind": "executor", "service": "sum"} } }`

const minimalCanonical = `{"start":"A","nodes":{"A":{"kind":"executor","service":"sum"}}}`

func body(t *testing.T, fields map[string]any) string {
	t.Helper()
	data, err := json.Marshal(fields)
	require.NoError(t, err)
	return string(data)
}
