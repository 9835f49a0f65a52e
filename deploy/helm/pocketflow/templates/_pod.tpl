{{/*
The pod of a service. Arguments: root, key (of values.yaml), service (of the table).
*/}}
{{- define "pocketflow.pod" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .key -}}
{{- $services := include "pocketflow.services" $root | fromYaml -}}
{{- $database := $root.Values.database -}}
{{- $sqlite := and (ne .service.schema "") (eq $database.kind "sqlite") -}}
metadata:
  labels:
    {{- include "pocketflow.labels" (dict "root" $root "component" .service.name) | nindent 4 }}
    {{- with merge (dict) $values.podLabels $root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) $values.podAnnotations $root.Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "pocketflow.serviceAccountName" $root }}
  automountServiceAccountToken: false
  # Variables that Kubernetes makes up for Services read like settings.
  enableServiceLinks: false
  {{- with include "pocketflow.pullSecrets" $root }}{{ . | trim | nindent 2 }}{{ end }}
  securityContext: {{- include "pocketflow.podSecurityContext" $root | nindent 4 }}
  # The wait before the stop, the drain, and time to close the database.
  terminationGracePeriodSeconds: {{ add (ternary 0 $root.Values.stop.preStopSeconds $sqlite) $root.Values.stop.drainSeconds 10 }}
  containers:
    - name: {{ .service.name }}
      image: {{ include "pocketflow.image" (dict "root" $root "name" .service.name "image" $values.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve]
      ports:
        - name: http
          containerPort: {{ .service.port }}
        {{- if $root.Values.admin.enabled }}
        - name: admin
          containerPort: {{ $root.Values.admin.port }}
        {{- end }}
      env:
        - name: {{ .service.env }}_ADDR
          value: ":{{ .service.port }}"
        # There is no authentication yet: listening beyond loopback has to be said.
        - name: INSECURE
          value: "true"
        - name: DRAIN_TIMEOUT
          value: {{ printf "%ds" (int $root.Values.stop.drainSeconds) }}
        {{- if $root.Values.admin.enabled }}
        - name: ADMIN_ADDR
          value: ":{{ $root.Values.admin.port }}"
        - name: METRICS_AT
          value: admin
        {{- end }}
        {{- if $sqlite }}
        - name: {{ .service.env }}_DB
          value: sqlite:///data/{{ .service.schema }}.db
        - name: AUTO_MIGRATE
          value: "true"
        {{- else if .service.schema }}
        {{- include "pocketflow.dsn" (dict "root" $root "key" .key "service" .service "secret" $database.postgres.secretName) | nindent 8 }}
        - name: AUTO_MIGRATE
          value: {{ eq $database.postgres.migrations.mode "start" | quote }}
        {{- end }}
        {{- range .service.calls }}
        {{- $peer := index $services . }}
        - name: {{ $peer.env }}_URL
          value: {{ include "pocketflow.url" (dict "root" $root "service" $peer) }}
        {{- end }}
        {{- range $name, $value := merge (dict) $values.settings $root.Values.settings }}
        - name: {{ $name }}
          value: {{ include "pocketflow.text" $value | quote }}
        {{- end }}
        {{- with concat $root.Values.extraEnv $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: http}
        {{- toYaml $root.Values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        {{- toYaml $root.Values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        {{- toYaml $root.Values.probes.readiness | nindent 8 }}
      {{- if and (not $sqlite) (gt (int $root.Values.stop.preStopSeconds) 0) }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ int $root.Values.stop.preStopSeconds }}}
      {{- end }}
      resources: {{- toYaml $values.resources | nindent 8 }}
      securityContext: {{- include "pocketflow.securityContext" $root | nindent 8 }}
      {{- if or $sqlite $values.extraVolumeMounts }}
      volumeMounts:
        {{- if $sqlite }}
        - name: data
          mountPath: /data
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- with $values.extraVolumes }}
  volumes: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "pocketflow.placement" (dict "root" $root "component" .service.name "values" $values) }}{{ . | trim | nindent 2 }}{{ end }}
{{- end }}
