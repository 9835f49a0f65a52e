module github.com/pocketflowgo/pocketflow/migrations

go 1.26.0
