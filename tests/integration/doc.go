// Package integration holds the suite to its promises on Postgres 17 and in
// containers: the images, the storage roles' conformance, every example, rolling
// restarts and kills of each part under load, replicas that share the work, and
// the migration of a database with tasks in it.
//
//	make integration
//
// What happens under load is held to this. Clients that repeat under its request
// id a request that had no answer, or the answer 503, have each task once; there
// is no other 5xx. Each task comes to its right end, with the result of each
// node applied once. A restart, as an upgrade makes it, takes no attempt along
// but at a worker that has no replica, and breaks no connection but to a gateway
// that has none.
//
// It needs a Docker engine that has, or can fetch, postgres:17-alpine and what
// deploy/Dockerfile is built from. Elsewhere in the tree (make test, make race)
// its tests skip. Settings, all from the environment:
//
//   - POCKETFLOW_INTEGRATION=1 runs the tests; make integration sets it.
//   - POCKETFLOW_REQUIRE_DOCKER=1 makes the lack of an engine a failure.
//   - POCKETFLOW_TEST_IMAGES=TAG takes the images pocketflow/<service>:TAG, as
//     make images makes them, instead of building what the tree holds.
//
// Containers, networks and volumes end with their test. Of what a killed run
// leaves, containers and networks have the label org.testcontainers, and the
// volume of a network's Postgres is named <network>-postgres.
//
// It refuses what one process or a local Postgres can show: that is tested
// beside the code, in tests/chaos and in tests/conformance.
package integration
