package netguard

import (
	"net/netip"
	"strings"
)

// The metadata services of clouds answer whoever reaches them with the
// machine's credentials. Most live at link-local addresses; these do not.
var (
	metadataAddrs = []netip.Addr{
		netip.MustParseAddr("100.100.100.200"), // Alibaba
		netip.MustParseAddr("168.63.129.16"),   // Azure
		netip.MustParseAddr("192.0.0.192"),     // Oracle
		netip.MustParseAddr("fd00:ec2::254"),   // AWS
		netip.MustParseAddr("fd20:ce::254"),    // Google
	}
	metadataNames = map[string]bool{
		"metadata":                   true,
		"metadata.google.internal":   true,
		"metadata.goog":              true,
		"metadata.tencentyun.com":    true,
		"instance-data":              true,
		"instance-data.ec2.internal": true,
	}
)

// nat64 is the prefix under which IPv6-only networks reach IPv4 addresses
// (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// reached is the address that a packet to addr ends at: an IPv4 address also
// has the spellings ::ffff:1.2.3.4 and 64:ff9b::1.2.3.4, and a zone says only
// by which interface.
func reached(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		bytes := addr.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return addr
}

func isMetadataAddr(addr netip.Addr) bool {
	if addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast() {
		return true
	}
	for _, metadata := range metadataAddrs {
		if addr == metadata {
			return true
		}
	}
	return false
}

// canonicalHost is the form that hosts are compared in: names have no letter
// case, and a dot at the end means the same name.
func canonicalHost(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isHostName tells whether text is a name and nothing that resolvers read as
// an address: 2852039166, 0xa9fea9fe and 169.254.43518 are all
// 169.254.169.254 to some of them. Names in other scripts are refused because
// clients fold them into ASCII, full-width digits into an address among them.
func isHostName(text string) bool {
	if text == "" || len(text) > 253 {
		return false
	}
	labels := strings.Split(text, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, letters+digits+"-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	hex, isHex := strings.CutPrefix(last, "0x")
	return strings.Trim(last, digits) != "" && (!isHex || strings.Trim(hex, digits+"abcdef") != "")
}

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)
