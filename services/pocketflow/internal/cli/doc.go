// Package cli is the pocketflow command line: it reads the arguments, calls
// the suite or a running server, and prints what came back as tables or JSON.
//
// Results go to stdout; progress, warnings and errors go to stderr. The exit
// code tells scripts how it went, see Exit. It keeps no state between calls
// and decides nothing about flows and tasks: that is the server's.
package cli
