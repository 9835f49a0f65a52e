package obs

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// tracesPath is where a collector takes spans over HTTP.
const tracesPath = "/v1/traces"

// exportTimeout bounds the sending of a batch of spans, and at the end of the
// process of what is left.
const exportTimeout = 5 * time.Second

// traces is a process's way out for spans.
type traces struct {
	provider trace.TracerProvider // nil: nobody records any
	shutdown func(context.Context) error
}

// newTraces sends spans to the collector of the settings; without one nobody
// records any. Spans go out in batches beside the work, and are dropped when the
// collector cannot keep up: nothing ever waits for it.
func newTraces(cfg Config, log *zap.Logger) (traces, error) {
	if cfg.TraceEndpoint == "" {
		return traces{shutdown: func(context.Context) error { return nil }}, nil
	}
	endpoint, err := url.Parse(cfg.TraceEndpoint)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		return traces{}, fmt.Errorf("trace endpoint: %q is not http://host:port", cfg.TraceEndpoint)
	}
	exporter, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(endpoint.JoinPath(tracesPath).String()),
		otlptracehttp.WithTimeout(exportTimeout))
	if err != nil {
		return traces{}, fmt.Errorf("make the exporter of traces: %w", err)
	}
	// The library has one place for the errors of exporters, for the process.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("traces_not_exported", zap.Error(err))
	}))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithExportTimeout(exportTimeout)),
		// A trace that came with a request is recorded if its sender records it.
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.TraceRatio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cfg.Name),
			attribute.String("service.version", cfg.Version),
		)),
	)
	return traces{provider, provider.Shutdown}, nil
}

// Close sends what spans are left, within a bounded time.
func (t *Telemetry) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), exportTimeout)
	defer cancel()
	if err := t.shutdown(ctx); err != nil {
		t.Log.Warn("traces_not_exported", zap.Error(err))
	}
}
