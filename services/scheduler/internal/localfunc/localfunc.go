// Package localfunc holds the Go functions that a flow may call with exec_type
// local_func: small, quick, without side effects outside the process.
package localfunc

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Call is what a function is given.
type Call struct {
	TaskID string
	Node   string
	Input  json.RawMessage
	Params json.RawMessage
}

// Func returns a result, or why there is none. It must heed ctx when it can
// take long.
type Func func(ctx context.Context, call Call) (json.RawMessage, error)

// Registry maps names to functions. It is filled before the scheduler runs and
// only read after that.
type Registry map[string]Func

// Builtin is the registry of the functions that ship:
//
//   - echo: its input.
//   - upper: its input, else params.text, as a string in upper case.
//   - mul: the product of the input's numbers (an array, or a and b of an
//     object), or of the input and params.by.
//   - log_result: logs that it was called (never the payload); its input.
func Builtin(log *zap.Logger) Registry {
	return Registry{
		"echo":  func(_ context.Context, c Call) (json.RawMessage, error) { return c.Input, nil },
		"upper": upper,
		"mul":   mul,
		"log_result": func(_ context.Context, c Call) (json.RawMessage, error) {
			log.Info("log_result", zap.String("task_id", c.TaskID), zap.String("node", c.Node), zap.Int("bytes", len(c.Input)))
			return c.Input, nil
		},
	}
}

func upper(_ context.Context, c Call) (json.RawMessage, error) {
	text := c.Input
	if rawjson.IsNull(text) {
		text, _ = rawjson.Field(c.Params, "text")
	}
	if rawjson.TypeOf(text) != rawjson.String {
		return nil, fmt.Errorf("upper takes a string, as input or as params.text")
	}
	return rawjson.Quote(strings.ToUpper(rawjson.Text(text))), nil
}
