# Everything a contributor runs. `make` alone lists it.

SHELL := /bin/bash

# `work` is Go's name for every package of every module in go.work: one go
# command sees all ten modules, so packages build once and run in parallel.
PACKAGES := work

# Release builds and image builds hand these in; a source archive has no git.
VERSION ?= $(or $(shell git describe --tags --dirty 2>/dev/null),dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
APP     := github.com/pocketflowgo/pocketflow/shared/app
LDFLAGS := -X $(APP).Version=$(VERSION) -X $(APP).Commit=$(COMMIT)

GOLANGCI_VERSION := v2.14.0
# The version is part of the name, so a new one is built exactly when it changes.
GOLANGCI := .bin/golangci-lint-$(GOLANGCI_VERSION)

.DEFAULT_GOAL := help
.PHONY: help build demo test postgres race bench bench-each microbench microbench-compare lint fmt tidy standalone helm integration alerts clean images up up-postgres down down-volumes logs record-statements

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# -buildvcs=false: the stamp comes from LDFLAGS, and Go would otherwise fail in
# a checkout that git refuses to read (another owner, no git installed).
build: ## Build every binary into bin/
	go build -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ github.com/pocketflowgo/pocketflow/services/...

demo: ## Build pocketflow and watch it run the example flows
	@go build -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ github.com/pocketflowgo/pocketflow/services/pocketflow/cmd/...
	@bin/pocketflow demo

# -count=1: a cached pass says nothing about the database, and Go's test cache
# does not notice changed files outside the module of the test.
test: ## Run all tests: unit, conformance, contract, chaos, quick start, repository rules
	go test -count=1 -timeout 10m $(PACKAGES)
	@$(MAKE) --no-print-directory postgres

# go test hides the words of tests that it skips; this one says it where there
# is no server.
postgres: ## Run the tests that need a server's URL, against one started for them
	go run -buildvcs=false github.com/pocketflowgo/pocketflow/tests/pgtest/cmd/pgtest -- \
		go test -count=1 -timeout 5m github.com/pocketflowgo/pocketflow/{shared/storage/{postgres,internal/sqlstore},services/scheduler/internal/runner}

# In the commit before a migration is added: docs/upgrades.md says why.
record-statements: ## Record what this version says to its databases, for tests of the next migration
	go run -buildvcs=false github.com/pocketflowgo/pocketflow/tests/pgtest/cmd/pgtest -- \
		env POCKETFLOW_RECORD_STATEMENTS=$(CURDIR)/tests/conformance/testdata/older \
		go test -count=1 -timeout 10m -run TestRecordStatements github.com/pocketflowgo/pocketflow/shared/storage/connect

race: ## Run the tests under the race detector (-short; needs a C compiler)
	go test -count=1 -race -short -timeout 15m $(PACKAGES)

# What the flags mean is told in the package's comment.
WORKS    ?=
ROUNDS   ?= 3
SCALE    ?= 1
HISTORY  ?= 100000
PROFILES ?=

bench: ## Measure the suite beside the bare cost of its work (WORKS=W1,W2 for some of it)
	go test -run '^$$' -bench Works -timeout 60m github.com/pocketflowgo/pocketflow/tests/bench \
		-args -works '$(WORKS)' -rounds $(ROUNDS) -scale $(SCALE) -history $(HISTORY) -out $(CURDIR)/bench.json -profiles '$(PROFILES)'

bench-each: ## Measure waiting tasks, timers, signals, cancels and items, one by one
	go test -run '^$$' -bench . -skip Works -timeout 20m github.com/pocketflowgo/pocketflow/tests/bench

# The pieces that every task passes through, each by itself: MICRO are their
# names, in the packages below. Storage on Postgres is measured on a server that
# waits for the disk only where POCKETFLOW_TEST_POSTGRES_URL names one.
MICRO         := ^Benchmark(Step|State|Compile|Value_Resolve|Condition_Holds|Lookup|Set|Do_CallsAWorker|Client_RoundTrip|Router|Tasks|Queue)$$
MICRO_DIRS    := shared/flow/... shared/httpx shared/storage/sqlite shared/storage/postgres services/scheduler/internal/engine services/scheduler/internal/execute
MICRO_RECORD  := docs/bench/micro.txt
BENCHSTAT     := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
microbench_run = go run -buildvcs=false github.com/pocketflowgo/pocketflow/tests/pgtest/cmd/pgtest -- \
	go test -run '^$$$$' -bench '$(MICRO)' -benchtime 50ms -count 6 -p 1 -timeout 10m $(MICRO_DIRS:%=github.com/pocketflowgo/pocketflow/%)

microbench: ## Measure the hot pieces one by one, and record it in docs/bench/micro.txt
	@mkdir -p $(dir $(MICRO_RECORD))
	$(microbench_run) | tee $(MICRO_RECORD).new
	@mv $(MICRO_RECORD).new $(MICRO_RECORD)

microbench-compare: ## Measure the hot pieces anew, and compare with the recorded run
	$(microbench_run) | tee bench-micro.txt
	go run $(BENCHSTAT) recorded=$(MICRO_RECORD) now=bench-micro.txt

# golangci-lint does not know `work`, so it gets the modules' directories.
lint: $(GOLANGCI) ## Run golangci-lint over all modules
	@dirs=$$(go list -m -f '{{.Dir}}/...') && $(GOLANGCI) run $$dirs

fmt: $(GOLANGCI) ## Format all Go files
	$(GOLANGCI) fmt

tidy: ## Tidy the go.mod of every module
	@$(call each_module,go mod tidy)

standalone: ## Build and vet each module by itself, without go.work
	@$(call each_module,go build -buildvcs=false ./... && go vet ./...)

# A module apart, so that no requirement of Helm or Kubernetes is the product's.
helm: ## Lint and render the Helm chart, and hold it to Kubernetes' schemas
	cd deploy/helm/charttest && GOWORK=off go test -count=1 -timeout 5m ./...

# It builds the images first, which takes a minute or two where the engine has
# built none yet.
integration: ## Run the tests that need a Docker engine: Postgres 17 and the suite in containers
	POCKETFLOW_INTEGRATION=1 go test -count=1 -timeout 15m github.com/pocketflowgo/pocketflow/tests/integration

alerts: ## Check the alert rules, their cases and the dashboard (needs promtool)
	POCKETFLOW_REQUIRE_PROMTOOL=1 go test -count=1 -timeout 2m github.com/pocketflowgo/pocketflow/tests/alerts

clean: ## Remove what the other targets built
	rm -rf bin .bin

# Overrides in deploy/compose to start with, for example WITH=observability.
WITH    ?=
COMPOSE := VERSION='$(VERSION)' COMMIT='$(COMMIT)' docker compose -f docker-compose.yml
# Every override, so that whatever was started is stopped too. The one for
# Postgres leaves the volumes of the SQLite databases out.
ALL     := $(patsubst %,-f %,$(wildcard deploy/compose/*.yml))

images: ## Build the container images pocketflow/<service>:$(VERSION)
	$(COMPOSE) --profile cli build

up: ## Start the suite in containers, on SQLite; WITH=observability adds Prometheus
	$(COMPOSE) $(WITH:%=-f deploy/compose/%.yml) up --build --detach --wait --remove-orphans

up-postgres: ## The same on Postgres, with replicas
	@$(MAKE) --no-print-directory up WITH='postgres $(WITH)'

down: ## Stop the containers and keep the data
	$(COMPOSE) $(ALL) --profile '*' down --remove-orphans

down-volumes: ## Stop the containers and delete the data
	$(COMPOSE) $(ALL) --profile '*' down --volumes
	$(COMPOSE) down --remove-orphans --volumes

logs: ## Follow the containers' logs
	$(COMPOSE) $(ALL) logs --follow --tail 100

# each_module runs a command in every module of go.work as if it were alone.
define each_module
set -euo pipefail; dirs=$$(go list -m -f '{{.Dir}}'); for dir in $$dirs; do \
	echo "== $${dir#$(CURDIR)/}"; (cd "$$dir" && export GOWORK=off && $(1)); done
endef

$(GOLANGCI):
	GOBIN=$(CURDIR)/.bin GOWORK=off GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .bin/golangci-lint $@
