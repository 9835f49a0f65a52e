package contract

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// What a schema describes decides which members it must require: an answer has
// every member that its type always writes, a request's are the reader's rules.
type direction string

const (
	request direction = "request"
	answer  direction = "answer"
)

type wireType struct {
	direction direction
	goType    reflect.Type
}

func requestOf[T any]() wireType { return wireType{request, reflect.TypeFor[T]()} }
func answerOf[T any]() wireType  { return wireType{answer, reflect.TypeFor[T]()} }

// objects are the wire types by the name of their schema.
var objects = map[string]wireType{
	"OK":      answerOf[schedulerapi.OK](),
	"Created": answerOf[schedulerapi.Created](),
	"Problem": answerOf[httpx.Problem](),
	"Fault":   answerOf[errs.Fault](),

	"RegisterWorkerRequest":   requestOf[registryapi.RegisterRequest](),
	"HeartbeatWorkerRequest":  requestOf[registryapi.HeartbeatRequest](),
	"DeregisterWorkerRequest": requestOf[registryapi.DeregisterRequest](),
	"Worker":                  answerOf[registryapi.Worker](),

	"CreateFlowRequest":        requestOf[catalogapi.CreateFlowRequest](),
	"Flow":                     answerOf[catalogapi.Flow](),
	"FlowList":                 answerOf[httpx.List[catalogapi.Flow]](),
	"CreateFlowVersionRequest": requestOf[catalogapi.CreateVersionRequest](),
	"ValidateFlowRequest":      requestOf[catalogapi.ValidateRequest](),
	"ValidationReport":         answerOf[catalogapi.ValidationReport](),
	"FlowVersionCreated":       answerOf[catalogapi.VersionCreated](),
	"FlowVersion":              answerOf[catalogapi.Version](),

	"CreateTaskRequest": requestOf[schedulerapi.CreateTaskRequest](),
	"Task":              answerOf[schedulerapi.Task](),
	"BranchError":       answerOf[schedulerapi.BranchError](),
	"TaskError":         answerOf[schedulerapi.TaskError](),
	"TaskList":          answerOf[httpx.List[schedulerapi.Task]](),
	"Run":               answerOf[schedulerapi.Run](),
	"RunLog":            answerOf[schedulerapi.RunLog](),
	"TaskEvent":         answerOf[schedulerapi.Event](),
	"TaskEvents":        answerOf[schedulerapi.Events](),
	"SignalRequest":     requestOf[schedulerapi.SignalRequest](),
	"Approval":          answerOf[schedulerapi.Approval](),
	"ApprovalList":      answerOf[httpx.List[schedulerapi.Approval]](),
	"DecideRequest":     requestOf[schedulerapi.DecideRequest](),

	"PollRequest":         requestOf[queueapi.PollRequest](),
	"Job":                 answerOf[queueapi.Job](),
	"Jobs":                answerOf[queueapi.Jobs](),
	"CompleteJobRequest":  requestOf[queueapi.CompleteRequest](),
	"HeartbeatJobRequest": requestOf[queueapi.HeartbeatRequest](),
	"ServiceStats":        answerOf[queueapi.ServiceStats](),

	"CompleteJobsRequest":  requestOf[queueapi.CompleteBatch](),
	"HeartbeatJobsRequest": requestOf[queueapi.HeartbeatBatch](),
	"Claim":                requestOf[queueapi.Claim](),
	"JobOutcomes":          answerOf[queueapi.Outcomes](),
	"JobOutcome":           answerOf[queueapi.Outcome](),
	"UpdateRunRequest":     requestOf[queueapi.UpdateRunRequest](),
	"AddRunLogRequest":     requestOf[queueapi.LogsRequest](),
	"DeadJob":              answerOf[queueapi.DeadJob](),
	"DeadJobList":          answerOf[httpx.List[queueapi.DeadJob]](),
	"JobIDs":               requestOf[queueapi.JobIDs](),
	"ServiceLimits":        answerOf[queueapi.ServiceLimits](),
}

// enums are the values that a schema of a string must list, by its name.
var enums = map[string][]string{
	"ErrorCode":     texts(slices.Collect(maps.Keys(errs.Codes()))),
	"TaskStatus":    texts(storage.TaskStatuses),
	"RunStatus":     texts(storage.RunStatuses),
	"WaitKind":      texts(storage.WaitKinds),
	"EventKind":     texts(storage.EventKinds),
	"VersionStatus": texts(storage.VersionStatuses),
	"JobStatus":     texts(storage.JobStatuses),
	"WorkerType":    texts(storage.WorkerTypes),
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func TestSchemas_AreTheWireTypes(t *testing.T) {
	t.Parallel()
	for name, schema := range document(t).Components.Schemas {
		if wire, ok := objects[name]; ok {
			requireSame(t, name, schema.Value, wire)
			continue
		}
		values, ok := enums[name]
		require.True(t, ok, "schema %s describes no wire type", name)
		var listed []string
		for _, v := range schema.Value.Enum {
			text, _ := v.(string)
			listed = append(listed, text)
		}
		require.ElementsMatch(t, values, listed, "values of %s", name)
	}
}

func TestSchemas_DescribeEveryWireType(t *testing.T) {
	t.Parallel()
	schemas := document(t).Components.Schemas
	for name := range objects {
		require.Contains(t, schemas, name)
	}
	for name := range enums {
		require.Contains(t, schemas, name)
	}
}

// requireSame holds a schema's members to the fields of a Go type, with their
// kinds.
func requireSame(t *testing.T, name string, schema *openapi3.Schema, wire wireType) {
	t.Helper()
	var fields, always []string
	for _, f := range reflect.VisibleFields(wire.goType) {
		member, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if member == "" || member == "-" {
			continue
		}
		fields = append(fields, member)
		if !strings.Contains(options, "omitempty") {
			always = append(always, member)
		}
		if property := schema.Properties[member]; property != nil {
			if want := kindOf(f.Type); want != "" && property.Value.Type != nil {
				require.Contains(t, property.Value.Type.Slice(), want, "type of %s.%s", name, member)
			}
		}
	}
	require.ElementsMatch(t, fields, slices.Collect(maps.Keys(schema.Properties)), "members of %s", name)
	if wire.direction == answer {
		require.ElementsMatch(t, always, schema.Required, "required members of %s", name)
	}
	require.Subset(t, fields, schema.Required, "required members of %s", name)
}

// kindOf is the JSON type that a Go type is written as; "" when it may be any.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return openapi3.TypeString
	case reflect.Bool:
		return openapi3.TypeBoolean
	case reflect.Int, reflect.Int64:
		return openapi3.TypeInteger
	case reflect.Map:
		return openapi3.TypeObject
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 { // json.RawMessage
			return ""
		}
		return openapi3.TypeArray
	case reflect.Pointer:
		return kindOf(t.Elem())
	default:
		return ""
	}
}

var codeRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d{3}) \\|")

func TestErrorCodes_AreExplainedWithTheirStatus(t *testing.T) {
	t.Parallel()
	explained := map[errs.Code]int{}
	for _, row := range codeRow.FindAllStringSubmatch(document(t).Components.Schemas["ErrorCode"].Value.Description, -1) {
		status, err := strconv.Atoi(row[2])
		require.NoError(t, err)
		explained[errs.Code(row[1])] = status
	}
	require.Equal(t, errs.Codes(), explained)
}
