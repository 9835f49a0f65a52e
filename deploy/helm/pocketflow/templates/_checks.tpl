{{/*
What no schema can say, because it is about two values at once. Every message
names the value to change.
*/}}
{{- define "pocketflow.checks" -}}
{{- range $key, $service := include "pocketflow.services" . | fromYaml }}
{{- $values := index $.Values $key }}
{{- if and $service.schema (eq $.Values.database.kind "sqlite") }}
{{- if gt (int $values.replicas) 1 }}
{{- fail (printf "%s.replicas is %d: a SQLite file has one process. Set it to 1, or database.kind to postgres." $key (int $values.replicas)) }}
{{- end }}
{{- if dig "autoscaling" "enabled" false $values }}
{{- fail (printf "%s.autoscaling.enabled: a SQLite file has one process. Switch it off, or set database.kind to postgres." $key) }}
{{- end }}
{{- end }}
{{- if dig "autoscaling" "enabled" false $values }}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) }}
{{- fail (printf "%s.autoscaling: minReplicas is %d, more than the maxReplicas of %d." $key (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.database.kind "postgres") (not .Values.database.postgres.secretName) }}
{{- fail "database.postgres.secretName: name the Secret that has the services' data source names." }}
{{- end }}
{{- end }}
