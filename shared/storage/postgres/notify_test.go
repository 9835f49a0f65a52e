package postgres

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const sender, another = "@me", "@you"

func TestPack_KeepsPayloadsWithinTheServersLimit(t *testing.T) {
	t.Parallel()
	hints := make([]string, 1000)
	for i := range hints {
		hints[i] = fmt.Sprintf("task-%036d", i)
	}
	payloads := pack(sender, hints)
	require.Greater(t, len(payloads), 1)
	var heard []string
	for _, payload := range payloads {
		require.LessOrEqual(t, len(payload), maxPayload)
		require.Empty(t, unpack(payload, sender), "the own ones")
		heard = append(heard, unpack(payload, another)...)
	}
	require.Equal(t, hints, heard)
	long := strings.Repeat("x", maxPayload+1)
	require.Equal(t, []string{"@me\none\ntwo"}, pack(sender, []string{"one", long, "two"}))
	require.Empty(t, pack(sender, []string{long}))
	require.Empty(t, pack(sender, nil))
}

func TestUnpack_HearsTheVersionBefore(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"one", "two"}, unpack("one\ntwo", sender))
}

func TestNotifier_SendsTheFirstAtOnceAndTheRestTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type sending struct {
			at    time.Duration
			hints []string
		}
		n, done, began := newNotifier(), make(chan struct{}), time.Now()
		var sent []sending
		var running sync.WaitGroup
		running.Go(func() {
			n.run(done, func(hints []string) { sent = append(sent, sending{time.Since(began), hints}) })
		})
		n.add([]string{"a"})
		synctest.Wait()
		n.add([]string{"c", "b"})
		n.add([]string{"b", "d"})
		time.Sleep(hintPace) //nolint:forbidigo // on a fake clock
		synctest.Wait()
		n.add([]string{"last"})
		close(done)
		running.Wait()
		require.Equal(t, []sending{{0, []string{"a"}}, {hintPace, []string{"b", "c", "d"}}, {hintPace, []string{"last"}}}, sent)
	})
}
