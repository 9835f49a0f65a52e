package netguard_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/netguard"
)

func TestControl_RefusesMetadataInEverySpelling(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"169.254.169.254:80", "169.254.0.1:9000", "[fe80::1]:80", "[fe80::1%eth0]:80", "[::ffff:169.254.169.254]:80",
		"[64:ff9b::169.254.169.254]:80", "100.100.100.200:80", "168.63.129.16:80", "[fd00:ec2::254]:80", "[ff02::1]:80",
		"", "169.254.169.254", "metadata:80", "/run/docker.sock",
	} {
		require.ErrorIs(t, netguard.Control("tcp", address, nil), netguard.ErrForbidden, address)
	}
}

func TestControl_LetsOrdinaryAddressesThrough(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:80", "[::1]:80", "10.0.0.1:9000", "[::ffff:10.0.0.1]:9000", "203.0.113.7:443", "[fd12::9]:1"} {
		require.NoError(t, netguard.Control("tcp", address, nil), address)
	}
}

func TestControl_StopsACallBeforeItConnects(t *testing.T) {
	t.Parallel()
	worker := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(worker.Close)
	transport := &http.Transport{DialContext: (&net.Dialer{Control: netguard.Control}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	get := func(url string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		resp, err := client.Do(r)
		if err == nil {
			require.NoError(t, resp.Body.Close())
		}
		return err
	}
	require.NoError(t, get(worker.URL))
	require.ErrorIs(t, get("http://169.254.169.254/latest/meta-data"), netguard.ErrForbidden)
	require.ErrorIs(t, get("http://[fe80::1%25lo]:80/"), netguard.ErrForbidden)
}
