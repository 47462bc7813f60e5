{{- /* server.yaml: what values say, and over it what the chart is answerable for. */}}
{{- define "signet.server.config" -}}
{{- $config := deepCopy .Values.server.config -}}
{{- $listen := dict "port" 8081 -}}
{{- $services := list -}}
{{- /* Mesh clients, and readers of keys, look for the name that they connect to. */}}
{{- if .Values.istio.enabled }}{{ $services = append $services (include "signet.server.name" .) }}{{ end -}}
{{- $names := list -}}
{{- if and .Values.oidc.enabled .Values.oidc.ownCertificate -}}
{{- $services = append $services (include "signet.oidc.name" .) -}}
{{- $names = append $names (include "signet.oidc.host" .) -}}
{{- end -}}
{{- range $services -}}
{{- $host := printf "%s.%s.svc" . $.Release.Namespace -}}
{{- $names = append (append $names $host) (printf "%s.%s" $host $.Values.clusterDomain) -}}
{{- end -}}
{{- if $names }}{{ $_ := set $listen "dnsNames" (concat $names (dig "listen" "dnsNames" list $config) | uniq) }}{{ end -}}
{{- $fixed := dict "trustDomain" .Values.trustDomain "dataDir" "/var/lib/signet/server" "listen" $listen -}}
{{- $_ := set $fixed "adminSocket" (dict "path" "/run/signet/server/private/api.sock") -}}
{{- $_ := set $fixed "telemetry" (dict "address" "::" "port" (int .Values.metrics.port)) -}}
{{- $subject := dict "country" .Values.caSubject.country "organization" .Values.caSubject.organization -}}
{{- with .Values.caSubject.commonName }}{{ $_ := set $subject "commonName" . }}{{ end -}}
{{- $_ := set $fixed "ca" (dict "subject" $subject) -}}
{{- with .Values.jwtIssuer }}{{ $_ := set $fixed "jwt" (dict "issuer" .) }}{{ end -}}
{{- with .Values.oidc }}{{ if .enabled -}}
{{- $oidc := dict "address" "::" "port" 8443 "cacheFor" .cacheFor -}}
{{- with .jwksUri }}{{ $_ := set $oidc "jwksUri" . }}{{ end -}}
{{- $by := ternary (dict "ownCertificate" true) (include "signet.tlsFiles" "oidc" | fromYaml) .ownCertificate -}}
{{- $_ := set $fixed "oidc" (merge $oidc $by) -}}
{{- end }}{{ end -}}
{{- with .Values.federation.bundleEndpoint }}{{ if .enabled -}}
{{- $endpoint := dict "address" "::" "port" 8444 "profile" .profile -}}
{{- if .tlsSecret }}{{ $endpoint = merge $endpoint (include "signet.tlsFiles" "federation" | fromYaml) }}{{ end -}}
{{- $_ := set $fixed "federation" (dict "bundleEndpoint" $endpoint) -}}
{{- end }}{{ end -}}
{{- $psat := include "signet.psatClusters" . | fromYamlArray -}}
{{- if $psat }}{{ $_ := set $fixed "attestation" (dict "k8sPsat" (dict "clusters" $psat)) }}{{ end -}}
{{- if .Values.connectors.enabled }}{{ $_ := set $fixed "connectors" (get $config "connectors" | default dict) }}{{ end -}}
{{- $watched := include "signet.kubeClusters" . | fromYamlArray -}}
{{- if $watched }}{{ $_ := set $fixed "kubernetes" (dict "clusters" $watched) }}{{ end -}}
{{- mergeOverwrite $config $fixed | toYaml }}
{{- end }}

{{- define "signet.psatClusters" -}}
{{- $psat := .Values.nodeAttestor.k8sPsat -}}
{{- $clusters := list -}}
{{- if $psat.enabled -}}
{{- $own := printf "%s:%s" .Release.Namespace (include "signet.agent.serviceAccount" .) -}}
{{- $accounts := prepend $psat.serviceAccounts $own | uniq -}}
{{- $here := dict "name" .Values.clusterName "serviceAccounts" $accounts "audiences" (list $psat.audience) -}}
{{- with $psat.nodeLabelKeys }}{{ $_ := set $here "nodeLabelKeys" . }}{{ end -}}
{{- with $psat.podLabelKeys }}{{ $_ := set $here "podLabelKeys" . }}{{ end -}}
{{- $clusters = list $here -}}
{{- end -}}
{{- concat $clusters $psat.extraClusters | toYaml }}
{{- end }}

{{- define "signet.kubeClusters" -}}
{{- $clusters := list -}}
{{- if include "signet.server.watches" . -}}
{{- $here := dict "name" .Values.clusterName "rules" (include "signet.rules" . | fromYaml) -}}
{{- if kindIs "bool" .Values.requireAttestedNode }}{{ $_ := set $here "requireAttestedNode" .Values.requireAttestedNode }}{{ end -}}
{{- with .Values.podCertificates }}{{- if .enabled }}
{{- $lease := dict "leaseNamespace" $.Release.Namespace "leaseName" (printf "%s-pod-certificates" (include "signet.fullname" $)) }}
{{- $_ := set $here "podCertificates" (merge $lease (omit . "enabled")) }}
{{- end }}{{ end -}}
{{- with .Values.issuers }}{{ if .enabled }}
{{- $lease := dict "leaseNamespace" $.Release.Namespace "leaseName" (printf "%s-issuers" (include "signet.fullname" $)) }}
{{- $_ := set $here "issuers" (merge $lease (omit . "enabled" "approve")) }}
{{- end }}{{ end -}}
{{- with .Values.connectors }}{{ if .enabled }}
{{- $lease := dict "leaseNamespace" $.Release.Namespace "leaseName" (printf "%s-connectors" (include "signet.fullname" $)) }}
{{- $_ := set $here "connectors" (dict "groups" .groups "status" $lease) }}
{{- end }}{{ end -}}
{{- with .Values.istio }}{{ if .enabled }}{{ $_ := set $here "istio" (omit . "enabled") }}{{ end }}{{ end -}}
{{- with include "signet.trustBundles" . | fromYamlArray }}{{ $_ := set $here "trustBundles" . }}{{ end -}}
{{- with include "signet.configMaps" . | fromYamlArray }}{{ $_ := set $here "configMaps" . }}{{ end -}}
{{- if or $here.trustBundles $here.configMaps }}{{ $_ := set $here "bundleSettle" .Values.bundleSettle }}{{ end -}}
{{- $clusters = list $here -}}
{{- end -}}
{{- concat $clusters .Values.rules.extraClusters | toYaml }}
{{- end }}

{{- define "signet.rules" -}}
{{- $rules := dict "enabled" false -}}
{{- if .Values.rules.enabled -}}
{{- $rules = dict "className" .Values.rules.className "watchClassless" .Values.rules.watchClassless -}}
{{- $_ := set $rules "clusterDomain" .Values.clusterDomain -}}
{{- $_ := set $rules "ignoreNamespaces" .Values.rules.ignoreNamespaces -}}
{{- with .Values.rules.pathPrefixes }}{{ $_ := set $rules "pathPrefixes" . }}{{ end -}}
{{- with .Values.rules.parentIdTemplate }}{{ $_ := set $rules "parentIdTemplate" . }}{{ end -}}
{{- if .Values.rules.status.enabled }}
{{- $_ := set $rules "status" (dict "leaseNamespace" .Release.Namespace "leaseName" (printf "%s-rules" (include "signet.fullname" .))) }}
{{- end -}}
{{- end -}}
{{- toYaml $rules }}
{{- end }}

{{- /* agent.yaml, in the same way. */}}
{{- define "signet.agent.config" -}}
{{- $config := deepCopy .Values.agent.config -}}
{{- $service := printf "%s.%s.svc" (include "signet.server.name" .) .Release.Namespace -}}
{{- $port := ternary .Values.agent.serverPort .Values.server.service.port (ne .Values.agent.serverAddress "") -}}
{{- $server := dict "address" (.Values.agent.serverAddress | default $service) "port" (int $port) -}}
{{- $fixed := dict "trustDomain" .Values.trustDomain "dataDir" "/var/lib/signet/agent" "server" $server -}}
{{- $_ := set $fixed "workloadSocket" (dict "path" "/run/signet/agent/public/api.sock") -}}
{{- $_ := set $fixed "telemetry" (dict "address" "::" "port" (int .Values.metrics.port)) -}}
{{- with .Values.agent.bootstrap }}
{{- $from := dict "bundlePath" (printf "/etc/signet/bundle/%s" .key) "bundleFormat" .format -}}
{{- $_ := set $fixed "bootstrap" (ternary (dict "insecure" true) $from .insecure) -}}
{{- end }}
{{- if include "signet.agent.usesPsat" . }}
{{- $psat := dict "cluster" .Values.clusterName "tokenPath" "/var/run/secrets/tokens/spire-agent" -}}
{{- $_ := set $fixed "attestation" (dict "k8sPsat" $psat) -}}
{{- end }}
{{- mergeOverwrite $config $fixed | toYaml }}
{{- end }}
