package flow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

func BenchmarkCompile(b *testing.B) {
	def, faults := flow.Parse(read(b, "every_field.json"))
	require.Empty(b, faults)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := flow.Compile(def); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	text := read(b, "every_field.json")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		flow.Check(flow.Source{Text: text}, flow.DefaultLimits())
	}
}

func BenchmarkCheck_LargestDefinition(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"start":"n0","nodes":{`)
	for i := range 2000 {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(`"n` + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + strings.Repeat("0", i/26) + `":{"kind":"executor","service":"s","params":{"a":"$shared.b"}}`)
	}
	text.WriteString(`}}`)
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		flow.Check(flow.Source{Text: []byte(text.String())}, flow.DefaultLimits())
	}
}

func BenchmarkCheck_Hostile(b *testing.B) {
	limits := flow.DefaultLimits()
	limits.MaxBytes = 4 << 20
	for name, text := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				flow.Check(flow.Source{Text: []byte(text)}, limits)
			}
		})
	}
}

func BenchmarkPlan_Next(b *testing.B) {
	plan := compile(b, string(read(b, "minimal.json")))
	b.ReportAllocs()
	for b.Loop() {
		plan.Next("decide", "goC")
	}
}
