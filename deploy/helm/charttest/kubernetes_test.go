package charttest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chartutil"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

func TestObjects_AreWhatKubernetesReads(t *testing.T) {
	t.Parallel()
	all := examples(t)
	all["long"] = parse(t, "{fullnameOverride: "+strings.Repeat("long", 9)+"er, image: {tag: 1."+strings.Repeat("2", 60)+".3}}")
	for name, values := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			for _, one := range decode(t, values) {
				id := kindOf(one) + "/" + one.GetName()
				require.False(t, seen[id], "%s comes twice", id)
				seen[id] = true
				require.Equal(t, namespace, one.GetNamespace(), id)
				// A Service's name is the strictest.
				require.Empty(t, validation.IsDNS1035Label(one.GetName()), id)
				if kindOf(one) == "StatefulSet" { // its pods have a label of its name with a hash
					require.LessOrEqual(t, len(one.GetName()), 63-len("-0123456789"), id)
				}
				for key, value := range one.GetLabels() {
					require.Empty(t, validation.IsQualifiedName(key), id)
					require.Empty(t, validation.IsValidLabelValue(value), id)
				}
				for key := range one.GetAnnotations() {
					require.Empty(t, validation.IsQualifiedName(key), id)
				}
			}
		})
	}
}

// schemas is the module that has the OpenAPI documents of Kubernetes' releases
// in it. It is fetched for its files; nothing of it is built.
const schemas = "sigs.k8s.io/kubectl-validate@v0.0.4"

// Types let a required field be left out and do not know which texts an enum
// has. The schemas are those of the oldest release that the chart allows.
func TestObjects_KeepToTheSchemasOfTheOldestRelease(t *testing.T) {
	t.Parallel()
	published := newOpenAPI(t)
	for name, values := range examples(t) {
		checked := 0
		for _, text := range manifests(t, values) {
			var about meta.TypeMeta
			require.NoError(t, yaml.Unmarshal([]byte(text), &about))
			if strings.HasPrefix(about.APIVersion, "monitoring.coreos.com/") {
				continue // not of Kubernetes: its types are checked in decode
			}
			require.NoError(t, published.validate(t, about, text), "%s: %s", name, text)
			checked++
		}
		require.Greater(t, checked, 10, name)
	}
}

func TestSchemas_RefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	published := newOpenAPI(t)
	about := meta.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}
	require.Error(t, published.validate(t, about, "{apiVersion: apps/v1, kind: Deployment, spec: {}}"), "no selector")
	require.Error(t, published.validate(t, about, "{apiVersion: apps/v1, kind: Deployment, spec: {selector: {}, template: {}, replicas: many}}"))
	require.NoError(t, published.validate(t, about, "{apiVersion: apps/v1, kind: Deployment, spec: {selector: {}, template: {}, replicas: 1}}"))
}

// openAPI are the OpenAPI documents of a release, one per group and version.
type openAPI struct {
	dir    string
	parsed map[string]any // by group and version
}

func newOpenAPI(t *testing.T) openAPI {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", schemas)
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", schemas, out)
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &module))
	minor := strings.TrimSuffix(strings.TrimPrefix(oldest, "v"), ".0")
	return openAPI{dir: filepath.Join(module.Dir, "pkg", "openapiclient", "builtins", minor), parsed: map[string]any{}}
}

func (o openAPI) document(t *testing.T, version string) any {
	t.Helper()
	if known, found := o.parsed[version]; found {
		return known
	}
	kind := "apis"
	if !strings.Contains(version, "/") {
		kind = "api" // the core, which has no group
	}
	content, err := os.ReadFile(filepath.Join(o.dir, kind, version+".json"))
	require.NoError(t, err)
	o.parsed[version], err = jsonschema.UnmarshalJSON(bytes.NewReader(content))
	require.NoError(t, err)
	return o.parsed[version]
}

func (o openAPI) validate(t *testing.T, about meta.TypeMeta, text string) error {
	t.Helper()
	document := o.document(t, about.APIVersion)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("k8s.json", document))
	schema, err := compiler.Compile("k8s.json#/components/schemas/" + schemaName(t, document, about))
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return schema.Validate(value)
}

// schemaName finds the schema that says it is of the kind: their own names are
// those of Go packages.
func schemaName(t *testing.T, document any, about meta.TypeMeta) string {
	t.Helper()
	group, version, found := strings.Cut(about.APIVersion, "/")
	if !found {
		group, version = "", about.APIVersion
	}
	want := map[string]any{"group": group, "version": version, "kind": about.Kind}
	all := document.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for name, schema := range all {
		kinds, _ := schema.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
		for _, kind := range kinds {
			if labels.Equals(stringsOf(kind), stringsOf(want)) {
				return name
			}
		}
	}
	require.FailNow(t, "no schema", "%v", about)
	return ""
}

func stringsOf(value any) labels.Set {
	set := labels.Set{}
	for key, text := range value.(map[string]any) {
		set[key], _ = text.(string)
	}
	return set
}

// The values' schema is one itself.
func TestValuesSchema_KnowsEveryDefault(t *testing.T) {
	t.Parallel()
	loaded := load(t)
	require.NotEmpty(t, loaded.Schema)
	require.NoError(t, chartutil.ValidateAgainstSchema(loaded, loaded.Values))
}
