package flow

import (
	"errors"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/yamljson"
)

// ParseYAML reads a definition from YAML: it is turned into JSON text first,
// so the model and the faults are those of Parse.
func ParseYAML(data []byte) (*Definition, []errs.Fault) {
	text, err := yamljson.Convert(data)
	if err != nil {
		var faults faultList
		faults.add("", yamlFaultCode(err), "%s", err)
		return nil, faults.faults
	}
	return Parse(text)
}

func yamlFaultCode(err error) string {
	switch {
	case errors.Is(err, yamljson.ErrTooLarge):
		return CodeTooLarge
	case errors.Is(err, yamljson.ErrTooDeep):
		return CodeTooDeep
	default:
		return CodeMalformed
	}
}
