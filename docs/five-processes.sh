#!/usr/bin/env bash
# Starts the five services one by one, each as a process of its own with a
# SQLite database of its own, and a demo worker; waits until each is ready; runs
# the demo against them; stops all that it started.
#
#   make build && docs/five-processes.sh            # add -o json for results as JSON
#
# Settings (environment):
#   POCKETFLOW_BIN   directory of the binaries           [bin, beside docs]
#   POCKETFLOW_DATA  directory of the databases, kept    [a temporary one, removed]
#   GATEWAY_PORT REGISTRY_PORT CATALOG_PORT SCHEDULER_PORT QUEUE_PORT WORKER_PORT
#                    ports on 127.0.0.1                  [8070 8071 8072 8073 8074 8081]
set -euo pipefail

bin=${POCKETFLOW_BIN:-$(cd "$(dirname "$0")/.." && pwd)/bin}
[[ -x $bin/gateway ]] || { echo "five-processes: no binaries in $bin (make build)" >&2; exit 1; }

here=127.0.0.1
gateway=$here:${GATEWAY_PORT:-8070}
worker=$here:${WORKER_PORT:-8081}

# One environment serves all: each service reads its own address and database,
# and the addresses of those that it calls.
export GATEWAY_ADDR=$gateway
export REGISTRY_ADDR=$here:${REGISTRY_PORT:-8071}
export CATALOG_ADDR=$here:${CATALOG_PORT:-8072}
export SCHEDULER_ADDR=$here:${SCHEDULER_PORT:-8073}
export QUEUE_ADDR=$here:${QUEUE_PORT:-8074}
export REGISTRY_URL=http://$REGISTRY_ADDR
export CATALOG_URL=http://$CATALOG_ADDR
export SCHEDULER_URL=http://$SCHEDULER_ADDR
export QUEUE_URL=http://$QUEUE_ADDR

data=${POCKETFLOW_DATA:-$(mktemp -d)}
mkdir -p "$data"
export REGISTRY_DB=sqlite://$data/registry.db
export CATALOG_DB=sqlite://$data/catalog.db
export SCHEDULER_DB=sqlite://$data/scheduler.db
export QUEUE_DB=sqlite://$data/queue.db

pids=()
stop() { # in the reverse order of start, each after the one before
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  pids=()
  [[ -n ${POCKETFLOW_DATA:-} ]] || rm -rf "$data"
}
trap stop EXIT
trap 'exit 130' INT TERM

# start NAME [FLAG...] runs a binary and returns when it is ready.
start() {
  local name=$1 pid
  shift
  if "$bin/$name" healthcheck "$@" 2>/dev/null; then
    echo "five-processes: somebody serves at the address of $name already" >&2
    exit 1
  fi
  LOG_LEVEL=${LOG_LEVEL:-warn} "$bin/$name" "$@" &
  pid=$!
  pids+=("$pid")
  until "$bin/$name" healthcheck "$@" 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null || { echo "five-processes: $name has ended" >&2; exit 1; }
    sleep 0.05
  done
  echo "$name is ready" >&2
}

# The scheduler finds the others by retrying, so the order is only the one in
# which each has somebody to talk to at once.
start registry
start flow-catalog
start queue-gateway
start scheduler
start gateway
start demo-worker --addr "$worker" --base "http://$gateway"

# In the background and waited for, so that a signal is heard at once.
"$bin/pocketflow" demo --server "http://$gateway" "$@" &
pids+=("$!")
outcome=0
wait "$!" || outcome=$?
unset 'pids[${#pids[@]}-1]'
exit "$outcome"
