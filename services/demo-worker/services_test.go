package demoworker

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/worker"
)

func TestServices(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, input, params string
		service             worker.Handler
		want                string // the result's JSON
		wantErr             string
	}{
		{name: "Transform_UppersItsInput", service: transform, input: `"héllo"`, want: `"HÉLLO"`},
		{name: "Transform_PrefersInputToParamsText", service: transform, input: `"a"`, params: `{"text":"b"}`, want: `"A"`},
		{name: "Transform_UppersParamsTextWithoutInput", service: transform, params: `{"text":"b"}`, want: `"B"`},
		{name: "Transform_UppersInputText", service: transform, input: `{"text":"b"}`, want: `"B"`},
		{name: "Transform_TakesOpFromInput", service: transform, input: `{"text":"B","op":"lower"}`, want: `"b"`},
		{name: "Transform_PrefersParamsOp", service: transform, input: `{"text":"b","op":"lower"}`, params: `{"op":"upper"}`, want: `"B"`},
		{name: "Transform_TakesEmptyText", service: transform, input: `""`, want: `""`},
		{name: "Transform_RefusesUnknownOp", service: transform, input: `"x"`, params: `{"op":"spin"}`, wantErr: `transform: params.op "spin" is not one of [upper lower mul]`},
		{name: "Transform_RefusesOpOfWrongType", service: transform, input: `"x"`, params: `{"op":1}`, wantErr: `transform: params.op must be a text, it is 1`},
		{name: "Transform_RefusesNumberAsText", service: transform, input: `7`, wantErr: `transform: the input must be a text or an object with text, it is 7`},
		{name: "Transform_RefusesNothing", service: transform, wantErr: `transform: there is neither an input nor params.text`},

		{name: "Mul_ByParams", service: transform, input: `6`, params: `{"op":"mul","by":7}`, want: `42`},
		{name: "Mul_IsExact", service: transform, input: `0.1`, params: `{"op":"mul","by":9007199254740993}`, want: `900719925474099.3`},
		{name: "Mul_ReadsExponents", service: transform, input: `1.5e3`, params: `{"op":"mul","by":-2}`, want: `-3000`},
		{name: "Mul_EachOfAnArray", service: transform, input: `[1,2.5]`, params: `{"op":"mul","by":2}`, want: `[2,5]`},
		{name: "Mul_ArrayWithOneAnother", service: transform, input: `[2,3,4]`, params: `{"op":"mul"}`, want: `24`},
		{name: "Mul_Pair", service: transform, input: `{"a":6,"b":7}`, params: `{"op":"mul"}`, want: `42`},
		{name: "Mul_PairOfParams", service: transform, params: `{"op":"mul","a":6,"b":7}`, want: `42`},
		{name: "Mul_RefusesMissingFactor", service: transform, input: `{"a":6}`, params: `{"op":"mul"}`, wantErr: `transform: mul: input.b is missing`},
		{name: "Mul_RefusesMissingBy", service: transform, input: `6`, params: `{"op":"mul"}`, wantErr: `transform: mul: params.by is required to multiply a single number`},
		{name: "Mul_RefusesText", service: transform, input: `"6"`, params: `{"op":"mul","by":2}`, wantErr: `transform: mul: the input must be a number, an array of numbers or an object with a and b: "6" is not a number`},
		{name: "Mul_RefusesHugeExponent", service: transform, input: `1e999999999`, params: `{"op":"mul","by":2}`, wantErr: `transform: mul: the input must be a number, an array of numbers or an object with a and b: the exponent of 1e999999999 is not within ±1000`},
		{name: "Mul_RefusesEndlessProduct", service: transform, input: `[` + strings.Repeat("1e1000,", 20) + `1]`, params: `{"op":"mul"}`, wantErr: `transform: mul: the product has more than 1000 digits`},

		{name: "Flaky_FailsTheFirstAttempts", service: flaky, input: `1`, params: `{"failures":1}`, wantErr: "not yet"},
		{name: "Flaky_FailsWithItsMessage", service: flaky, input: `1`, params: `{"failures":9,"message":"no stock","retryable":false}`, wantErr: "no stock"},
		{name: "Flaky_ThenReturnsItsInput", service: flaky, input: `{"a":1}`, params: `{"failures":0}`, want: `{"a":1}`},
		{name: "Flaky_RefusesText", service: flaky, params: `{"failures":"two"}`, wantErr: "params: json: cannot unmarshal string into Go struct field .failures of type int"},

		{name: "Nap_ReturnsItsInput", service: nap, input: `"x"`, params: `{"ms":0.5}`, want: `"x"`},
		{name: "Nap_TakesItsInput", service: nap, input: `1`, want: `1`},
		{name: "Nap_RefusesText", service: nap, input: `"x"`, wantErr: `nap: the input must be a number of milliseconds: "x" is not a number`},
		{name: "Nap_RefusesHours", service: nap, params: `{"ms":3600000}`, wantErr: "nap: params.ms must be from 0 to 60000 milliseconds"},

		{name: "Sum_OfArray", service: sum, input: `[1,2,3.5]`, want: `6.5`},
		{name: "Sum_IsExact", service: sum, input: `[0.1,0.2,9007199254740993]`, want: `9007199254740993.3`},
		{name: "Sum_OfNothing", service: sum, input: `[]`, want: `0`},
		{name: "Sum_OfObjectsNumbers", service: sum, input: `{"a":1,"b":2,"name":"x","none":null}`, want: `3`},
		{name: "Sum_OfParamsWithoutInput", service: sum, params: `{"values":[1,2]}`, want: `3`},
		{name: "Sum_RefusesTextItem", service: sum, input: `[1,"2"]`, wantErr: `sum: the input must be an array of numbers or an object: item 1: "2" is not a number`},
		{name: "Sum_RefusesText", service: sum, input: `"12"`, wantErr: `sum: the input must be an array of numbers or an object: "12" is not an array`},

		{name: "Route_ByParams", service: route, input: `{"action":"goC"}`, params: `{"action":"goB"}`, want: `{"action":"goB"}`},
		{name: "Route_ByInput", service: route, input: `{"action":"goC"}`, want: `{"action":"goC"}`},
		{name: "Route_AboveThreshold", service: route, input: `10`, params: `{"threshold":10}`, want: `{"action":"above"}`},
		{name: "Route_BelowThreshold", service: route, input: `{"value":9.99}`, params: `{"threshold":10,"below":"goC"}`, want: `{"action":"goC"}`},
		{name: "Route_RefusesNoValue", service: route, input: `{}`, params: `{"threshold":10}`, wantErr: `route: input.value must be a number: nothing is not a number`},
		{name: "Route_RefusesNothing", service: route, wantErr: `route: there is neither params.action nor input.action nor params.threshold`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			job := worker.Job{Input: json.RawMessage(cmp.Or(c.input, "null")), Params: json.RawMessage(cmp.Or(c.params, "{}"))}
			got, err := c.service(context.Background(), job)
			if c.wantErr != "" {
				require.EqualError(t, err, c.wantErr)
				return
			}
			require.NoError(t, err)
			data, err := json.Marshal(got)
			require.NoError(t, err)
			require.Equal(t, c.want, string(data)) // to the digit
		})
	}
}
