{{- define "connector.name" -}}
{{- if contains "connector" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-connector" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "connector.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "connector.name" .) }}
{{- end }}

{{- define "connector.selector" -}}
app.kubernetes.io/name: signet-connector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "connector.labels" -}}
{{ include "connector.selector" . }}
app.kubernetes.io/component: {{ .Values.group }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "connector.companionImage" -}}
{{- $image := .Values.companion.image -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $image.registry) $image.repository -}}
{{- if $image.digest }}{{ $name }}@{{ $image.digest }}{{ else }}{{ $name }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* connector.yaml: what values say, and over it what the chart is answerable for. */}}
{{- define "connector.config" -}}
{{- $config := deepCopy .Values.companion.config -}}
{{- $fixed := dict "trustDomain" .Values.trustDomain "group" .Values.group "dataDir" "/var/lib/signet/connector" -}}
{{- $_ := set $fixed "server" (dict "address" .Values.server.address "port" (int .Values.server.port)) -}}
{{- $_ := set $fixed "bootstrap" (dict "bundlePath" (printf "/etc/signet/bundle/%s" .Values.bootstrap.key)) -}}
{{- $enrol := dict "method" "kubernetes-token" "tokenPath" "/var/run/secrets/tokens/signet" -}}
{{- with .Values.clusterName }}{{ $_ := set $enrol "cluster" . }}{{ end -}}
{{- $_ := set $fixed "enrol" $enrol -}}
{{- $_ := set $fixed "outputs" (dict "directory" "/run/signet/certificates" "keyMode" "0640" "mode" "0644") -}}
{{- $_ := set $fixed "segments" (dict "path" "/run/signet/segments.json") -}}
{{- $_ := set $fixed "local" (dict "path" "/run/signet/local.sock" "mode" "0660") -}}
{{- $_ := set $fixed "telemetry" (dict "address" "::" "port" (int .Values.metrics.port)) -}}
{{- $_ := set $fixed "drain" (dict "timeout" (printf "%ds" (int .Values.drain.seconds))) -}}
{{- mergeOverwrite $config $fixed | toYaml }}
{{- end }}

{{- define "connector.checks" -}}
{{- range $key := list "trustDomain" "group" }}{{ if not (get $.Values $key) }}{{ fail (printf "\n\n%s is required." $key) }}{{ end }}{{ end }}
{{- if not .Values.server.address }}{{ fail "\n\nserver.address is required: where the connectors' server is." }}{{ end }}
{{- if not .Values.connector.image }}{{ fail "\n\nconnector.image is required: the whole reference of your connector's image." }}{{ end }}
{{- if not .Values.companion.image.registry }}{{ fail "\n\ncompanion.image.registry is required: there are no published images, containers/ builds them." }}{{ end }}
{{- with .Values.autoscaling }}{{ if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}{{ fail "\n\nautoscaling.minReplicas is more than maxReplicas." }}{{ end }}
{{- if and (eq (int .flowsPerInstance) 0) (eq (int .cpuPercent) 0) }}{{ fail "\n\nautoscaling has neither flowsPerInstance nor cpuPercent: nothing to scale by." }}{{ end }}
{{- end }}{{ end }}
{{- $ports := list (int .Values.metrics.port) }}
{{- range .Values.connector.ports }}{{ if has (int .port) $ports }}{{ fail (printf "\n\nport %d of the connector is taken in its pod: change it, or metrics.port." (int .port)) }}{{ end }}{{ $ports = append $ports (int .port) }}{{ end }}
{{- with .Values.networkPolicy }}{{ if and .enabled .egress.enabled }}
{{- if and (not .egress.serverCidrs) (not .egress.serverNamespaces) }}{{ fail "\n\nnetworkPolicy.egress says neither in serverCidrs nor in serverNamespaces where the server is: connectors could not reach it." }}{{ end }}
{{- range $name, $segment := $.Values.segments }}
{{- if and (include "connector.named" $segment) (not $segment.addresses) (not $segment.podSelector) }}{{ fail (printf "\n\nsegments.%s has names, which network policies do not know: say in addresses or podSelector what they lead to, or turn networkPolicy.egress.enabled off." $name) }}{{ end }}
{{- end }}
{{- end }}{{ end }}
{{- end }}

{{- /* Whether a segment has hosts that are no addresses. */}}
{{- define "connector.named" -}}
{{- if .services }}yes{{ end }}
{{- range .hosts }}{{ if not (include "connector.cidr" .) }}yes{{ end }}{{ end }}
{{- end }}

{{- /* A host as a CIDR; empty for a name. */}}
{{- define "connector.cidr" -}}
{{- if regexMatch "^[0-9.]+$" . }}{{ . }}/32
{{- else if regexMatch "^[0-9.]+/[0-9]+$" . }}{{ . }}
{{- else if and (contains ":" .) (contains "/" .) }}{{ . }}
{{- else if contains ":" . }}{{ . }}/128
{{- end }}
{{- end }}
