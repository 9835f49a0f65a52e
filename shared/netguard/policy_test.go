package netguard_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/netguard"
)

func parse(t *testing.T, allow ...string) netguard.Policy {
	t.Helper()
	policy, err := netguard.ParsePolicy(allow)
	require.NoError(t, err)
	return policy
}

func TestCheck_OpenPolicyTakesAnyOrdinaryAddress(t *testing.T) {
	t.Parallel()
	policy := parse(t)
	for _, raw := range []string{
		"http://127.0.0.1:9000", "https://worker.example/base", "http://localhost:1", "http://my_worker:9000",
		"http://[::1]:9000", "http://10.0.0.1", "http://WORKER-1.ns.svc.cluster.local.:65535/", "http://0.0.0.0:80",
		"http://1worker", "http://v1.2x", "http://0xyz",
	} {
		require.Empty(t, policy.Check(raw), raw)
	}
}

func TestCheck_RefusesMetadataInEverySpelling(t *testing.T) {
	t.Parallel()
	// A list that would allow it changes nothing.
	for _, policy := range []netguard.Policy{parse(t), parse(t, "0.0.0.0/0", "::/0", "metadata", "*.internal")} {
		for _, host := range []string{
			"169.254.169.254", "169.254.0.1", "[fe80::1]", "[fe80::1%25eth0]", "[febf::1]", "[::ffff:169.254.169.254]",
			"[::ffff:a9fe:a9fe]", "[64:ff9b::169.254.169.254]", "100.100.100.200", "168.63.129.16", "192.0.0.192",
			"[fd00:ec2::254]", "[fd20:ce::254]", "metadata", "METADATA.google.Internal", "metadata.google.internal.",
			"metadata.goog", "instance-data", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "169.254.43518",
			"0251.0376.0251.0376", "169.254.169.0xfe", "169.254.169.254.", "１６９.254.169.254", "169。254。169。254",
		} {
			require.NotEmpty(t, policy.Check("http://"+host+":80/"), host)
		}
	}
}

func TestCheck_NamesEveryFault(t *testing.T) {
	t.Parallel()
	require.Len(t, parse(t, "10.0.0.0/8").Check("ftp://u:p@169.254.169.254:99999?q#f"), 5)
	for raw, fault := range map[string]string{
		"worker:9000":             "http://",
		"//worker":                "http://",
		"http://":                 "must name a host",
		"http://:9000":            "must name a host",
		"http://a..b":             "ASCII name",
		"http://" + long(254):     "ASCII name",
		"http://a b":              "is not a URL",
		"http://w:0":              "port",
		"http://w/x?":             "query",
		"http://bücher.example":   "ASCII name",
		"http://256.256.256.256/": "usual notation",
	} {
		require.Contains(t, strings.Join(parse(t).Check(raw), "; "), fault, raw)
	}
}

func TestCheck_HoldsURLsToTheList(t *testing.T) {
	t.Parallel()
	policy := parse(t, " 10.1.0.0/16", "192.168.0.7", "fd12::/16", "*.Workers.example.", "api.example")
	for _, host := range []string{
		"10.1.255.1", "[::ffff:10.1.2.3]", "192.168.0.7", "[fd12::9]", "a.workers.example", "a.b.WORKERS.example", "api.example.",
	} {
		require.Empty(t, policy.Check("http://"+host), host)
	}
	for _, host := range []string{
		"10.2.0.1", "192.168.0.8", "[fd13::9]", "workers.example", "evilworkers.example", "x.api.example", "api.example.evil", "localhost",
	} {
		require.NotEmpty(t, policy.Check("http://"+host), host)
	}
}

func long(n int) string { return strings.Repeat("a.", n/2) + "a" }

// Whatever passes has to be a URL that a client would take, at a host that the
// check has seen.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"http://10.0.0.1:9", "http://[fe80::1%25a]", "http://0x7f.1", "https://a.b/c", "http://x@y", "http://%31"} {
		f.Add(seed)
	}
	policy := netguard.Policy{}
	f.Fuzz(func(t *testing.T, raw string) {
		if len(policy.Check(raw)) > 0 {
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.NotEmpty(t, u.Hostname())
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			require.False(t, addr.Unmap().IsLinkLocalUnicast())
		}
		require.Nil(t, u.User)
	})
}
