package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrForbidden is why Control lets no connection through.
var ErrForbidden = errors.New("link-local and metadata addresses are not to be called")

// Control is for net.Dialer: it refuses a connection to a link-local or
// metadata address after names are resolved and before the first packet, so
// neither a name that leads there nor one that changes its mind between two
// look-ups gets through. Other addresses of the same name are still tried. The
// dialer's error wraps ErrForbidden.
//
// It sees the peer of the connection: with a proxy in between that is the
// proxy, which then has to guard its own calls.
func Control(network, address string, _ syscall.RawConn) error {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s %q: %w: it is no IP address", network, address, ErrForbidden)
	}
	if isMetadataAddr(reached(peer.Addr())) {
		return fmt.Errorf("%s: %w", peer.Addr(), ErrForbidden)
	}
	return nil
}
