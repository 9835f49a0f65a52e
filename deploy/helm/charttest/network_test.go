package charttest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The flows are read from the services' settings, not from the chart: who has
// the URL of a peer calls it. The policies let these pass, and no others.
func TestNetworkPolicies_AdmitTheFlowsThatThereAre(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		all := decode(t, values)
		rules := network{t, only[*networking.NetworkPolicy](all)}
		for _, from := range services {
			calls := map[string]bool{}
			for setting := range settingsIn(t, "services/"+from) {
				if peer, isURL := strings.CutSuffix(setting, "_URL"); isURL {
					calls[peers[peer]] = true
				}
			}
			for _, to := range services {
				caller, called := podOf(t, all, from), podOf(t, all, to)
				leaves, enters := rules.leaves(caller, called), rules.enters(caller, called)
				if calls[to] {
					require.True(t, leaves && enters, "%s: %s must reach %s", name, from, to)
				} else if from != to && to != "gateway" {
					require.False(t, enters, "%s: %s must not reach %s", name, from, to)
				}
			}
		}
		if name == "postgres" {
			continue // has no worker
		}
		worker, scheduler, gateway := podOf(t, all, "demo-worker"), podOf(t, all, "scheduler"), podOf(t, all, "gateway")
		require.True(t, rules.leaves(scheduler, worker) && rules.enters(scheduler, worker), name)
		require.True(t, rules.leaves(worker, gateway) && rules.enters(worker, gateway), name)
		require.False(t, rules.enters(worker, scheduler), name)
	}
}

func TestNetworkPolicies_LeaveOnlyTheGatewayToOthers(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["sqlite"])
	rules := network{t, only[*networking.NetworkPolicy](all)}
	stranger := pod{owner: podOf(t, all, "gateway").owner, labels: map[string]string{"app": "stranger"}}
	for _, service := range services {
		require.Equal(t, service == "gateway", rules.enters(stranger, podOf(t, all, service)), service)
	}
}

func TestNetworkPolicies_LetOnlyThoseWithADatabaseReachPostgres(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["full"])
	policies := only[*networking.NetworkPolicy](all)
	for _, p := range pods(t, all) {
		if p.component() == "test" {
			continue // asks the gateway and is gone
		}
		var reach []int
		for _, rule := range policies["flows-"+p.component()].Spec.Egress {
			for _, peer := range rule.To {
				if peer.IPBlock != nil && peer.IPBlock.CIDR == "10.20.0.0/16" {
					for _, port := range rule.Ports {
						reach = append(reach, port.Port.IntValue())
					}
				}
			}
		}
		if _, keeps := p.env(t)[databaseOf(p)]; keeps {
			require.Equal(t, []int{5432, 6432}, reach, p)
		} else {
			require.Empty(t, reach, p)
		}
	}
}

// databaseOf is the name of the setting for the pod's database.
func databaseOf(p pod) string {
	for prefix, service := range peers {
		if service == strings.TrimSuffix(p.component(), "-migrate") {
			return prefix + "_DB"
		}
	}
	return ""
}

// The Jobs run before anything else of the release is there.
func TestNetworkPolicies_AreThereBeforeTheMigrations(t *testing.T) {
	t.Parallel()
	all := decode(t, examples(t)["postgres"])
	policies := only[*networking.NetworkPolicy](all)
	for _, service := range stateful {
		policy := policies[fullName(service+"-migrate")]
		require.NotNil(t, policy, service)
		require.Equal(t, "pre-install,pre-upgrade", policy.Annotations["helm.sh/hook"])
		require.Equal(t, "-5", policy.Annotations["helm.sh/hook-weight"])
	}
}

// network answers as the policies' enforcer would, for calls between pods of
// one namespace.
type network struct {
	t        *testing.T
	policies map[string]*networking.NetworkPolicy
}

// leaves tells whether from may send to the pod.
func (n network) leaves(from, to pod) bool {
	n.t.Helper()
	return n.passes(from, func(policy *networking.NetworkPolicy) bool {
		for _, rule := range policy.Spec.Egress {
			if n.meets(rule.To, to) && meetsPort(rule.Ports, to) {
				return true
			}
		}
		return false
	})
}

// enters tells whether the pod may get from from.
func (n network) enters(from, to pod) bool {
	n.t.Helper()
	return n.passes(to, func(policy *networking.NetworkPolicy) bool {
		for _, rule := range policy.Spec.Ingress {
			if n.meets(rule.From, from) && meetsPort(rule.Ports, to) {
				return true
			}
		}
		return false
	})
}

// passes is true when no policy selects the pod, or one of those that do allows.
func (n network) passes(p pod, allows func(*networking.NetworkPolicy) bool) bool {
	n.t.Helper()
	selects := false
	for _, policy := range n.policies {
		if !n.matches(&policy.Spec.PodSelector, p) {
			continue
		}
		require.Len(n.t, policy.Spec.PolicyTypes, 2, policy.Name)
		if selects = true; allows(policy) {
			return true
		}
	}
	return !selects
}

func (n network) meets(list []networking.NetworkPolicyPeer, p pod) bool {
	n.t.Helper()
	if len(list) == 0 {
		return true
	}
	for _, peer := range list {
		if peer.PodSelector != nil && peer.NamespaceSelector == nil && n.matches(peer.PodSelector, p) {
			return true
		}
	}
	return false
}

func meetsPort(list []networking.NetworkPolicyPort, p pod) bool {
	for _, port := range list {
		own := p.main().Ports[0]
		if port.Port == nil || port.Port.StrVal == own.Name || port.Port.IntVal == own.ContainerPort {
			return true
		}
	}
	return len(list) == 0
}

func (n network) matches(selector *meta.LabelSelector, p pod) bool {
	n.t.Helper()
	match, err := meta.LabelSelectorAsSelector(selector)
	require.NoError(n.t, err)
	return match.Matches(labels.Set(p.labels))
}
