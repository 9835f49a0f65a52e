package engine

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestTimer_FiresWhenItIsDueAndNeverBefore(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"delay":              `"delay_ms":1500`,
		"delay in params":    `"params":{"delay_ms":1500}`,
		"delay by reference": `"delay_ms":"$params.wait"`,
		"until text":         `"until":"` + epoch.Add(1500*time.Millisecond).Format(time.RFC3339Nano) + `"`,
		"until reference":    `"until":"$params.until"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := play(t, replace(`{"start":"t","nodes":{"t":{"kind":"timer",%S%,"post":{"action_static":"go"}},"a":{"kind":"executor","service":"s"}},
				"edges":[{"from":"t","action":"go","to":"a"}]}`, "%S%", setting),
				replace(`{"wait":1500,"until":%U%}`, "%U%", strconv.FormatInt(epoch.Add(1500*time.Millisecond).UnixMilli(), 10)))
			require.Equal(t, storage.TaskWaiting, p.state.Status)
			require.Equal(t, storage.RunRunning, p.runs[0].Status)
			require.Equal(t, epoch.Add(1500*time.Millisecond), p.state.NextDue())
			p.wait(1499 * time.Millisecond)
			require.Equal(t, storage.TaskWaiting, p.state.Status)
			p.wait(time.Millisecond)
			require.Equal(t, "a", p.take().Path)
			require.Equal(t, storage.RunOK, p.runs[0].Status)
			require.Equal(t, "go", p.runs[0].Action)
			p.wait(time.Hour)
			require.Len(t, p.runs, 2, "it fires once")
		})
	}
}

func TestTimer_OfAMillisecondIsNotPastYet(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","delay_ms":1}}}`, `{}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	p.wait(time.Millisecond - time.Microsecond)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	p.wait(time.Microsecond)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
}

func TestTimer_ThatIsPastFiresAtOnce(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","until":"2020-01-01T00:00:00Z"},"a":{"kind":"executor","service":"s"}},"edges":[{"from":"t","to":"a"}]}`, `{}`)
	require.Equal(t, "a", p.take().Path)
	require.Equal(t, p.now, p.runs[0].FinishedAt)
}

func TestTimer_OfAnUnfitTimeFailsTheNode(t *testing.T) {
	t.Parallel()
	for _, params := range []string{`{"until":"soon"}`, `{}`} {
		p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","until":"$params.until"}}}`, params)
		require.Equal(t, storage.TaskFailed, p.state.Status)
		require.Equal(t, CodeBadSetting, p.state.Failure.Code)
		require.Equal(t, storage.RunError, p.runs[0].Status)
	}
}

func TestTimer_IsCanceledWithItsTask(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","delay_ms":1000}}}`, `{}`)
	p.apply(Event{Kind: storage.EventCancel})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Equal(t, storage.RunCanceled, p.runs[0].Status)
	require.Empty(t, p.aborted, "nobody executes it")
}
