// Package netguard decides which places workers may be called at. Schedulers
// post to whatever a worker names, so a registration is a way to make them send
// requests for an outsider (server-side request forgery); this is where that
// is bounded.
//
// It does so twice. A Policy judges the text of a URL when a worker registers,
// and never asks a name server: what a name leads to then says nothing about
// the moment of the call. Control judges the address that a call is about to
// connect to. It refuses to know what a worker is.
package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Policy is the operator's list of places where workers may listen. The zero
// value allows any place but the ones that are never allowed.
type Policy struct {
	hosts    map[string]bool
	suffixes []string // ".workers.example"
	networks []netip.Prefix
}

// ParsePolicy reads the operator's list: host names, suffixes ("*.example"),
// IP addresses and CIDR networks. Networks apply to URLs that name an address,
// hosts and suffixes to those that name a host.
func ParsePolicy(allow []string) (Policy, error) {
	p := Policy{hosts: map[string]bool{}}
	var faults []error
	for _, entry := range allow {
		text := canonicalHost(strings.TrimSpace(entry))
		if network, err := netip.ParsePrefix(text); err == nil {
			p.networks = append(p.networks, network.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(text); err == nil {
			addr = addr.Unmap()
			p.networks = append(p.networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		suffix, isSuffix := strings.CutPrefix(text, "*")
		name := strings.TrimPrefix(suffix, ".")
		if !isHostName(name) || (isSuffix && suffix == name) {
			faults = append(faults, fmt.Errorf("%q is no host name, *.suffix, IP address or CIDR network", entry))
			continue
		}
		if isSuffix {
			p.suffixes = append(p.suffixes, suffix)
		} else {
			p.hosts[name] = true
		}
	}
	return p, errors.Join(faults...)
}

func (p Policy) open() bool {
	return len(p.hosts) == 0 && len(p.suffixes) == 0 && len(p.networks) == 0
}

func (p Policy) allowsAddr(addr netip.Addr) bool {
	for _, network := range p.networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

func (p Policy) allowsName(name string) bool {
	if p.hosts[name] {
		return true
	}
	for _, suffix := range p.suffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// Check names every fault of a worker's URL; none when it may be called.
func (p Policy) Check(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return []string{"is not a URL: " + err.Error()}
	}
	var faults []string
	if u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, "must begin with http:// or https://")
	}
	if u.User != nil {
		faults = append(faults, "must not carry a user or password: lists show it")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		faults = append(faults, "must not have a query or fragment: /exec/{service} is appended to it")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			faults = append(faults, "must have a port from 1 to 65535")
		}
	}
	if fault := p.checkHost(u.Hostname()); fault != "" {
		faults = append(faults, fault)
	}
	return faults
}

func (p Policy) checkHost(text string) string {
	host := canonicalHost(text)
	if host == "" {
		return "must name a host"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = reached(addr)
		switch {
		case isMetadataAddr(addr):
			return "must not name a link-local or metadata address"
		case !p.open() && !p.allowsAddr(addr):
			return "names an address that is not in the operator's list of allowed workers"
		}
		return ""
	}
	switch {
	case !isHostName(host):
		return "must name a host by its ASCII name or its IP address in the usual notation"
	case metadataNames[host]:
		return "must not name a metadata service"
	case !p.open() && !p.allowsName(host):
		return "names a host that is not in the operator's list of allowed workers"
	}
	return ""
}
