//go:build !unix

package pgtest

import (
	"context"
	"fmt"
)

func startLocal(context.Context) (*Server, error) {
	return nil, fmt.Errorf("%w: no Docker engine answers, and throwaway clusters are made on Unix systems only", ErrNoServer)
}
