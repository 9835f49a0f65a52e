package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestBusiest_SumsTheServicesBeyondTheBound(t *testing.T) {
	t.Parallel()
	oldest := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	var services []storage.ServiceStats
	for n := range 250 {
		services = append(services, storage.ServiceStats{
			Service: fmt.Sprintf("service-%03d", n), Ready: 1 + n, Dead: 1, OldestReadyAt: oldest.Add(time.Duration(n) * time.Second),
		})
	}
	// A name that a worker has made up to be taken for the rest.
	services = append(services, storage.ServiceStats{Service: otherServices, Claimed: 7})

	shown := busiest(services)
	require.Len(t, shown, shownServices)
	require.Equal(t, "service-249", shown[0].Service)
	rest := shown[len(shown)-1]
	require.Equal(t, otherServices, rest.Service)
	require.Equal(t, oldest, rest.OldestReadyAt)
	require.Equal(t, 7, rest.Claimed)
	names, ready, dead := map[string]bool{}, 0, 0
	for _, s := range shown {
		names[s.Service] = true
		ready += s.Ready
		dead += s.Dead
	}
	require.Len(t, names, len(shown), "no name twice")
	require.Equal(t, 250*251/2, ready)
	require.Equal(t, 250, dead)

	require.Empty(t, busiest(nil))
}
