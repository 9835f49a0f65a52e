package httpx

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// relookup is how long addresses of a name are used before it is looked up
	// again: how soon a new replica gets its share.
	relookup = 2 * time.Second
	// firstDial is how long the address whose turn it is may take; then any
	// address of the name will do.
	firstDial = 2 * time.Second
	// maxNames bounds the names that are remembered. A process calls a handful.
	maxNames = 64
)

// spread shares requests out over the addresses of a name, one replica each,
// by turns. A plain http.Transport would not: it keeps its connections by name
// and reuses the latest, so at a moderate load a single replica gets nearly
// everything, and one that was added later nothing.
//
// Only requests by http go by turns: by https the certificate is for the name.
type spread struct {
	transport *http.Transport
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	names map[string]*replicas
}

// replicas are the addresses of one name.
type replicas struct {
	addrs []netip.Addr
	asked time.Time
	turn  int
}

// nameKey is the context's key for the host:port that a request was made for.
type nameKey struct{}

// newSpread takes the transport over: its connections are dialed by dialer.
func newSpread(transport *http.Transport, dialer *net.Dialer) *spread {
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		name, ok := ctx.Value(nameKey{}).(string)
		if !ok {
			return dialer.DialContext(ctx, network, address)
		}
		first, cancel := context.WithTimeout(ctx, firstDial)
		conn, err := dialer.DialContext(first, network, address)
		cancel()
		if err == nil {
			return conn, nil
		}
		// That replica is gone, which its name server may not know yet. Nothing
		// was sent, so another one can take the request.
		return dialer.DialContext(ctx, network, name)
	}
	return &spread{transport: transport, lookup: lookupHost, names: map[string]*replicas{}}
}

// lookupHost gives the addresses of the family that is preferred for the host;
// a replica with addresses of both would otherwise get two turns.
func lookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	same := found[:0]
	for _, addr := range found {
		if addr = addr.Unmap(); len(same) == 0 || addr.Is4() == same[0].Is4() {
			same = append(same, addr)
		}
	}
	return same, nil
}

// RoundTrip implements http.RoundTripper.
func (s *spread) RoundTrip(r *http.Request) (*http.Response, error) {
	addr, ok := s.next(r)
	if !ok {
		return s.transport.RoundTrip(r)
	}
	port := r.URL.Port()
	if port == "" {
		port = "80"
	}
	name := net.JoinHostPort(r.URL.Hostname(), port)
	sent := r.WithContext(context.WithValue(r.Context(), nameKey{}, name))
	target := *r.URL
	target.Host = net.JoinHostPort(addr.String(), port)
	sent.URL = &target
	if sent.Host == "" {
		sent.Host = r.URL.Host
	}
	resp, err := s.transport.RoundTrip(sent)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// CloseIdleConnections is called by http.Client's method of that name.
func (s *spread) CloseIdleConnections() { s.transport.CloseIdleConnections() }

// next is the address whose turn it is; none when the host has only one.
func (s *spread) next(r *http.Request) (netip.Addr, bool) {
	host := r.URL.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || r.URL.Scheme != "http" || host == "localhost" {
		return netip.Addr{}, false
	}
	s.refresh(r.Context(), host)

	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.names[host]
	if known == nil || len(known.addrs) < 2 {
		return netip.Addr{}, false
	}
	known.turn = (known.turn + 1) % len(known.addrs)
	return known.addrs[known.turn], true
}

// refresh looks the host up when that was a while ago. Whoever calls meanwhile
// makes do with what was known before, and so does everyone when it fails: the
// dial will say why.
func (s *spread) refresh(ctx context.Context, host string) {
	s.mu.Lock()
	known := s.names[host]
	if known == nil && len(s.names) < maxNames {
		known = &replicas{}
		s.names[host] = known
	}
	due := known != nil && time.Since(known.asked) >= relookup
	if due {
		known.asked = time.Now()
	}
	s.mu.Unlock()
	if !due {
		return
	}
	if found, err := s.lookup(ctx, host); err == nil {
		s.mu.Lock()
		known.addrs = found
		s.mu.Unlock()
	}
}
