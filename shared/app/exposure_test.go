package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/app"
)

func TestCheckAddr_LetsOnlyLoopbackPassUnlessTold(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:8070", "[::1]:8070", "localhost:0", "127.9.9.9:1"} {
		require.NoError(t, app.Process{}.CheckAddr(addr), addr)
	}
	for _, addr := range []string{":8070", "0.0.0.0:8070", "[::]:8070", "10.1.2.3:8070", "example.com:80"} {
		require.ErrorContains(t, app.Process{}.CheckAddr(addr), "--insecure", addr)
		require.NoError(t, app.Process{Insecure: true}.CheckAddr(addr), addr)
	}
	require.ErrorContains(t, app.Process{Insecure: true}.CheckAddr("8070"), "host:port")
}
