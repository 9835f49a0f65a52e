package httpx

import "context"

type requestIDKey struct{}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id of the request that ctx belongs to; "" outside one. The
// client hands it on, so that one id follows a request through all services.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

type withinProcessKey struct{}

// WithinProcess marks the context of a request that one service of a process
// makes of another, without a socket.
func WithinProcess(ctx context.Context) context.Context {
	return context.WithValue(ctx, withinProcessKey{}, true)
}

func withinProcess(ctx context.Context) bool { return ctx.Value(withinProcessKey{}) != nil }
