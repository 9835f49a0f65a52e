package httpx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// requests are the types that the services decode: those of their own embed one
// of these, as complete does.
func requests() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[document](),
		reflect.TypeFor[complete](),
		reflect.TypeFor[twins](),
		reflect.TypeFor[queueapi.PollRequest](),
		reflect.TypeFor[queueapi.PutJobsRequest](),
		reflect.TypeFor[queueapi.HeartbeatBatch](),
		reflect.TypeFor[queueapi.UpdateRunRequest](),
		reflect.TypeFor[queueapi.LogsRequest](),
		reflect.TypeFor[queueapi.ServiceLimits](),
		reflect.TypeFor[registryapi.RegisterRequest](),
		reflect.TypeFor[schedulerapi.CreateTaskRequest](),
		reflect.TypeFor[schedulerapi.SignalRequest](),
		reflect.TypeFor[schedulerapi.JobResults](),
		reflect.TypeFor[schedulerapi.RunsProgress](),
		reflect.TypeFor[schedulerapi.DecideRequest](),
		reflect.TypeFor[catalogapi.CreateVersionRequest](),
	}
}

type complete struct {
	queueapi.CompleteRequest
	Completions []queueapi.CompleteRequest `json:"completions"`
}

// twins has two fields for some names, numbers of every kind, and objects that
// several members may fill.
type twins struct {
	TaskID string  `json:"task_id" alias:"run_id,other"`
	RunID  string  `json:"runId"`
	Inner  twin    `json:"inner"`
	Twins  []twin  `json:"twins" alias:"pairs"`
	Number int64   `json:"number"`
	Small  int32   `json:"small"`
	Real   float64 `json:"real"`
	Bool   bool    `json:"bool"`
	Any    any     `json:"any"`
	Bytes  []byte  `json:"bytes"`
	Hidden string  `json:"-"`
	Plain  string
}

type twin struct {
	A      string          `json:"a_b"`
	B      *int            `json:"b"`
	Of     []twin          `json:"of"`
	Raw    json.RawMessage `json:"raw"`
	Labels map[string]int  `json:"labels"`
}

// bodies are seeds: each is tried on every type.
func bodies() []string {
	return []string{
		`{}`, ` {} `, `null`, "\n null\t", `[]`, `1`, `""`, `true`, ``, `{`, `{"a":1}x`, "{\"name\":\"\xff\"}", "{\"\xed\xa0\x80\":1}",
		`{"name":"a","name":"b","Name":"c","NAME":null,"na_me":"d"}`,
		`{"task_id":"a","TaskID":"b","run_id":"c","runId":"d","other":"e","RUNID":1}`,
		`{"inner":{"a_b":"x","b":1},"Inner":{"AB":"y"},"INNER":null,"in_ner":7}`,
		`{"twins":[{"a_b":"x"},null,{"of":[{"raw": [1 , 2] },{"b":null}]},3],"pairs":[],"twins":null}`,
		`{"twins":[{"of":[{"a_b":1,"b":"x","raw":null,"labels":{"a":1.5}},"x"]},[]],"inner":[],"twins.x":1,"twins[0].of[0].a_b":1}`,
		`{"number":1,"small":-0,"real":1e999,"bool":0,"any":{"a":[null]},"bytes":"YQ==","Plain":"x","-":"y","Hidden":1,"":2,"_":3}`,
		`{"number":9223372036854775808,"small":2147483648,"real":-0.0,"count":1.0}`, `{"number":-9223372036854775808,"count":"1"}`,
		`{"number":1E2,"count":9223372036854775807,"real":1}`, `{"number":-0,"count":null,"bool":null,"any":null,"bytes":null}`,
		"{\"\u212aey\":\"kelvin\",\"ta\u017fk_id\":\"long s\",\"TA\u0130\":1,\"t\\u0061sk_id\":\"x\",\"\\ud800\":1,\"\\udfff\":2,\"\ufffd\":3}",
		`{"name":"\u0000","text":"a\u0000b","services":["a","\u0000"],"labels":{"a":"\u0000","b\u0000":"c"},"inner":{"labels":{"\u0000":1}}}`,
		`{"value":{"a\u0000":["\u0000\ud800"]},"values":["\u0000", { "b" : 1 } ,null],"extra":{"a":"\u0000","b": 1 }}`,
		`{"name":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800x","text":"\\"}`, "{ \"name\" :\t\"a\" ,\r\n\"count\" : 2 , \"value\" : { \"x\" : \"}],\\\"\" } }",
		`{"id":"w","url":"queue","services":["a",null],"load":2.5,"max_concurrency":4,"labels":{"a":"b","a":"c"},"Load":1e300}`,
		`{"id":"w","services":null,"load":null,"labels":null,"retryable":null}`, `{"services":{},"labels":[],"load":"x","retryable":1,"ids":[1]}`,
		`{"worker_id":"w","completions":[{"queue_id":"q","result":{"a": 1},"retryable":false},{"QueueID":"q2","Result":null,"error":7}]}`,
		`{"queue_id":"q","workerId":"w","result":"x","token":"t","completions":{}}`,
		`{"jobs":[{"id":"job-1","visit":1,"attempt":"x","input":{"input":1},"available_at":1.5},{"taskId":"t","unknown":[[]]}]}`,
		`{"results":[{"task_id":"t","run_id":"r","result":[1],"finished_at":1700000000000,"retryable":true}],"runs":[{"status":"running","run_no":1}]}`,
		`{"claims":[{"queue_id":"q","token":"t"},{"a.b":1,"a":{"b":1}}],"visibility_ms":60000,"x.y":1,"x":2,"a":{},"a.b":3}`,
		`{"service":"s","max_claimed":1,"rate_per_second":0.5,"burst":1e0,"lines":["a","b\n"]}`,
	}
}

// FuzzUnmarshal_DoesAsTheBook holds Unmarshal to the values and to every fault
// of the plain way to decode, in their order.
func FuzzUnmarshal_DoesAsTheBook(f *testing.F) {
	for _, body := range bodies() {
		f.Add(body)
	}
	f.Fuzz(requireSame)
}

func TestUnmarshal_DoesAsTheBookInTheDeep(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990)
	requireSame(t, `{"value":`+deep+`,"params":`+deep+`,"unknown":{"a":`+deep+`}}`)
	requireSame(t, `{"value":`+strings.Replace(deep, "[]", "["+deep+"]", 1)+`}`)
}

func requireSame(t *testing.T, body string) {
	t.Helper()
	for _, kind := range requests() {
		for _, strictness := range []httpx.Strictness{httpx.Lenient, httpx.Strict} {
			want, got, data := reflect.New(kind), reflect.New(kind), []byte(body)
			wantErr := httpx.UnmarshalByTheBook([]byte(body), want.Interface(), strictness)
			gotErr := httpx.Unmarshal(data, got.Interface(), strictness)
			require.Equal(t, body, string(data))
			clear(data) // nothing that was decoded is a part of it
			require.Equal(t, refusal(wantErr), refusal(gotErr), "%s: %q", kind, body)
			require.Equal(t, want.Interface(), got.Interface(), "%s: %q", kind, body)
		}
	}
}

// refusal is everything that is said of a body.
func refusal(err error) string {
	if err == nil {
		return ""
	}
	var said *errs.Error
	if !errors.As(err, &said) {
		return err.Error()
	}
	return fmt.Sprintf("%s %s %+v", said.Code, err, said.Faults)
}
