package app

import (
	"fmt"
	"net"
)

// CheckAddr refuses an address that is reached from outside this machine,
// unless the operator says that it may be: the services have no authentication.
func (p Process) CheckAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q is not host:port: %w", addr, err)
	}
	if p.Insecure || host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s can be reached from outside this machine, and there is no authentication: give a loopback address, or say --insecure", addr)
}
