package charttest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func containsLine(text, start string) bool {
	return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(start)).MatchString(text)
}

// What cannot work is refused before anything is installed, in words that name
// the value.
func TestValues_AreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for values, reason := range map[string]string{
		"scheduler: {replicas: 2}":                                      "scheduler.replicas is 2: a SQLite file has one process",
		"flowCatalog: {replicas: 3}":                                    "flowCatalog.replicas is 3",
		"queueGateway: {autoscaling: {enabled: true}}":                  "queueGateway.autoscaling.enabled",
		"database: {kind: postgres}":                                    "database.postgres.secretName",
		"database: {kind: mysql}":                                       "sqlite",
		"schedulers: {}":                                                "schedulers",
		"scheduler: {replica: 1}":                                       "replica",
		"scheduler: {replicas: two}":                                    "integer",
		"gateway: {autoscaling: {enabled: true}}":                       "autoscaling",
		"settings: {log_level: debug}":                                  "log_level",
		"settings: {INSECURE: false}":                                   "INSECURE",
		"scheduler: {settings: {SCHEDULER_DB: \"postgres://u:p@h/d\"}}": "SCHEDULER_DB",
		"scheduler: {extraEnv: [{name: SCHEDULER_DB, value: \"postgres://u:p@h/d\"}]}": "not",
		"ingress: {enabled: true}":                                                       "hosts",
		"image: {pullPolicy: Sometimes}":                                                 "pullPolicy",
		"registry: {image: {digest: latest}}":                                            "digest",
		"networkPolicy: {gatewayFrom: [{pods: {}}]}":                                     "pods",
		"database: {sqlite: {accessMode: ReadWriteMany}}":                                "accessMode",
		"podAnnotations: {example.com/on: true}":                                         "string",
		"database: {kind: postgres, postgres: {secretName: s, dsn: \"postgres://h/d\"}}": "dsn",
		"{database: {kind: postgres, postgres: {secretName: s}}, scheduler: {autoscaling: {enabled: true, minReplicas: 9}}}": "more than the maxReplicas",
	} {
		_, err := render(t, parse(t, values))
		require.ErrorContains(t, err, reason, values)
	}
}

// The gateway has no file and may have replicas with SQLite too.
func TestValues_LetTheGatewayHaveReplicasWithSQLite(t *testing.T) {
	t.Parallel()
	all := decode(t, parse(t, "gateway: {replicas: 2}"))
	require.EqualValues(t, 2, *only[*apps.Deployment](all)[fullName("gateway")].Spec.Replicas)
}

// Every value has its own line in values.yaml, and so a default that says what
// it is; the schema alone would let a template read what nobody set.
func TestValues_AreAllUsed(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, pattern := range []string{"*.yaml", "*.tpl", "tests/*.yaml", "NOTES.txt"} {
		files, err := filepath.Glob(filepath.Join(chartDir, "templates", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			text.Write(content)
		}
	}
	dynamic := map[string]bool{"sizes": true, "keys": true, "registry": true, "flowCatalog": true, "scheduler": true, "queueGateway": true}
	var look func(path string, values map[string]any)
	look = func(path string, values map[string]any) {
		for key, value := range values {
			require.True(t, dynamic[key] || regexp.MustCompile(`[."]`+key+`\b`).MatchString(text.String()),
				"no template reads %s%s", path, key)
			nested, isMap := value.(map[string]any)
			if isMap && key != "behavior" && key != "resources" && path != "probes." {
				look(path+key+".", nested)
			}
		}
	}
	look("", load(t).Values)
}

func TestImages_AreNamedByServiceAndDigestFirst(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["full"])
	require.Equal(t, "registry.example.com/mirror/pocketflow/scheduler:v1.2.3", podOf(t, all, "scheduler").main().Image)
	require.Equal(t, "registry.example.com/mirror/pocketflow/registry:v1.2.4", podOf(t, all, "registry-migrate").main().Image)
	require.Regexp(t, `^registry\.example\.com/mirror/pocketflow/flow-catalog@sha256:[0-9a-f]{64}$`, podOf(t, all, "flow-catalog").main().Image)
	for _, p := range pods(t, all) {
		require.Equal(t, []core.LocalObjectReference{{Name: "registry-login"}}, p.spec.ImagePullSecrets, p)
	}
	plain := decode(t, examples(t)["sqlite"])
	require.Equal(t, "pocketflow/scheduler:"+load(t).Metadata.AppVersion, podOf(t, plain, "scheduler").main().Image)
}

func TestAutoscaling_TakesTheReplicasOver(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["full"])
	scalers := only[*autoscaling.HorizontalPodAutoscaler](all)
	documented, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	require.NoError(t, err)
	require.Len(t, scalers, 2)
	for _, service := range []string{"scheduler", "queue-gateway"} {
		scaler := scalers["flows-"+service]
		require.NotNil(t, scaler, service)
		deployment := only[*apps.Deployment](all)[scaler.Spec.ScaleTargetRef.Name]
		require.NotNil(t, deployment, service)
		require.Nil(t, deployment.Spec.Replicas, "an upgrade would undo what the scaler chose")
		metric := scaler.Spec.Metrics[0].Pods
		require.False(t, metric.Target.AverageValue.IsZero())
		require.Contains(t, string(documented), "`"+metric.Metric.Name+"` | gauge", "the page is held to what the services expose")
		require.NotNil(t, scaler.Spec.Behavior)
	}
	require.EqualValues(t, 12, scalers["flows-scheduler"].Spec.MaxReplicas)
}

// Profiles and metrics are neither where callers are, nor in a Service that may
// be published.
func TestAdmin_IsForOperatorsAlone(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["full"])
	rules := network{t, only[*networking.NetworkPolicy](all)}
	for _, service := range services {
		p := podOf(t, all, service)
		require.Equal(t, ":9000", p.env(t)["ADMIN_ADDR"].Value)
		require.Equal(t, "admin", p.env(t)["METRICS_AT"].Value)
		for _, rule := range rules.policies["flows-"+service].Spec.Ingress {
			admin := rule.Ports[0].Port.StrVal == "admin"
			require.Len(t, rule.Ports, 1)
			for _, peer := range rule.From {
				monitors := peer.NamespaceSelector != nil && peer.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] == "monitoring"
				require.Equal(t, admin, monitors, service)
			}
		}
	}
	for _, service := range only[*core.Service](all) {
		for _, port := range service.Spec.Ports {
			require.True(t, port.Name == "http" || service.Spec.ClusterIP == core.ClusterIPNone, service.Name)
		}
	}
}

func TestIngress_LeadsToTheGateway(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["full"])
	ingress := only[*networking.Ingress](all)["flows"]
	require.NotNil(t, ingress)
	backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
	service := only[*core.Service](all)[backend.Name]
	require.NotNil(t, service)
	require.Equal(t, "gateway", service.Labels["app.kubernetes.io/component"])
	require.Equal(t, service.Spec.Ports[0].Name, backend.Port.Name)
	require.Equal(t, "flows.example.com", ingress.Spec.Rules[0].Host)
}

func TestServiceMonitor_FindsEveryService(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["full"])
	require.Equal(t, "prometheus", only[*monitoring.ServiceMonitor](all)["flows"].Labels["release"])
	requireMonitored(t, all, "admin")
	requireMonitored(t, decode(t, parse(t, "{fullnameOverride: flows, serviceMonitor: {enabled: true}}")), "http")
}

// requireMonitored checks that the monitor selects the port of every service
// that has the metrics.
func requireMonitored(t *testing.T, all []object, port string) {
	t.Helper()
	monitor := only[*monitoring.ServiceMonitor](all)["flows"]
	require.NotNil(t, monitor)
	require.Equal(t, port, monitor.Spec.Endpoints[0].Port)
	found := map[string]bool{}
	for _, service := range only[*core.Service](all) {
		require.True(t, labels.SelectorFromSet(monitor.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)), service.Name)
		for _, one := range service.Spec.Ports {
			if one.Name == port {
				found[service.Labels["app.kubernetes.io/component"]] = true
			}
		}
	}
	require.Len(t, found, len(services))
	require.Equal(t, []string{namespace}, monitor.Spec.NamespaceSelector.MatchNames)
}
