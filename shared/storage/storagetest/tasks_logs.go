package storagetest

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksLogTests = []tasksTest{
	{"RunLog_KeepsEntriesInOrderAsLines", logKeepsOrder},
	{"RunLog_IsFoundByTheRunAlone", logFound},
	{"RunLog_OfAnUnknownRunIsNotFound", logUnknown},
	{"RunLog_TakesAnEntryOfASourceOnce", logOnce},
	{"RunLog_IsCutAtItsLimit", logCut},
	{"RunLog_CountsSmallEntriesToo", logSmall},
	{"RunLog_IsCutBetweenCharacters", logCutsCharacters},
	{"RunLog_CleansText", logCleaned},
	{"RunLog_LeavesTheOthersOfABatchUntouched", logPartlyFailing},
	{"RunLog_LosesNothingOfManyWriters", logRace},
	{"RunLog_TakesEntriesOfAnEndedRun", logEnded},
}

const mostLog = 1 << 20

func logEntry(n, no int, source, text string) storage.LogEntry {
	return storage.LogEntry{Run: runRef(n, no), SourceID: source, Text: text, At: after(time.Second)}
}

func mustLog(t *testing.T, tasks storage.Tasks, most int, entries ...storage.LogEntry) {
	outcomes, err := tasks.AppendRunLogs(t.Context(), entries, most)
	require.NoError(t, err)
	requireOutcomes(t, make(storage.Outcomes, len(entries)), outcomes)
}

func mustReadLog(t testContext, tasks storage.Tasks, n, no int) storage.RunLog {
	log, err := tasks.ReadRunLog(t.Context(), storage.RunLogQuery{RunID: runRef(n, no).ID})
	require.NoError(t, err)
	return log
}

func logKeepsOrder(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	mustLog(t, tasks, mostLog, logEntry(1, 2, "", "b"), logEntry(1, 1, "", "other\n"), logEntry(1, 2, "", "a\n"), logEntry(1, 2, "s", "c\nd"))
	mustLog(t, tasks, mostLog, logEntry(1, 2, "", "a"), logEntry(1, 2, "", ""))
	require.Equal(t, storage.RunLog{Run: runRef(1, 2), Status: storage.RunQueued, Text: "b\na\nc\nd\na\n"}, mustReadLog(t, tasks, 1, 2))
	require.Equal(t, "other\n", mustReadLog(t, tasks, 1, 1).Text)
}

func logFound(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	ctx := t.Context()
	require.Equal(t, storage.RunLog{Run: runRef(1, 2), Status: storage.RunQueued}, mustReadLog(t, tasks, 1, 2), "a queued run's log is known at once")
	silent := runRef(1, 1)
	_, err := tasks.ReadRunLog(ctx, storage.RunLogQuery{RunID: silent.ID})
	require.ErrorIs(t, err, storage.ErrNotFound, "of another kind only once it is written to")
	for range 2 {
		log, err := tasks.ReadRunLog(ctx, storage.RunLogQuery{RunID: silent.ID, TaskID: taskID(1)})
		require.NoError(t, err)
		require.Equal(t, storage.RunLog{Run: silent, Status: storage.RunRunning}, log)
		mustLog(t, tasks, mostLog, logEntry(1, 1, "", ""))
		require.Equal(t, log, mustReadLog(t, tasks, 1, 1), "nothing was written")
	}

	created := heldTask(2)
	created.Started = []storage.NodeRun{queuedRun(2, 1)}
	mustCreate(t, tasks, created)
	require.Equal(t, storage.RunLog{Run: runRef(2, 1), Status: storage.RunQueued}, mustReadLog(t, tasks, 2, 1))
}

func logUnknown(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	createQueued(t, tasks, 2)
	mustLog(t, tasks, mostLog, logEntry(1, 2, "", "a"))
	for _, query := range []storage.RunLogQuery{
		{}, {RunID: "run-none"}, {RunID: "run-none", TaskID: taskID(1)}, {RunID: runRef(1, 2).ID, TaskID: taskID(2)}, {TaskID: taskID(1)},
		{RunID: runRef(1, 2).ID, TaskID: "task-none"}, {RunID: dirty}, {RunID: runRef(1, 2).ID, TaskID: dirty},
	} {
		_, err := tasks.ReadRunLog(t.Context(), query)
		require.ErrorIs(t, err, storage.ErrNotFound, "%+v", query)
	}
}

func logOnce(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	createQueued(t, tasks, 2)
	entry := logEntry(1, 2, "s1", "once")
	mustLog(t, tasks, mostLog, entry, entry)
	entry.Text = "another text of the same source"
	mustLog(t, tasks, mostLog, entry, logEntry(2, 2, "s1", "another run"), logEntry(1, 2, "s2", "next"))
	require.Equal(t, "once\nnext\n", mustReadLog(t, tasks, 1, 2).Text)
	require.Equal(t, "another run\n", mustReadLog(t, tasks, 2, 2).Text)
	unnamed := logEntry(1, 2, "", "again")
	mustLog(t, tasks, mostLog, unnamed, unnamed)
	require.Equal(t, "once\nnext\nagain\nagain\n", mustReadLog(t, tasks, 1, 2).Text)
}

func logCut(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	const line = "0123456789\n"
	cost := len(line) + storage.LogEntryCost
	most := 2*cost + storage.LogEntryCost + 4
	mustLog(t, tasks, most, logEntry(1, 2, "a", line))
	mustLog(t, tasks, most, logEntry(1, 2, "b", line), logEntry(1, 2, "c", "abcdef"), logEntry(1, 2, "d", "x"))
	want := line + line + "abcd\n" + storage.LogFull
	require.Equal(t, want, mustReadLog(t, tasks, 1, 2).Text)
	mustLog(t, tasks, most, logEntry(1, 2, "c", "abcdef"), logEntry(1, 2, "", "y"))
	require.Equal(t, want, mustReadLog(t, tasks, 1, 2).Text)

	createQueued(t, tasks, 2)
	mustLog(t, tasks, cost, logEntry(2, 2, "", line))
	require.Equal(t, line, mustReadLog(t, tasks, 2, 2).Text, "it fits to the byte")
	mustLog(t, tasks, cost, logEntry(2, 2, "", line))
	require.Equal(t, line+storage.LogFull, mustReadLog(t, tasks, 2, 2).Text)
}

func logSmall(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	entries := make([]storage.LogEntry, 100)
	for i := range entries {
		entries[i] = logEntry(1, 2, "", "\n")
	}
	mustLog(t, tasks, 10*(storage.LogEntryCost+1), entries...)
	require.Equal(t, strings.Repeat("\n", 10)+storage.LogFull, mustReadLog(t, tasks, 1, 2).Text)
}

func logCutsCharacters(t *testing.T, tasks storage.Tasks) {
	for n := range 5 {
		createQueued(t, tasks, n)
		mustLog(t, tasks, storage.LogEntryCost+n, logEntry(n, 2, "", "é☃☃☃"))
		text, full := strings.CutSuffix(mustReadLog(t, tasks, n, 2).Text, storage.LogFull)
		require.True(t, full)
		require.True(t, utf8.ValidString(text))
		require.Equal(t, map[int]string{0: "", 1: "", 2: "é\n", 3: "é\n", 4: "é\n"}[n], text)
	}
}

func logCleaned(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	entry := logEntry(1, 2, dirty, "a")
	noRun, noTask := logEntry(1, 2, "", "b"), logEntry(1, 2, "", "c")
	noRun.Run.ID, noTask.Run.TaskID = dirty, dirty
	outcomes, err := tasks.AppendRunLogs(t.Context(), []storage.LogEntry{entry, noRun, noTask, logEntry(1, 2, "", dirty)}, mostLog)
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrInvalidText, storage.ErrNotFound, storage.ErrNotFound, nil}, outcomes)
	require.Equal(t, cleaned+"\n", mustReadLog(t, tasks, 1, 2).Text)
}

func logPartlyFailing(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	mustLog(t, tasks, mostLog, logEntry(1, 2, "s", "first"))
	wrongTask, wrongNo := logEntry(1, 2, "s", "a"), logEntry(1, 2, "t", "b")
	wrongTask.Run.TaskID, wrongNo.Run.No = "task-none", 1
	outcomes, err := tasks.AppendRunLogs(t.Context(), []storage.LogEntry{
		wrongTask, logEntry(1, 2, "u", "second"), wrongNo, logEntry(7, 1, "", "c"), logEntry(1, 1, "", "other"),
	}, mostLog)
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrNotFound, nil, storage.ErrNotFound, storage.ErrNotFound, nil}, outcomes)
	require.Equal(t, "first\nsecond\n", mustReadLog(t, tasks, 1, 2).Text)
	require.Equal(t, "other\n", mustReadLog(t, tasks, 1, 1).Text)
}

func logRace(t *testing.T, tasks storage.Tasks) {
	const writers, each = 6, 10
	for n := range 3 {
		createQueued(t, tasks, n)
	}
	fail := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range each {
				var entries []storage.LogEntry
				for k := range 3 {
					entries = append(entries, logEntry((k+w)%3, 2, fmt.Sprintf("%d-%d", w/2, i), fmt.Sprintf("%d-%d", w/2, i)))
				}
				if _, err := tasks.AppendRunLogs(t.Context(), entries, mostLog); err != nil {
					fail <- err
					return
				}
			}
			fail <- nil
		}()
	}
	for range writers {
		require.NoError(t, <-fail)
	}
	for n := range 3 {
		got := strings.Split(strings.TrimSuffix(mustReadLog(t, tasks, n, 2).Text, "\n"), "\n")
		require.Len(t, got, writers/2*each, "two writers sent each")
		next := map[string]int{}
		for _, line := range got {
			var writer, i int
			_, err := fmt.Sscanf(line, "%d-%d", &writer, &i)
			require.NoError(t, err)
			require.Equal(t, next[fmt.Sprint(writer)], i, "in the order of their writer")
			next[fmt.Sprint(writer)]++
		}
	}
}

func logEnded(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	end := endStep(1, 1)
	end.Seq = 3
	end.Finished = []storage.RunFinish{{No: 2, Status: storage.RunOK, FinishedAt: after(time.Second)}}
	mustSettle(t, tasks, end)
	before := snapshot(t, tasks, 1)
	mustLog(t, tasks, mostLog, logEntry(1, 2, "", "last words"))
	require.Equal(t, storage.RunLog{Run: runRef(1, 2), Status: storage.RunOK, Text: "last words\n"}, mustReadLog(t, tasks, 1, 2))
	require.Equal(t, before, snapshot(t, tasks, 1))
}
