package storagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksReadTests = []tasksTest{
	{"Get_OfAnUnknownTaskIsNotFound", getUnknown},
	{"List_IsNewestFirst", listNewestFirst},
	{"List_PagesByOffsetAndByCursorAlike", listPages},
	{"List_OfLargeTasksIsRefused", listLarge},
	{"List_Filters", listFilters},
	{"List_OfNothingIsEmpty", listNothing},
	{"ListRuns_IsInOrderOfStart", listRunsInOrder},
	{"LoadRuns_LeavesOutWhatDoesNotExist", loadRuns},
	{"Read_ManyAtOnceGetEachTheirOwn", readManyAtOnce},
	{"LoadEndedRuns_AreThoseWithASubStatusPastTheNo", loadEndedRuns},
	{"ListEvents_PagesByTheSeq", listEventsPages},
	{"Ready_IsNilOnTheRightSchema", readyIsNil},
	{"Close_MakesEveryCallFail", closeFails},
}

func getUnknown(t *testing.T, tasks storage.Tasks) {
	_, err := tasks.GetTask(t.Context(), "task-none")
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func listNewestFirst(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(2), pendingTask(3), pendingTask(1))
	page, err := tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 3}})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Task]{
		Items: []storage.Task{pendingTask(3).Task, pendingTask(2).Task, pendingTask(1).Task}, Total: 3,
	}, page)
}

func listPages(t *testing.T, tasks storage.Tasks) {
	for n := 1; n <= 7; n++ {
		mustCreate(t, tasks, pendingTask(n))
	}
	want := [][]string{
		{taskID(7), taskID(6), taskID(5)}, {taskID(4), taskID(3), taskID(2)}, {taskID(1)},
	}
	cursor := ""
	for i, ids := range want {
		byOffset, err := tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 3, Offset: 3 * i}})
		require.NoError(t, err)
		require.Equal(t, ids, idsOf(byOffset.Items))
		require.Equal(t, 7, byOffset.Total)
		require.Equal(t, i == len(want)-1, byOffset.Next == "", "only the last page has no next")
		byCursor, err := tasks.ListTasks(t.Context(), storage.TaskQuery{FlowID: "flow-1", ListOptions: storage.ListOptions{Limit: 3, Cursor: cursor}})
		require.NoError(t, err)
		require.Equal(t, byOffset, byCursor)
		cursor = byCursor.Next
	}
	page, err := tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 7}})
	require.NoError(t, err)
	require.Empty(t, page.Next)
	page, err = tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 7, Offset: 7}})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Task]{Items: []storage.Task{}, Total: 7}, page)
}

func listLarge(t *testing.T, tasks storage.Tasks) {
	size := 0
	for n := 1; n <= 3; n++ {
		created := pendingTask(n)
		created.Task.Shared = json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
		size = len(created.Task.Params) + len(created.Task.Shared) + len(created.Task.State)
		mustCreate(t, tasks, created)
	}
	list := func(limit, most int) ([]storage.Task, error) {
		page, err := tasks.ListTasks(t.Context(), storage.TaskQuery{MostBytes: most, ListOptions: storage.ListOptions{Limit: limit}})
		return page.Items, err
	}
	for limit, most := range map[int]int{1: 1, 2: 2 * size, 3: 3 * size} {
		items, err := list(limit, most)
		require.NoError(t, err, "one is always shown, and what is not shown does not count")
		require.Len(t, items, limit)
	}
	_, err := list(3, 3*size-1)
	require.ErrorIs(t, err, storage.ErrPageTooLarge)
	_, err = list(2, 2*size-1)
	require.ErrorIs(t, err, storage.ErrPageTooLarge)
	items, err := list(3, 0)
	require.NoError(t, err)
	require.Len(t, items, 3)
}

func listFilters(t *testing.T, tasks storage.Tasks) {
	statuses := []storage.TaskStatus{storage.TaskPending, storage.TaskFailed}
	for n := range 8 {
		created := pendingTask(n)
		created.Task.Status = statuses[n&1]
		created.Task.FlowID = fmt.Sprintf("flow-%d", n>>1&1)
		created.Task.FlowVersionID = fmt.Sprintf("ver-%d", n>>2)
		created.Task.WaitsFor = storage.WaitKinds[n%4]
		mustCreate(t, tasks, created)
	}
	for query, want := range map[storage.TaskQuery][]string{
		{Status: storage.TaskFailed}:                    {taskID(7), taskID(5), taskID(3), taskID(1)},
		{FlowID: "flow-0"}:                              {taskID(5), taskID(4), taskID(1), taskID(0)},
		{FlowVersionID: "ver-1"}:                        {taskID(7), taskID(6), taskID(5), taskID(4)},
		{Status: storage.TaskPending, FlowID: "flow-1"}: {taskID(6), taskID(2)},
		{Status: storage.TaskPending, FlowID: "flow-1", FlowVersionID: "ver-0"}: {taskID(2)},
		{Status: storage.TaskCanceled}:                                          {},
		{WaitsFor: storage.WaitApproval}:                                        {taskID(7), taskID(3)},
		{WaitsFor: storage.WaitEvent}:                                           {taskID(6), taskID(2)},
		{WaitsFor: storage.WaitApproval, FlowID: "flow-1"}:                      {taskID(7), taskID(3)},
		{WaitsFor: storage.WaitApproval, FlowVersionID: "ver-0"}:                {taskID(3)},
		{WaitsFor: storage.WaitApproval, FlowID: "flow-0"}:                      {},
	} {
		query.Limit = 10
		page, err := tasks.ListTasks(t.Context(), query)
		require.NoError(t, err)
		require.Equal(t, want, idsOf(page.Items))
		require.Equal(t, len(want), page.Total)
	}
}

func listNothing(t *testing.T, tasks storage.Tasks) {
	page, err := tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 1}})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Task]{Items: []storage.Task{}}, page)
	runs, err := tasks.ListRuns(t.Context(), "task-none")
	require.NoError(t, err)
	require.Equal(t, []storage.NodeRun{}, runs)
	events, err := tasks.LoadInbox(t.Context(), "task-none", 100)
	require.NoError(t, err)
	require.Empty(t, events)
}

func manyRuns(t *testing.T, tasks storage.Tasks) []storage.NodeRun {
	created := heldTask(1)
	created.Started = nil
	for no := 12; no >= 1; no-- {
		created.Started = append(created.Started, startedRun(1, no))
	}
	mustCreate(t, tasks, created, heldTask(2))
	ordered := []storage.NodeRun{}
	for no := 1; no <= 12; no++ {
		ordered = append(ordered, startedRun(1, no))
	}
	return ordered
}

func listRunsInOrder(t *testing.T, tasks storage.Tasks) {
	want := manyRuns(t, tasks)
	runs, err := tasks.ListRuns(t.Context(), taskID(1))
	require.NoError(t, err)
	require.Equal(t, want, runs)
}

func loadRuns(t *testing.T, tasks storage.Tasks) {
	all := manyRuns(t, tasks)
	runs, err := tasks.LoadRuns(t.Context(), taskID(1), []int{11, 2, 99, 2})
	require.NoError(t, err)
	require.Equal(t, []storage.NodeRun{all[1], all[10]}, runs)
	runs, err = tasks.LoadRuns(t.Context(), taskID(1), nil)
	require.NoError(t, err)
	require.Empty(t, runs)
}

// Those who read at the same time may share a trip to the database.
func readManyAtOnce(t *testing.T, tasks storage.Tasks) {
	all := manyRuns(t, tasks)
	want := mustGet(t, tasks, 1)
	race(func(i int) {
		for no := 1; no <= len(all); no++ {
			task, err := tasks.GetTask(t.Context(), taskID(1))
			assert.NoError(t, err)
			assert.Equal(t, want, task)
			for _, id := range []string{"task-none", "not\x00storable"} {
				_, err = tasks.GetTask(t.Context(), id)
				assert.ErrorIs(t, err, storage.ErrNotFound)
			}
			runs, err := tasks.LoadRuns(t.Context(), taskID(1), []int{no, 100 + i})
			assert.NoError(t, err)
			assert.Equal(t, all[no-1:no], runs)
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = tasks.GetTask(gone, taskID(1))
			assert.True(t, err == nil || errors.Is(err, context.Canceled), "%v", err)
		}
	})
}

func loadEndedRuns(t *testing.T, tasks storage.Tasks) {
	created := heldTask(1)
	created.Started = nil
	want := []storage.NodeRun{}
	for no := 12; no >= 1; no-- {
		run := startedRun(1, no)
		run.Output = json.RawMessage(awkwardJSON)
		if no%3 == 0 {
			run.SubStatus = ""
		}
		created.Started = append(created.Started, run)
		if no > 4 && run.SubStatus != "" {
			run.Input, run.Params = nil, nil
			want = slices.Insert(want, 0, run)
		}
	}
	mustCreate(t, tasks, created, heldTask(2))
	runs, err := tasks.LoadEndedRuns(t.Context(), taskID(1), 4)
	require.NoError(t, err)
	require.Equal(t, want, runs)

	finish := storage.RunFinish{No: 12, Status: storage.RunOK, SubStatus: "item_complete", FinishedAt: after(time.Second)}
	step := keepStep(1, 1)
	step.Finished = []storage.RunFinish{finish}
	mustSettle(t, tasks, step)
	runs, err = tasks.LoadEndedRuns(t.Context(), taskID(1), 11)
	require.NoError(t, err)
	last := startedRun(1, 12)
	last.Input, last.Params = nil, nil
	finish.Close(&last)
	require.Equal(t, []storage.NodeRun{last}, runs)
	for id, no := range map[string]int{taskID(1): 12, "task-none": 0} {
		runs, err = tasks.LoadEndedRuns(t.Context(), id, no)
		require.NoError(t, err)
		require.Equal(t, []storage.NodeRun{}, runs)
	}
}

func listEventsPages(t *testing.T, tasks storage.Tasks) {
	created := heldTask(1)
	for seq := int64(2); seq <= 12; seq++ {
		created.Events = append(created.Events, storage.TaskEvent{
			TaskID: taskID(1), SourceID: fmt.Sprintf("source-%d", 99-seq), Kind: storage.EventRunFinished,
			Data: json.RawMessage(`{}`), At: after(time.Duration(seq)), Seq: seq,
		})
	}
	for i := range created.Events {
		created.Events[i].At = created.Events[i].At.Truncate(time.Microsecond)
	}
	mustCreate(t, tasks, created, heldTask(2))
	mustAppend(t, tasks, signal(1, "not applied"))

	events, err := tasks.ListEvents(t.Context(), taskID(1), 0, 5)
	require.NoError(t, err)
	require.Equal(t, created.Events[:5], events)
	events, err = tasks.ListEvents(t.Context(), taskID(1), 5, 100)
	require.NoError(t, err)
	require.Equal(t, created.Events[5:], events)
	events, err = tasks.ListEvents(t.Context(), taskID(1), 12, 100)
	require.NoError(t, err)
	require.Empty(t, events)
}

func readyIsNil(t *testing.T, tasks storage.Tasks) {
	require.NoError(t, tasks.Ready(t.Context()))
}

func closeFails(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1))
	require.NoError(t, tasks.Close())
	require.NoError(t, tasks.Close())
	_, err := tasks.GetTask(t.Context(), taskID(1))
	require.Error(t, err)
	_, err = tasks.CreateTasks(t.Context(), []storage.NewTask{pendingTask(2)})
	require.Error(t, err)
	require.Error(t, tasks.Ready(t.Context()))
	require.NoError(t, tasks.Subscribe(t.Context(), func(storage.TaskHint) {}), "a subscription ends with the store")
}
