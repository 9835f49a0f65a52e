module github.com/pocketflowgo/pocketflow/services/queue-gateway

go 1.26.0

require (
	github.com/pocketflowgo/pocketflow/shared v0.0.0
	github.com/pocketflowgo/pocketflow/migrations v0.0.0
)

replace (
	github.com/pocketflowgo/pocketflow/shared => ../../shared
	github.com/pocketflowgo/pocketflow/migrations => ../../migrations
)
