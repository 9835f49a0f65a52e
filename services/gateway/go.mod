module github.com/pocketflowgo/pocketflow/services/gateway

go 1.26.0

require (
	github.com/pocketflowgo/pocketflow/shared v0.0.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/zap v1.28.0
)

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/gorilla/mux v1.8.1 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace (
	github.com/pocketflowgo/pocketflow/migrations => ../../migrations
	github.com/pocketflowgo/pocketflow/shared => ../../shared
)
