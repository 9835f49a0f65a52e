// Package gateway is the suite's front door: the one address that clients,
// workers, the CLI and browsers talk to.
//
// It owns the table of documented routes (which path belongs to which service),
// the OpenAPI document that describes them, and the answer to browsers of other
// origins. It refuses everything that the table does not name: the services'
// internal routes cannot be reached through it, however a path is spelled.
//
// It holds no state, runs no loop and decodes no body. Requests and answers
// stream through it, long polls included; an error of a service passes
// unchanged, and a service that cannot be reached is a 503 that names it.
package gateway
