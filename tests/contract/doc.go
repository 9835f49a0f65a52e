// Package contract holds openapi.yaml, the gateway's table, the services'
// routers and the wire types of shared/api against each other, in both
// directions, and the real answers of a running suite against the schemas. A
// route, a field or a code that is in one of them and not in the others fails
// here.
package contract
