module github.com/pocketflowgo/pocketflow/services/pocketflow

go 1.26.0

require (
	github.com/pocketflowgo/pocketflow/shared v0.0.0
	github.com/pocketflowgo/pocketflow/migrations v0.0.0
	github.com/pocketflowgo/pocketflow/services/registry v0.0.0
	github.com/pocketflowgo/pocketflow/services/flow-catalog v0.0.0
	github.com/pocketflowgo/pocketflow/services/scheduler v0.0.0
	github.com/pocketflowgo/pocketflow/services/queue-gateway v0.0.0
	github.com/pocketflowgo/pocketflow/services/gateway v0.0.0
	github.com/pocketflowgo/pocketflow/services/demo-worker v0.0.0
)

replace (
	github.com/pocketflowgo/pocketflow/shared => ../../shared
	github.com/pocketflowgo/pocketflow/migrations => ../../migrations
	github.com/pocketflowgo/pocketflow/services/registry => ../../services/registry
	github.com/pocketflowgo/pocketflow/services/flow-catalog => ../../services/flow-catalog
	github.com/pocketflowgo/pocketflow/services/scheduler => ../../services/scheduler
	github.com/pocketflowgo/pocketflow/services/queue-gateway => ../../services/queue-gateway
	github.com/pocketflowgo/pocketflow/services/gateway => ../../services/gateway
	github.com/pocketflowgo/pocketflow/services/demo-worker => ../../services/demo-worker
)
