package charttest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// nonroot is the user of the images.
const nonroot = 65532

func TestPods_HaveNoPrivilege(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		for _, p := range pods(t, decode(t, values)) {
			security := p.spec.SecurityContext
			require.NotNil(t, security, "%s: %s", name, p)
			require.True(t, *security.RunAsNonRoot, p)
			require.EqualValues(t, nonroot, *security.RunAsUser, p)
			require.EqualValues(t, nonroot, *security.FSGroup, p)
			require.Equal(t, core.SeccompProfileTypeRuntimeDefault, security.SeccompProfile.Type, p)
			require.False(t, *p.spec.AutomountServiceAccountToken, p)
			require.False(t, *p.spec.EnableServiceLinks, p)
			require.False(t, p.spec.HostNetwork || p.spec.HostPID || p.spec.HostIPC, p)

			own := p.main().SecurityContext
			require.NotNil(t, own, p)
			require.True(t, *own.ReadOnlyRootFilesystem, p)
			require.False(t, *own.AllowPrivilegeEscalation, p)
			require.Equal(t, []core.Capability{"ALL"}, own.Capabilities.Drop, p)
			require.Empty(t, own.Capabilities.Add, p)
		}
	}
}

func TestPods_SayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for _, values := range examples(t) {
		for _, p := range pods(t, decode(t, values)) {
			needs := p.main().Resources
			require.False(t, needs.Requests.Cpu().IsZero(), p)
			require.False(t, needs.Requests.Memory().IsZero(), p)
			require.False(t, needs.Limits.Memory().IsZero(), p)
			require.LessOrEqual(t, needs.Requests.Memory().Value(), needs.Limits.Memory().Value(), p)
		}
	}
}

func TestPods_AreProbedAtTheServicesOwnRoutes(t *testing.T) {
	t.Parallel()
	for _, values := range examples(t) {
		for _, p := range pods(t, decode(t, values)) {
			if p.runsOnce() {
				continue
			}
			c := p.main()
			require.Equal(t, "http", c.Ports[0].Name, p)
			for path, probe := range map[string]*core.Probe{
				"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe,
			} {
				require.NotNil(t, probe, p)
				require.Equal(t, path, probe.HTTPGet.Path, p)
				require.Equal(t, "http", probe.HTTPGet.Port.StrVal, p)
			}
			require.Equal(t, "/healthz", c.StartupProbe.HTTPGet.Path, p)
			patience := time.Duration(c.StartupProbe.PeriodSeconds*c.StartupProbe.FailureThreshold) * time.Second
			require.GreaterOrEqual(t, patience, 5*time.Minute, "%s: a migration's lock is waited for that long", p)
		}
	}
}

// Kubernetes kills what has not stopped when the grace period is over, the wait
// of preStop included.
func TestPods_HaveTimeToDrain(t *testing.T) {
	t.Parallel()
	for _, values := range examples(t) {
		for _, p := range pods(t, decode(t, values)) {
			if p.runsOnce() {
				continue
			}
			drain, err := time.ParseDuration(p.env(t)["DRAIN_TIMEOUT"].Value)
			require.NoError(t, err, p)
			var before time.Duration
			if life := p.main().Lifecycle; life != nil {
				before = time.Duration(life.PreStop.Sleep.Seconds) * time.Second
			}
			grace := time.Duration(*p.spec.TerminationGracePeriodSeconds) * time.Second
			require.GreaterOrEqual(t, grace, before+drain+5*time.Second, p)
		}
	}
}

func TestPods_AreSelectedByWhatOwnsThem(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		all := decode(t, values)
		found := pods(t, all)
		for _, p := range found {
			if p.runsOnce() {
				continue
			}
			require.Equal(t, []string{p.String()}, selected(found, p.selector.MatchLabels), name)
			for _, constraint := range p.spec.TopologySpreadConstraints {
				require.Equal(t, []string{p.String()}, selected(found, constraint.LabelSelector.MatchLabels), name)
			}
		}
		for _, service := range only[*core.Service](all) {
			own := podOf(t, all, service.Labels["app.kubernetes.io/component"])
			require.Equal(t, []string{own.String()}, selected(found, service.Spec.Selector), service.Name)
			for _, port := range service.Spec.Ports {
				require.True(t, slices.ContainsFunc(own.main().Ports, func(of core.ContainerPort) bool {
					// Behind a headless Service there is nobody who translates.
					return of.Name == port.TargetPort.StrVal && of.ContainerPort == port.Port
				}), "%s: port %s", service.Name, port.Name)
			}
		}
		for _, budget := range only[*policy.PodDisruptionBudget](all) {
			require.Len(t, selected(found, budget.Spec.Selector.MatchLabels), 1, budget.Name)
			require.Equal(t, policy.AlwaysAllow, *budget.Spec.UnhealthyPodEvictionPolicy, budget.Name)
		}
	}
}

// selected names the pods whose labels match.
func selected(all []pod, match map[string]string) []string {
	var names []string
	for _, p := range all {
		if labels.SelectorFromSet(match).Matches(labels.Set(p.labels)) {
			names = append(names, p.String())
		}
	}
	return names
}

// One file has one process: no second pod, not even while one is replaced.
func TestSQLite_NeverHasTwoPodsOnAFile(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["sqlite"])
	sets := only[*apps.StatefulSet](all)
	for _, name := range stateful {
		set := sets[fullName(name)]
		require.NotNil(t, set, name)
		require.EqualValues(t, 1, *set.Spec.Replicas, name)
		require.Len(t, set.Spec.VolumeClaimTemplates, 1, name)
		claim := set.Spec.VolumeClaimTemplates[0]
		require.Equal(t, []core.PersistentVolumeAccessMode{core.ReadWriteOnce}, claim.Spec.AccessModes, name)
		require.Equal(t, apps.RetainPersistentVolumeClaimRetentionPolicyType,
			set.Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted, name)
		mounts := set.Spec.Template.Spec.Containers[0].VolumeMounts
		require.Equal(t, []core.VolumeMount{{Name: claim.Name, MountPath: "/data"}}, mounts, name)
		require.Contains(t, only[*core.Service](all), set.Spec.ServiceName)
		require.Nil(t, set.Spec.Template.Spec.Containers[0].Lifecycle, "nobody could take over meanwhile")
	}
	require.Len(t, sets, len(stateful))
	require.Empty(t, only[*policy.PodDisruptionBudget](all), "it would keep nodes from being drained")
}

func TestPostgres_ReplacesPodsOneByOneAndKeepsNothing(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["postgres"])
	require.Empty(t, only[*apps.StatefulSet](all))
	deployments := only[*apps.Deployment](all)
	for _, name := range services {
		deployment := deployments[fullName(name)]
		require.NotNil(t, deployment, name)
		require.Zero(t, deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue(), name)
		require.Empty(t, deployment.Spec.Template.Spec.Volumes, name)
		require.Contains(t, only[*policy.PodDisruptionBudget](all), fullName(name))
	}
	require.EqualValues(t, 3, *deployments[fullName("scheduler")].Spec.Replicas)
}
