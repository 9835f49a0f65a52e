package charttest

import (
	"fmt"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chartutil"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// object is one that the chart renders.
type object interface {
	runtime.Object
	meta.Object
}

// decode reads the documents by Kubernetes' own types, strictly: a field that
// the type does not have, or has twice, is an error. A kind that is not listed
// here is one too.
func decode(t *testing.T, values chartutil.Values) []object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, autoscaling.AddToScheme, batch.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme,
		monitoring.AddToScheme,
	} {
		require.NoError(t, add(scheme))
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []object
	for _, text := range manifests(t, values) {
		decoded, _, err := decoder.Decode([]byte(text), nil, nil)
		require.NoError(t, err, text)
		all = append(all, decoded.(object))
	}
	return all
}

// only gives the objects of one type by their names.
func only[T object](all []object) map[string]T {
	found := map[string]T{}
	for _, one := range all {
		if typed, ok := one.(T); ok {
			found[one.GetName()] = typed
		}
	}
	return found
}

func kindOf(one object) string { return one.GetObjectKind().GroupVersionKind().Kind }

// pod is a pod template with the object that it is of.
type pod struct {
	owner    object
	labels   map[string]string
	spec     core.PodSpec
	selector *meta.LabelSelector // none for what runs once
}

func (p pod) String() string { return kindOf(p.owner) + "/" + p.owner.GetName() }

// runsOnce tells that nobody calls the pod: a Job's, or a test's.
func (p pod) runsOnce() bool { return p.selector == nil }

// main is the pod's only container.
func (p pod) main() core.Container { return p.spec.Containers[0] }

func (p pod) component() string { return p.labels["app.kubernetes.io/component"] }

// pods gives all pods that come of the objects.
func pods(t *testing.T, all []object) []pod {
	t.Helper()
	var found []pod
	for _, one := range all {
		switch o := one.(type) {
		case *apps.Deployment:
			found = append(found, pod{o, o.Spec.Template.Labels, o.Spec.Template.Spec, o.Spec.Selector})
		case *apps.StatefulSet:
			found = append(found, pod{o, o.Spec.Template.Labels, o.Spec.Template.Spec, o.Spec.Selector})
		case *batch.Job:
			found = append(found, pod{o, o.Spec.Template.Labels, o.Spec.Template.Spec, nil})
		case *core.Pod:
			found = append(found, pod{o, o.Labels, o.Spec, nil})
		}
	}
	require.NotEmpty(t, found)
	for _, p := range found {
		require.Len(t, p.spec.Containers, 1, p)
		require.Empty(t, p.spec.InitContainers, p)
	}
	return found
}

// podOf is that of the service with the name.
func podOf(t *testing.T, all []object, component string) pod {
	t.Helper()
	for _, p := range pods(t, all) {
		if p.component() == component {
			return p
		}
	}
	require.FailNow(t, "no pod of "+component)
	return pod{}
}

func (p pod) env(t *testing.T) map[string]core.EnvVar {
	t.Helper()
	found := map[string]core.EnvVar{}
	for _, one := range p.main().Env {
		require.NotContains(t, found, one.Name, "%s has it twice", p)
		found[one.Name] = one
	}
	return found
}

// services lists the names of the five.
var services = []string{"registry", "flow-catalog", "scheduler", "queue-gateway", "gateway"}

// stateful lists those that have a database.
var stateful = services[:4]

func fullName(component string) string { return fmt.Sprintf("%s-pocketflow-%s", release, component) }
