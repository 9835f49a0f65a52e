package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/pause"
)

// Dependent is a Service that calls other processes of the suite. Serve looks
// after them, and /readyz tells how they are; that one is away changes what the
// body says and not whether the service is ready: it serves what it can, and
// holds what it cannot until the peer is back. If readiness went by the peers',
// one that restarts would take everything out of rotation that calls it.
type Dependent interface {
	// Peers are those that it calls.
	Peers() []Peer
}

// Peer is another process of the suite.
type Peer struct {
	Name string
	URL  string // base
}

// PeerStatus says how a peer is.
type PeerStatus string

// What is known of a peer.
const (
	PeerUnknown PeerStatus = "unknown" // it has not been asked yet
	PeerOK      PeerStatus = "ok"
	PeerAway    PeerStatus = "away" // it does not answer, or says that it is not ready
)

// PeerReport is a peer as /readyz tells of it. Nothing in it says where the
// peer is: the gateway's probe may be there for everyone to read.
type PeerReport struct {
	Name   string     `json:"name"`
	Status PeerStatus `json:"status"`
	// SinceAt is when it became so, in Unix milliseconds; 0 while unknown.
	SinceAt int64 `json:"since_at"`
}

const (
	// peerInterval is how often each peer is asked, and so how old a report is.
	peerInterval = 2 * time.Second
	peerTimeout  = time.Second
)

// peerWatch asks the peers in turn, so that a probe of this process has the
// answer at hand: asked while a probe waits, one peer that hangs would make
// those who call it look dead, and two that call each other would never answer.
type peerWatch struct {
	peers []Peer
	http  *http.Client
	log   *zap.Logger

	mu      sync.Mutex
	reports []PeerReport
}

// watchPeers makes the watch over a service's peers, of which it may have none.
// It starts nothing.
func watchPeers(s Service, log *zap.Logger) *peerWatch {
	w := &peerWatch{http: httpx.NewHTTPClient(), log: log}
	if d, ok := s.(Dependent); ok {
		w.peers = d.Peers()
	}
	for _, peer := range w.peers {
		w.reports = append(w.reports, PeerReport{Name: peer.Name, Status: PeerUnknown})
	}
	return w
}

// run asks until ctx ends.
func (w *peerWatch) run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range w.peers {
		all.Go(func() {
			for ok := true; ok; ok = pause.For(ctx, peerInterval) {
				err := w.ask(ctx, w.peers[i])
				if ctx.Err() != nil {
					return
				}
				w.note(i, err)
			}
		})
	}
	all.Wait()
	w.http.CloseIdleConnections()
}

func (w *peerWatch) ask(ctx context.Context, peer Peer) error {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(peer.URL, "/")+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	// Read to the end, so that the connection serves again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 16<<10))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

// note logs only what changes: a peer may be away for hours.
func (w *peerWatch) note(i int, err error) {
	status := PeerOK
	if err != nil {
		status = PeerAway
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.reports[i].Status
	if before == status {
		return
	}
	w.reports[i].Status, w.reports[i].SinceAt = status, time.Now().UnixMilli()
	name := zap.String("peer", w.peers[i].Name)
	switch {
	case status == PeerAway:
		w.log.Warn("peer_away", name, zap.Error(err))
	case before == PeerAway:
		w.log.Info("peer_back", name)
	}
}

// report is what is known of the peers now, and whether all of them are well.
func (w *peerWatch) report() (reports []PeerReport, well bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	well = true
	for _, r := range w.reports {
		well = well && r.Status != PeerAway
	}
	return append([]PeerReport(nil), w.reports...), well
}
