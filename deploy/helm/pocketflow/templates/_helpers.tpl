{{/*
The services as the chart knows them: the one table that workloads, Services,
network policies and migrations are made from. Keys are those of values.yaml.

  name      of the binary, the image, the Service and the component label
  env       what the names of its settings begin with
  port      that it listens at
  schema    its name among the databases; none for a service that keeps nothing
  calls     the services whose URLs it is given
*/}}
{{- define "pocketflow.services" -}}
registry:
  {name: registry, env: REGISTRY, port: 8071, schema: registry, calls: []}
flowCatalog:
  {name: flow-catalog, env: CATALOG, port: 8072, schema: catalog, calls: []}
scheduler:
  {name: scheduler, env: SCHEDULER, port: 8073, schema: scheduler, calls: [registry, flowCatalog, queueGateway]}
queueGateway:
  {name: queue-gateway, env: QUEUE, port: 8074, schema: queue, calls: [scheduler]}
gateway:
  {name: gateway, env: GATEWAY, port: 8070, schema: "", calls: [registry, flowCatalog, scheduler, queueGateway]}
{{- end }}

{{/* Where the demo worker listens. */}}
{{- define "pocketflow.demoWorker" -}}
{name: demo-worker, port: 8081}
{{- end }}

{{/*
What the names of all objects begin with. Kubernetes adds a hash to a
StatefulSet's name and needs the two within 63: that leaves 52, of which
"-queue-gateway" takes 14.
*/}}
{{- define "pocketflow.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Labels that select a component's pods: they never change. Arguments: root, component. */}}
{{- define "pocketflow.selector" -}}
app.kubernetes.io/name: pocketflow
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of every object. Arguments: root, component. */}}
{{- define "pocketflow.labels" -}}
{{ include "pocketflow.selector" . }}
app.kubernetes.io/part-of: pocketflow
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | regexFind ".*[A-Za-z0-9]" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "pocketflow.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "pocketflow.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/*
An image's name. A digest says more than a tag, so it wins. What a service says
of its own image goes before what all have in common.
Arguments: root, name (of the binary), image (the service's own settings).
*/}}
{{- define "pocketflow.image" -}}
{{- $common := .root.Values.image -}}
{{- $own := .image | default dict -}}
{{- $name := $own.repository | default (printf "%s/%s" $common.repository .name) -}}
{{- if $common.registry -}}{{- $name = printf "%s/%s" $common.registry $name -}}{{- end -}}
{{- if $own.digest -}}
{{- printf "%s@%s" $name $own.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($own.tag | default $common.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* The URL of a service inside the cluster. Arguments: root, service (of the table). */}}
{{- define "pocketflow.url" -}}
http://{{ include "pocketflow.fullname" .root }}-{{ .service.name }}:{{ .service.port }}
{{- end }}

{{/* Secrets of the registry that images come from. */}}
{{- define "pocketflow.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Of a pod: the user that the images are built for, and the owner of its volume. */}}
{{- define "pocketflow.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Of a container: the binaries need no privilege and write to their volume alone. */}}
{{- define "pocketflow.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/*
A variable whose value is in a Secret: the data source name of a service's
database. Arguments: root, key (of values.yaml), service (of the table), secret.
*/}}
{{- define "pocketflow.dsn" -}}
- name: {{ .service.env }}_DB
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ index .root.Values.database.postgres.keys .key }}
{{- end }}

{{/*
Where pods may be put. What a component says goes before what all have in
common. Arguments: root, component, values (the component's).
*/}}
{{- define "pocketflow.placement" -}}
{{- $common := .root.Values.placement -}}
{{- with .values.nodeSelector | default $common.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations | default $common.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity | default $common.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints | default $common.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- /* Counted among the component's own pods, unless it says otherwise. */}}
  - {{ merge (dict) . (dict "labelSelector" (dict "matchLabels" (include "pocketflow.selector" (dict "root" $.root "component" $.component) | fromYaml))) | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- with $common.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* A value as text: Helm reads numbers as floats, and would write 1.6777216e+07. */}}
{{- define "pocketflow.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- int64 . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end }}
