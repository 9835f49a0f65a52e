// Package cors tells browsers which pages of other origins may call the API.
// It owns the Access-Control headers; without an allowed origin it sends none,
// and browsers then refuse by themselves.
package cors

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// What a page of an allowed origin may send and read. Credentials (cookies)
// are never allowed: the API does not use them.
const (
	allowMethods  = "GET, HEAD, POST, OPTIONS"
	exposeHeaders = httpx.HeaderRequestID
	maxAge        = "600" // seconds that a browser keeps a preflight's answer
)

var allowHeaders = strings.Join([]string{
	"Authorization", "Content-Type", "Prefer", httpx.HeaderIdempotencyKey, httpx.HeaderRequestID,
}, ", ")

// Allow adds the headers for requests of the given origins ("*": of any) and
// hands every request on to next.
func Allow(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	all := slices.Contains(origins, "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Whatever the answer is, a shared cache must keep it apart by origin.
		w.Header().Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && (all || slices.Contains(origins, origin)) {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", exposeHeaders)
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", allowMethods)
				h.Set("Access-Control-Allow-Headers", allowHeaders)
				h.Set("Access-Control-Max-Age", maxAge)
			}
		}
		next.ServeHTTP(w, r)
	})
}
