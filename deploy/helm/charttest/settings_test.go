package charttest

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
)

// root is the repository's.
const root = "../../.."

var envTag = regexp.MustCompile("`[^`\n]*\\benv:\"([A-Z0-9_,]+)\"[^`\n]*`")

// settingsIn are the names in the environment that the tags of the directory's
// files give, those of directories below it included.
func settingsIn(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range envTag.FindAllSubmatch(text, -1) {
				for name := range strings.SplitSeq(string(match[1]), ",") {
					found[name] = true
				}
			}
			return err
		})
		require.NoError(t, err)
	}
	require.NotEmpty(t, found, dirs)
	return found
}

// notOurs are variables of the examples that the Go runtime reads, and the
// chart's own helper.
var notOurs = []string{"SSL_CERT_DIR", "GOMEMLIMIT", "POD_IP"}

// A setting that was renamed would be given to nobody and silently left at its
// default.
func TestPods_AreGivenSettingsThatTheirBinaryHas(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		for _, p := range pods(t, decode(t, values)) {
			service := strings.TrimSuffix(p.component(), "-migrate")
			if service == "test" {
				service = "gateway"
			}
			known := settingsIn(t, "services/"+service, "shared")
			for _, notOur := range notOurs {
				known[notOur] = true
			}
			for variable := range p.env(t) {
				require.True(t, known[variable], "%s: %s gets %s, which it does not have", name, p, variable)
			}
		}
	}
}

// Whoever has a setting for the URL of a peer gets it: the default is loopback.
func TestServices_AreGivenEveryPeer(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		all := decode(t, values)
		addresses := map[string]string{}
		for _, service := range only[*core.Service](all) {
			addresses[net.JoinHostPort(service.Name, strconv.Itoa(int(service.Spec.Ports[0].Port)))] = service.Labels["app.kubernetes.io/component"]
		}
		for _, service := range services {
			p := podOf(t, all, service)
			env := p.env(t)
			for setting := range settingsIn(t, "services/"+service) {
				peer, isURL := strings.CutSuffix(setting, "_URL")
				if !isURL {
					continue
				}
				given, err := url.Parse(env[setting].Value)
				require.NoError(t, err)
				component, there := addresses[given.Host]
				require.True(t, there, "%s: %s of %s is %q, no Service", name, setting, p, env[setting].Value)
				require.Equal(t, peers[peer], component)
			}
		}
		worker := podOf(t, all, services[len(services)-1])
		require.NotEmpty(t, worker.env(t)["GATEWAY_ADDR"].Value)
	}
}

// peers gives the service for what its settings begin with.
var peers = map[string]string{
	"REGISTRY": "registry", "CATALOG": "flow-catalog", "SCHEDULER": "scheduler", "QUEUE": "queue-gateway", "GATEWAY": "gateway",
}

func TestServices_ListenWhereTheirServicePoints(t *testing.T) {
	t.Parallel()
	for _, values := range examples(t) {
		all := decode(t, values)
		for prefix, service := range peers {
			p := podOf(t, all, service)
			env := p.env(t)
			require.Equal(t, ":"+strconv.Itoa(int(p.main().Ports[0].ContainerPort)), env[prefix+"_ADDR"].Value)
			require.Equal(t, "true", env["INSECURE"].Value, "they listen beyond loopback")
		}
	}
}

func TestSettings_AreWrittenAsTheServicesReadThem(t *testing.T) {
	t.Parallel()
	all := decode(t, parse(t, `
settings: {LOG_LEVEL: debug}
flowCatalog: {settings: {CATALOG_MAX_DEFINITION_BYTES: 16777216, LOG_LEVEL: warn}}
scheduler: {settings: {SCHEDULER_SCRIPT_ALLOW: "git,jq", SCHEDULER_LEASE_TTL: 20s}}
`))
	catalog, scheduler := podOf(t, all, "flow-catalog").env(t), podOf(t, all, "scheduler").env(t)
	require.Equal(t, "16777216", catalog["CATALOG_MAX_DEFINITION_BYTES"].Value, "not 1.6777216e+07")
	require.Equal(t, "warn", catalog["LOG_LEVEL"].Value, "the service's own goes first")
	require.Equal(t, "debug", scheduler["LOG_LEVEL"].Value)
	require.Equal(t, "git,jq", scheduler["SCHEDULER_SCRIPT_ALLOW"].Value)
}

// A data source name has a password in it: pods get it from a Secret, and none
// is rendered.
func TestDatabases_ComeFromSecrets(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		all := decode(t, values)
		for _, text := range manifests(t, values) {
			require.NotContains(t, text, "kind: Secret\n")
			require.NotContains(t, text, "postgres://")
		}
		for _, service := range stateful {
			for prefix, of := range peers {
				variable, given := podOf(t, all, service).env(t)[prefix+"_DB"]
				require.Equal(t, of == service, given, "%s: %s_DB of %s", name, prefix, service)
				switch {
				case !given:
				case name == "sqlite":
					require.Regexp(t, `^sqlite:///data/\w+\.db$`, variable.Value)
				default:
					require.Empty(t, variable.Value)
					require.Equal(t, "pocketflow-databases", variable.ValueFrom.SecretKeyRef.Name)
					require.Nil(t, variable.ValueFrom.SecretKeyRef.Optional, "without it, the service would make a SQLite file")
				}
			}
		}
	}
}

func TestMigrations_RunOncePerServiceBeforeIt(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["postgres"])
	jobs := only[*batch.Job](all)
	require.Len(t, jobs, len(stateful))
	for _, service := range stateful {
		job := jobs[fullName(service+"-migrate")]
		require.NotNil(t, job, service)
		require.Equal(t, "pre-install,pre-upgrade", job.Annotations["helm.sh/hook"])
		require.Equal(t, core.RestartPolicyNever, job.Spec.Template.Spec.RestartPolicy)
		require.Empty(t, job.Spec.Template.Spec.ServiceAccountName, "the release's own is not there before the first install")
		container, served := job.Spec.Template.Spec.Containers[0], podOf(t, all, service)
		require.Equal(t, []string{"migrate", "up"}, container.Args)
		require.Equal(t, served.main().Image, container.Image, "both know the same schema")
		require.Equal(t, "false", served.env(t)["AUTO_MIGRATE"].Value)
	}
}

func TestMigrations_AreTheServicesOwnWhereNoJobRuns(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"database: {kind: sqlite}": "true",
		"database: {kind: postgres, postgres: {secretName: s, migrations: {mode: start}}}":  "true",
		"database: {kind: postgres, postgres: {secretName: s, migrations: {mode: manual}}}": "false",
	} {
		all := decode(t, parse(t, values))
		require.Empty(t, only[*batch.Job](all), values)
		for _, service := range stateful {
			require.Equal(t, want, podOf(t, all, service).env(t)["AUTO_MIGRATE"].Value, values)
		}
	}
}
