package storagetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// RunFlows checks an implementation of storage.Flows. open returns a fresh,
// empty store and closes it when the test ends.
func RunFlows(t *testing.T, open func(t *testing.T) storage.Flows) {
	for name, test := range map[string]func(*testing.T, storage.Flows){
		"CreateFlow_KeepsEveryField":                 createFlowKeeps,
		"CreateFlow_SameIDIsConflict":                createFlowConflict,
		"GetFlow_UnknownIsNotFound":                  getFlowUnknown,
		"FindFlow_TakesTheFirstOfTheName":            findFlowFirst,
		"ListFlows_IsNewestFirst":                    listFlowsNewestFirst,
		"ListFlows_PagesByOffset":                    listFlowsByOffset,
		"ListFlows_PagesByCursorPastNewFlows":        listFlowsByCursor,
		"ListFlows_SelectsByName":                    listFlowsByName,
		"CreateVersion_KeepsEveryByte":               createVersionKeeps,
		"CreateVersion_ZeroTakesTheNextNumber":       createVersionNext,
		"CreateVersion_RepeatedNumberIsConflict":     createVersionConflict,
		"CreateVersion_UnknownFlowIsNotFound":        createVersionUnknownFlow,
		"CreateVersion_TwentyAtOnceGetTwentyNumbers": createVersionConcurrently,
		"GetVersion_UnknownIsNotFound":               getVersionUnknown,
		"ResolveVersion_ByNumberInAnyStatus":         resolveByNumber,
		"ResolveVersion_ZeroIsTheHighestPublished":   resolveLatest,
		"ListVersions_HighestFirst":                  listVersions,
		"Text_IsCleanedOrRefused":                    flowsText,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
	t.Run("Base", func(t *testing.T) {
		t.Parallel()
		runBase(t, func(t *testing.T) (storage.Base, func() error) {
			store := open(t)
			return store, func() error {
				return store.CreateFlow(context.Background(), aFlow(1))
			}
		})
	})
}

func aFlow(n int) storage.Flow {
	return storage.Flow{
		ID: fmt.Sprintf("flow-%04d", n), Name: fmt.Sprintf("name %d ö'\"", n), Description: "what it does\n\t…", CreatedAt: at(n),
	}
}

func aVersion(n int, flow storage.Flow, number int) storage.FlowVersion {
	return storage.FlowVersion{
		ID: fmt.Sprintf("ver-%04d", n), FlowID: flow.ID, FlowName: flow.Name, Version: number,
		Definition: `{"start":"a"}`, Status: storage.VersionPublished, CreatedAt: at(n),
	}
}

func createFlows(t *testing.T, store storage.Flows, n int) []storage.Flow {
	t.Helper()
	var flows []storage.Flow
	for i := range n {
		flows = append(flows, aFlow(i))
		require.NoError(t, store.CreateFlow(t.Context(), flows[i]))
	}
	return flows
}

func createFlowKeeps(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flow := aFlow(1)
	require.NoError(t, store.CreateFlow(ctx, flow))
	got, err := store.GetFlow(ctx, flow.ID)
	require.NoError(t, err)
	require.Equal(t, flow, got)
	got, err = store.FindFlow(ctx, flow.Name)
	require.NoError(t, err)
	require.Equal(t, flow, got)
}

func createFlowConflict(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	require.NoError(t, store.CreateFlow(ctx, aFlow(1)))
	other := aFlow(2)
	other.ID = aFlow(1).ID
	require.ErrorIs(t, store.CreateFlow(ctx, other), storage.ErrConflict)
	got, err := store.GetFlow(ctx, other.ID)
	require.NoError(t, err)
	require.Equal(t, aFlow(1), got, "the first stays as it was")
}

func getFlowUnknown(t *testing.T, store storage.Flows) {
	_, err := store.GetFlow(t.Context(), "flow-none")
	require.ErrorIs(t, err, storage.ErrNotFound)
	_, err = store.FindFlow(t.Context(), "none")
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func findFlowFirst(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	for _, n := range []int{2, 1, 3} {
		flow := aFlow(n)
		flow.Name = "same"
		require.NoError(t, store.CreateFlow(ctx, flow))
	}
	got, err := store.FindFlow(ctx, "same")
	require.NoError(t, err)
	require.Equal(t, aFlow(1).ID, got.ID)
	_, err = store.FindFlow(ctx, "Same")
	require.ErrorIs(t, err, storage.ErrNotFound, "names differ by case")
}

func listFlowsNewestFirst(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	page, err := store.ListFlows(ctx, storage.FlowQuery{ListOptions: storage.ListOptions{Limit: 10}})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Flow]{Items: []storage.Flow{}}, page)

	flows := createFlows(t, store, 3)
	page, err = store.ListFlows(ctx, storage.FlowQuery{ListOptions: storage.ListOptions{Limit: 10}})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Flow]{Items: []storage.Flow{flows[2], flows[1], flows[0]}, Total: 3}, page)
}

func listFlowsByOffset(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flows := createFlows(t, store, 5)
	options := storage.ListOptions{Limit: 2}
	page, err := store.ListFlows(ctx, storage.FlowQuery{ListOptions: options})
	require.NoError(t, err)
	require.Equal(t, []storage.Flow{flows[4], flows[3]}, page.Items)
	require.Equal(t, 5, page.Total)
	require.NotEmpty(t, page.Next)

	options.Offset = 4
	page, err = store.ListFlows(ctx, storage.FlowQuery{ListOptions: options})
	require.NoError(t, err)
	require.Equal(t, []storage.Flow{flows[0]}, page.Items)
	require.Empty(t, page.Next)

	options.Offset = 50
	page, err = store.ListFlows(ctx, storage.FlowQuery{ListOptions: options})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Flow]{Items: []storage.Flow{}, Total: 5}, page)
}

func listFlowsByCursor(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	createFlows(t, store, 6)
	var seen []string
	options := storage.ListOptions{Limit: 2}
	for n := 100; ; n++ {
		page, err := store.ListFlows(ctx, storage.FlowQuery{ListOptions: options})
		require.NoError(t, err)
		for _, flow := range page.Items {
			seen = append(seen, flow.ID)
		}
		if page.Next == "" {
			break
		}
		options.Cursor = page.Next
		require.NoError(t, store.CreateFlow(ctx, aFlow(n)), "a flow that comes while someone pages moves nothing")
	}
	require.Equal(t, []string{aFlow(5).ID, aFlow(4).ID, aFlow(3).ID, aFlow(2).ID, aFlow(1).ID, aFlow(0).ID}, seen)
}

func listFlowsByName(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	for n := range 6 {
		flow := aFlow(n)
		flow.Name = []string{"even", "odd"}[n%2]
		require.NoError(t, store.CreateFlow(ctx, flow))
	}
	page, err := store.ListFlows(ctx, storage.FlowQuery{Name: "odd", ListOptions: storage.ListOptions{Limit: 2}})
	require.NoError(t, err)
	require.Equal(t, 3, page.Total)
	require.Equal(t, aFlow(5).ID, page.Items[0].ID)
	page, err = store.ListFlows(ctx, storage.FlowQuery{Name: "odd", ListOptions: storage.ListOptions{Limit: 2, Cursor: page.Next}})
	require.NoError(t, err)
	require.Equal(t, 3, page.Total, "the total counts all pages")
	require.Len(t, page.Items, 1)
	require.Equal(t, aFlow(1).ID, page.Items[0].ID)
	require.Empty(t, page.Next)
}

func createVersionKeeps(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flow := createFlows(t, store, 1)[0]
	version := aVersion(1, flow, 7)
	version.FlowName = "not read"
	version.Status = storage.VersionDraft
	version.Definition = awkwardJSON
	stored, err := store.CreateVersion(ctx, version)
	require.NoError(t, err)
	version.FlowName = flow.Name
	require.Equal(t, version, stored)
	got, err := store.GetVersion(ctx, version.ID)
	require.NoError(t, err)
	require.Equal(t, version, got)

	large := aVersion(2, flow, 0)
	large.Definition = `"` + strings.Repeat("x", 1<<20) + `"`
	stored, err = store.CreateVersion(ctx, large)
	require.NoError(t, err)
	got, err = store.GetVersion(ctx, large.ID)
	require.NoError(t, err)
	require.Equal(t, stored, got)
}

func createVersionNext(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flows := createFlows(t, store, 2)
	for i, want := range []struct{ given, got int }{{0, 1}, {0, 2}, {9, 9}, {0, 10}, {5, 5}, {0, 11}} {
		version := aVersion(i, flows[0], want.given)
		version.Status = storage.VersionStatuses[i%len(storage.VersionStatuses)]
		stored, err := store.CreateVersion(ctx, version)
		require.NoError(t, err)
		require.Equal(t, want.got, stored.Version)
	}
	stored, err := store.CreateVersion(ctx, aVersion(100, flows[1], 0))
	require.NoError(t, err)
	require.Equal(t, 1, stored.Version, "each flow counts for itself")
}

func createVersionConflict(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flows := createFlows(t, store, 2)
	_, err := store.CreateVersion(ctx, aVersion(1, flows[0], 3))
	require.NoError(t, err)
	_, err = store.CreateVersion(ctx, aVersion(2, flows[0], 3))
	require.ErrorIs(t, err, storage.ErrConflict, "the number")
	_, err = store.CreateVersion(ctx, aVersion(1, flows[1], 0))
	require.ErrorIs(t, err, storage.ErrConflict, "the id")
	_, err = store.CreateVersion(ctx, aVersion(3, flows[1], 3))
	require.NoError(t, err, "another flow may use the number")
}

func createVersionUnknownFlow(t *testing.T, store storage.Flows) {
	for _, number := range []int{0, 1} {
		_, err := store.CreateVersion(t.Context(), aVersion(1, aFlow(1), number))
		require.ErrorIs(t, err, storage.ErrNotFound)
	}
}

func createVersionConcurrently(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flows := createFlows(t, store, 2)
	const n = 20
	var wg sync.WaitGroup
	errs := make([]error, n)
	numbers := make([]int, n)
	for i := range n {
		wg.Go(func() {
			stored, err := store.CreateVersion(ctx, aVersion(i, flows[0], 0))
			numbers[i], errs[i] = stored.Version, err
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for i := range n {
		require.NoError(t, errs[i])
		seen[numbers[i]] = true
	}
	for number := 1; number <= n; number++ {
		require.True(t, seen[number], "number %d", number)
	}
}

func getVersionUnknown(t *testing.T, store storage.Flows) {
	_, err := store.GetVersion(t.Context(), "ver-none")
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func resolveByNumber(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flow := createFlows(t, store, 1)[0]
	for i, status := range storage.VersionStatuses {
		version := aVersion(i, flow, i+1)
		version.Status = status
		_, err := store.CreateVersion(ctx, version)
		require.NoError(t, err)
		got, err := store.ResolveVersion(ctx, flow.ID, i+1)
		require.NoError(t, err)
		require.Equal(t, version, got)
	}
	_, err := store.ResolveVersion(ctx, flow.ID, 99)
	require.ErrorIs(t, err, storage.ErrNotFound)
	_, err = store.ResolveVersion(ctx, "flow-none", 1)
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func resolveLatest(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flow := createFlows(t, store, 1)[0]
	_, err := store.ResolveVersion(ctx, flow.ID, 0)
	require.ErrorIs(t, err, storage.ErrNotFound, "no version")
	create := func(n, number int, status storage.VersionStatus) {
		version := aVersion(n, flow, number)
		version.Status = status
		_, err := store.CreateVersion(ctx, version)
		require.NoError(t, err)
	}
	create(1, 1, storage.VersionDraft)
	_, err = store.ResolveVersion(ctx, flow.ID, 0)
	require.ErrorIs(t, err, storage.ErrNotFound, "only a draft")
	create(2, 12, storage.VersionPublished)
	create(3, 9, storage.VersionPublished) // later, but lower
	create(4, 13, storage.VersionDraft)
	got, err := store.ResolveVersion(ctx, flow.ID, 0)
	require.NoError(t, err)
	require.Equal(t, 12, got.Version)
	require.Equal(t, flow.Name, got.FlowName)
}

func listVersions(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flows := createFlows(t, store, 2)
	_, err := store.ListVersions(ctx, "flow-none")
	require.ErrorIs(t, err, storage.ErrNotFound)
	got, err := store.ListVersions(ctx, flows[0].ID)
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Empty(t, got)

	first, tenth, second := aVersion(1, flows[0], 1), aVersion(2, flows[0], 10), aVersion(3, flows[0], 2)
	for _, version := range []storage.FlowVersion{first, tenth, second, aVersion(4, flows[1], 4)} {
		_, err := store.CreateVersion(ctx, version)
		require.NoError(t, err)
	}
	got, err = store.ListVersions(ctx, flows[0].ID)
	require.NoError(t, err)
	require.Equal(t, []storage.FlowVersion{tenth, second, first}, got)
}
