package gateway

import (
	_ "embed"
	"net/http"
)

// OpenAPI is the description of the whole API (OpenAPI 3.1, YAML).
//
//go:embed openapi.yaml
var OpenAPI []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	// A failed write means that the caller has gone; there is nobody to tell.
	_, _ = w.Write(OpenAPI)
	return nil
}
