package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// adminServer is the listener for operators; nil when there is none.
type adminServer struct {
	server *http.Server
	ended  chan struct{}
}

func startAdmin(ctx context.Context, p ServeParams) (*adminServer, error) {
	if p.AdminAddr == "" {
		return nil, nil //nolint:nilnil // no admin address, no server: stop takes that
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", p.AdminAddr)
	if err != nil {
		return nil, fmt.Errorf("listen at the admin address: %w", err)
	}
	p.Log.Info("admin_listening", zap.String("addr", listener.Addr().String()))
	if p.AdminStarted != nil {
		p.AdminStarted(listener.Addr())
	}
	// No time-out of answers: a profile takes as long as it was asked to.
	a := &adminServer{ended: make(chan struct{}), server: &http.Server{
		Handler:           p.Admin,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(p.Log),
	}}
	go func() {
		defer close(a.ended)
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.Log.Error("admin_ended", zap.Error(err))
		}
	}()
	return a, nil
}

// stop ends the listener and what is under way at it.
func (a *adminServer) stop() {
	if a == nil {
		return
	}
	_ = a.server.Close()
	<-a.ended
}
