package httpx

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// relookup is how long addresses of a name are used before it is looked up
	// again: how soon a new replica gets its share.
	relookup = 2 * time.Second
	// lookupTime bounds a look that nobody waits for.
	lookupTime = 10 * time.Second
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
	aside map[netip.Addr]time.Time // those that could not be dialed, until then
	asked time.Time
	turn  int

	looking bool
}

// newSpread takes the transport over: its connections are dialed by dialer.
func newSpread(transport *http.Transport, dialer *net.Dialer) *spread {
	transport.DialContext = dialer.DialContext
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

// RoundTrip implements http.RoundTripper. A replica that cannot be dialed is set
// aside, and another one gets the request, of which nothing was sent.
func (s *spread) RoundTrip(r *http.Request) (*http.Response, error) {
	for tries := 1; ; tries++ {
		addr, of, ok := s.next(r)
		if !ok {
			return s.transport.RoundTrip(r)
		}
		resp, err := s.transport.RoundTrip(sentTo(addr, r))
		if resp != nil {
			resp.Request = r
		}
		if !notDialed(r, err) || tries >= of {
			return resp, err
		}
		s.setAside(r.URL.Hostname(), addr)
		if r.Body != nil && r.Body != http.NoBody {
			body, again := r.GetBody()
			if again != nil {
				return nil, err
			}
			r = r.WithContext(r.Context())
			r.Body = body
		}
	}
}

func sentTo(addr netip.Addr, r *http.Request) *http.Request {
	sent := r.WithContext(r.Context())
	target := *r.URL
	target.Host = addr.String()
	if port := r.URL.Port(); port != "" {
		target.Host = net.JoinHostPort(target.Host, port)
	} else if addr.Is6() {
		target.Host = "[" + target.Host + "]"
	}
	sent.URL = &target
	if sent.Host == "" {
		sent.Host = r.URL.Host
	}
	return sent
}

// notDialed tells whether the request failed before anything of it was sent, and
// can be made again.
func notDialed(r *http.Request, err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial" && r.Context().Err() == nil &&
		(r.Body == nil || r.Body == http.NoBody || r.GetBody != nil)
}

// setAside passes an address over until the name has been looked up anew.
func (s *spread) setAside(host string, addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.names[host]; known != nil {
		known.aside[addr] = time.Now().Add(relookup)
	}
}

// CloseIdleConnections is called by http.Client's method of that name.
func (s *spread) CloseIdleConnections() { s.transport.CloseIdleConnections() }

// next is the address whose turn it is, of so many; none when the host has only
// one.
func (s *spread) next(r *http.Request) (addr netip.Addr, of int, ok bool) {
	host := r.URL.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || r.URL.Scheme != "http" || host == "localhost" {
		return netip.Addr{}, 0, false
	}
	s.refresh(r.Context(), host)

	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.names[host]
	if known == nil || len(known.addrs) < 2 {
		return netip.Addr{}, 0, false
	}
	of = len(known.addrs)
	for range of {
		known.turn = (known.turn + 1) % of
		addr = known.addrs[known.turn]
		if until, aside := known.aside[addr]; !aside || !time.Now().Before(until) {
			break // or else, when all are aside, the next in turn
		}
	}
	return addr, of, true
}

// refresh looks the host up when that was a while ago. The first request waits
// for it; later ones do not, and make do with what was known before, as when it
// fails: a name server that is away must not hold up what has connections.
func (s *spread) refresh(ctx context.Context, host string) {
	s.mu.Lock()
	known, first := s.names[host], false
	if known == nil && len(s.names) < maxNames {
		known, first = &replicas{aside: map[netip.Addr]time.Time{}}, true
		s.names[host] = known
	}
	due := known != nil && !known.looking && time.Since(known.asked) >= relookup
	if due {
		known.looking = true
	}
	s.mu.Unlock()
	switch {
	case !due:
	case first:
		s.look(ctx, host, known)
	default:
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
			defer cancel()
			s.look(ctx, host, known)
		}()
	}
}

func (s *spread) look(ctx context.Context, host string, known *replicas) {
	found, err := s.lookup(ctx, host)
	s.mu.Lock()
	defer s.mu.Unlock()
	known.asked, known.looking = time.Now(), false
	if err == nil {
		known.addrs = found
		maps.DeleteFunc(known.aside, func(addr netip.Addr, _ time.Time) bool { return !slices.Contains(found, addr) })
	}
}
