{{- define "signet.fullname" -}}
{{- if contains "signet" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-signet" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* Names of cluster-scoped objects: two releases may stand in two namespaces. */}}
{{- define "signet.clusterwide" -}}
{{ .Release.Namespace }}-{{ include "signet.fullname" . }}
{{- end }}

{{- define "signet.server.name" -}}{{ include "signet.fullname" . }}-server{{- end }}
{{- define "signet.agent.name" -}}{{ include "signet.fullname" . }}-agent{{- end }}
{{- define "signet.server.serviceAccount" -}}
{{ .Values.server.serviceAccount.name | default (include "signet.server.name" .) }}
{{- end }}
{{- define "signet.agent.serviceAccount" -}}
{{ .Values.agent.serviceAccount.name | default (include "signet.agent.name" .) }}
{{- end }}

{{- /* Takes (root, component). */}}
{{- define "signet.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: signet
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "signet.labels" -}}
{{- $root := index . 0 -}}
{{ include "signet.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Takes (root, image of server or agent). */}}
{{- define "signet.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $root.Values.image.registry) $image.repository -}}
{{- if $image.digest }}{{ $name }}@{{ $image.digest }}{{ else }}{{ $name }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "signet.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Takes server or agent: the volumes of `files`. */}}
{{- define "signet.fileVolumes" -}}
{{- range .files }}
- name: files-{{ .name }}
  {{- if .secret }}
  secret: { secretName: {{ .secret }}, defaultMode: 0440 }
  {{- else }}
  configMap: { name: {{ .configMap }}, defaultMode: 0444 }
  {{- end }}
{{- end }}
{{- end }}

{{- define "signet.fileMounts" -}}
{{- range .files }}
- { name: files-{{ .name }}, mountPath: /etc/signet/files/{{ .name }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "signet.env" -}}
{{- range .env }}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secret }}, key: {{ .key }} } }
{{- end }}
{{- end }}

{{- /* What automounting would bring, by a token that lives an hour. */}}
{{- define "signet.apiTokenVolume" -}}
- name: api-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: { path: token, expirationSeconds: 3600 }
      - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
      - downwardAPI: { items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }] }
{{- end }}

{{- define "signet.apiTokenMount" -}}
- { name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
{{- end }}

{{- define "signet.probes" -}}
startupProbe:
  httpGet: { path: /live, port: metrics }
  periodSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /ready, port: metrics }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /live, port: metrics }
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{- /* Whether the server asks the API server, and the parts of that. Empty is no. */}}
{{- define "signet.server.certManager" -}}
{{- $upstream := get .Values.server.config "upstream" | default dict -}}
{{- $issuer := get $upstream "certManager" | default dict -}}
{{- if and $issuer (not (hasKey $issuer "kubeconfigPath")) }}{{ $issuer.namespace }}{{ end }}
{{- end }}

{{- /* Whether the server keeps an eye on this cluster: kubernetes.clusters of server.yaml. */}}
{{- define "signet.server.watches" -}}
{{- if or .Values.rules.enabled .Values.podCertificates.enabled .Values.issuers.enabled .Values.istio.enabled .Values.connectors.enabled (include "signet.trustBundles" . | fromYamlArray) (include "signet.configMaps" . | fromYamlArray) }}yes{{ end }}
{{- end }}

{{- define "signet.server.usesApi" -}}
{{- if or .Values.nodeAttestor.k8sPsat.enabled (include "signet.server.watches" .) (include "signet.server.certManager" .) }}yes{{ end }}
{{- end }}

{{- /* Whether the server of this release publishes what its agents begin with. */}}
{{- define "signet.bootstrap.publishes" -}}
{{- if and .Values.server.enabled .Values.agent.enabled .Values.agent.bootstrap.publish (not .Values.agent.bootstrap.insecure) (not .Values.agent.serverAddress) }}yes{{ end }}
{{- end }}

{{- /* ConfigMaps that the server publishes into, as a YAML list. */}}
{{- define "signet.configMaps" -}}
{{- $maps := .Values.configMaps -}}
{{- if and (include "signet.bootstrap.publishes" .) (not .Values.agent.bootstrap.clusterTrustBundle) -}}
{{- $from := .Values.agent.bootstrap -}}
{{- $isThere := false -}}
{{- range $maps }}{{ if and (eq (.namespace | default "") $.Release.Namespace) (eq (.name | default "spire-bundle") $from.configMap) }}{{ $isThere = true }}{{ end }}{{ end -}}
{{- if not $isThere }}{{ $maps = append $maps (dict "namespace" .Release.Namespace "name" $from.configMap "key" $from.key "format" $from.format) }}{{ end -}}
{{- end -}}
{{- toYaml $maps }}
{{- end }}

{{- /* ClusterTrustBundles that the server publishes, as a YAML list. */}}
{{- define "signet.trustBundles" -}}
{{- $bundles := .Values.trustBundles -}}
{{- $name := .Values.agent.bootstrap.clusterTrustBundle -}}
{{- if and $name (include "signet.bootstrap.publishes" .) (not (has $name (include "signet.trustBundleNames" . | fromJsonArray))) -}}
{{- $own := dict "name" $name -}}
{{- /* The name of a bundle with a signer begins with that. */}}
{{- if contains ":" $name }}{{ $own = dict "signerName" (splitList ":" $name | initial | join "/") "name" (splitList ":" $name | last) }}{{ end -}}
{{- $bundles = append $bundles $own -}}
{{- end -}}
{{- toYaml $bundles }}
{{- end }}

{{- /* Pools of agents: that of all nodes without the label is the empty name. */}}
{{- define "signet.agent.pools" -}}
{{- prepend (keys .Values.agent.pools | sortAlpha) "" | toYaml }}
{{- end }}

{{- /* Takes (root, pool): the values under `agent` as they are for a pool. */}}
{{- define "signet.agent.values" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
{{- $agent := omit (deepCopy $root.Values.agent) "pools" -}}
{{- if $name -}}
{{- $pool := deepCopy (get $root.Values.agent.pools $name) -}}
{{- $config := get $pool "config" | default dict -}}
{{- /* One method takes the place of another; beside it there is none. */}}
{{- if hasKey $config "attestation" }}{{ $_ := set $agent "config" (omit $agent.config "attestation") }}{{ end -}}
{{- $agent = mergeOverwrite $agent $pool -}}
{{- end -}}
{{- toYaml $agent }}
{{- end }}

{{- define "signet.agent.usesPsat" -}}
{{- if not (get .Values.agent.config "attestation") }}yes{{ end }}
{{- end }}

{{- define "signet.agent.podSources" -}}
{{- $attestors := get .Values.agent.config "workloadAttestors" | default dict -}}
{{- if hasKey $attestors "k8s" }}
{{- $k8s := get $attestors "k8s" | default dict -}}
{{- $sources := get $k8s "sources" | default (list "kubelet-socket" "kubelet" "api-server") -}}
{{- if get $k8s "namespaceLabels" }}{{ $sources = append $sources "namespaces" }}{{ end -}}
{{- join " " $sources }}
{{- end }}
{{- end }}

{{- define "signet.agent.usesApi" -}}
{{- if without (splitList " " (include "signet.agent.podSources" .)) "" "kubelet-socket" }}yes{{ end }}
{{- end }}

{{- /* Whether pods get the socket by our driver. */}}
{{- define "signet.agent.csi" -}}
{{- if and .Values.agent.enabled (eq .Values.agent.socket.mode "csi") }}yes{{ end }}
{{- end }}

{{- define "signet.oidc.name" -}}{{ include "signet.fullname" . }}-oidc{{- end }}

{{- /* Host of the issuer. */}}
{{- define "signet.oidc.host" -}}
{{ regexReplaceAll "^https://([^/:]+).*$" .Values.jwtIssuer "${1}" }}
{{- end }}

{{- /* What else the server serves, by name: values of the switch, port of the container. */}}
{{- define "signet.endpoints" -}}
{{- $endpoints := dict -}}
{{- if .Values.server.enabled -}}
{{- if .Values.oidc.enabled }}{{ $_ := set $endpoints "oidc" (dict "port" 8443 "values" .Values.oidc) }}{{ end -}}
{{- with .Values.federation.bundleEndpoint }}{{ if .enabled }}{{ $_ := set $endpoints "federation" (dict "port" 8444 "values" .) }}{{ end }}{{ end -}}
{{- end -}}
{{- toYaml $endpoints }}
{{- end }}

{{- /* Files of an endpoint's Secret. Takes the name of the endpoint. */}}
{{- define "signet.tlsFiles" -}}
certificatePath: /etc/signet/{{ . }}/tls.crt
keyPath: /etc/signet/{{ . }}/tls.key
{{- end }}
