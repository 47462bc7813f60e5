{{- /* Rights of the server's account in this cluster: each stands for a switch, and for what the program does then. */}}
{{- define "signet.server.clusterRights" -}}
{{- $v := .Values -}}
{{- $tokens := and $v.connectors.enabled $v.connectors.kubernetesTokens -}}
{{- if or $v.nodeAttestor.k8sPsat.enabled $v.istio.enabled $tokens }}
# nodeAttestor.k8sPsat, istio, connectors.kubernetesTokens: whose token is it.
- { apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create] }
{{- end }}
{{- if or $v.nodeAttestor.k8sPsat.enabled $tokens }}
# nodeAttestor.k8sPsat, connectors.kubernetesTokens: does the pod stand as its token says.
- { apiGroups: [""], resources: [pods, nodes], verbs: [get] }
{{- end }}
{{- if $v.rules.enabled }}
# rules: what entries are derived from. Who is held to pathPrefixes has no say in whom to trust.
- { apiGroups: [""], resources: [pods, nodes, namespaces], verbs: [list, watch] }
- { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] }
- apiGroups: [spire.spiffe.io]
  resources: [clusterspiffeids, clusterstaticentries{{ if not $v.rules.pathPrefixes }}, clusterfederatedtrustdomains{{ end }}]
  verbs: [list, watch]
- apiGroups: [signet.dev]
  resources: [workloadidentities, workloadidentitygrants]
  verbs: [list, watch]
{{- if $v.rules.status.enabled }}
# rules.status
- apiGroups: [spire.spiffe.io]
  resources: [clusterspiffeids/status, clusterstaticentries/status{{ if not $v.rules.pathPrefixes }}, clusterfederatedtrustdomains/status{{ end }}]
  verbs: [patch]
- apiGroups: [signet.dev]
  resources: [workloadidentities/status]
  verbs: [patch]
{{- end }}
{{- end }}
{{- if $v.podCertificates.enabled }}
# podCertificates: requests of this signer are answered, and told to the pod as events.
- { apiGroups: [certificates.k8s.io], resources: [podcertificaterequests], verbs: [list, watch] }
- { apiGroups: [certificates.k8s.io], resources: [podcertificaterequests/status], verbs: [patch] }
- apiGroups: [certificates.k8s.io]
  resources: [signers]
  resourceNames: [{{ $v.podCertificates.signerDomain }}/spiffe{{ if $v.podCertificates.serviceDns }}, {{ $v.podCertificates.signerDomain }}/service-dns{{ end }}]
  verbs: [sign]
{{- end }}
{{- if or (and $v.podCertificates.enabled $v.podCertificates.serviceDns) $v.connectors.enabled }}
# podCertificates.serviceDns, connectors: names and addresses of services.
- { apiGroups: [""], resources: [services], verbs: [list, watch] }
{{- end }}
{{- if $v.connectors.enabled }}
# connectors
- apiGroups: [signet.dev]
  resources: [connectorgroups, connectorsegments]
  verbs: [list, watch]
- apiGroups: [signet.dev]
  resources: [connectorgroups/status, connectorsegments/status]
  verbs: [patch]
{{- end }}
{{- if $v.issuers.enabled }}
# issuers
- apiGroups: [signet.dev]
  resources: [signetissuers, signetclusterissuers]
  verbs: [list, watch]
- apiGroups: [signet.dev]
  resources: [signetissuers/status, signetclusterissuers/status]
  verbs: [patch]
{{- if $v.issuers.certificateRequests }}
- { apiGroups: [cert-manager.io], resources: [certificaterequests], verbs: [list, watch] }
- { apiGroups: [cert-manager.io], resources: [certificaterequests/status], verbs: [patch] }
{{- end }}
{{- if $v.issuers.signingRequests }}
- { apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [list, watch] }
- { apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests/status], verbs: [patch] }
- apiGroups: [certificates.k8s.io]
  resources: [signers]
  resourceNames: ["signetissuers.signet.dev/*", "signetclusterissuers.signet.dev/*"]
  verbs: [sign]
{{- end }}
{{- end }}
{{- if or $v.podCertificates.enabled $v.issuers.enabled $v.connectors.enabled }}
# podCertificates, issuers, connectors: what was done is told as events.
- { apiGroups: [""], resources: [events], verbs: [create] }
{{- end }}
{{- if or $v.podCertificates.enabled $v.issuers.enabled $v.istio.enabled }}
# podCertificates, issuers, istio: who the pods are.
- { apiGroups: [""], resources: [serviceaccounts], verbs: [list, watch] }
{{- end }}
{{- with include "signet.trustBundles" . | fromYamlArray }}
# trustBundles, agent.bootstrap.publish
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  resourceNames: {{ include "signet.trustBundleNames" (dict "Values" (dict "trustDomain" $v.trustDomain "trustBundles" .)) }}
  verbs: [list, watch, create, patch]
{{- $federated := false }}
{{- range $v.trustBundles }}{{ if .federated }}{{ $federated = true }}{{ end }}{{ end }}
{{- if $federated }}
# trustBundles with federated: their names come with the trust domains.
- { apiGroups: [certificates.k8s.io], resources: [clustertrustbundles], verbs: [get, list, watch, create, patch, delete] }
{{- end }}
{{- $signers := list }}
{{- range . }}{{ with .signerName }}{{ $signers = append $signers . }}{{ end }}{{ end }}
{{- with uniq $signers }}
- { apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: {{ toJson . }}, verbs: [attest] }
{{- end }}
{{- end }}
{{- $selected := list }}
{{- range $v.configMaps }}{{ if .namespaceSelector }}{{ $selected = append $selected (.name | default "spire-bundle") }}{{ end }}{{ end }}
{{- with uniq $selected }}
# configMaps with a namespaceSelector
- { apiGroups: [""], resources: [configmaps], resourceNames: {{ toJson . }}, verbs: [list, watch, create, patch] }
{{- if not $v.rules.enabled }}
- { apiGroups: [""], resources: [namespaces], verbs: [list, watch] }
{{- end }}
{{- end }}
{{- $federated := false }}
{{- range $v.configMaps }}{{ if and .namespaceSelector .federated }}{{ $federated = true }}{{ end }}{{ end }}
{{- if $federated }}
# configMaps with a namespaceSelector and federated: their names come with the trust domains.
- { apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, delete] }
{{- end }}
{{- end }}

{{- /* Names of the ClusterTrustBundles, as the server makes them. */}}
{{- define "signet.trustBundleNames" -}}
{{- $names := list -}}
{{- range .Values.trustBundles -}}
{{- $name := .name | default $.Values.trustDomain -}}
{{- if .signerName }}{{ $name = printf "%s:%s" (replace "/" ":" .signerName) $name }}{{ end -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- toJson (uniq $names) }}
{{- end }}

{{- /* Takes (root, namespace): rights within it. */}}
{{- define "signet.server.namespaceRights" -}}
{{- $root := index . 0 -}}{{- $namespace := index . 1 -}}
{{- $v := $root.Values -}}
{{- $leases := list -}}
{{- if eq $namespace $root.Release.Namespace -}}
{{- $name := include "signet.fullname" $root -}}
{{- if and $v.rules.enabled $v.rules.status.enabled }}{{ $leases = append $leases (printf "%s-rules" $name) }}{{ end -}}
{{- if $v.podCertificates.enabled }}{{ $leases = append $leases (printf "%s-pod-certificates" $name) }}{{ end -}}
{{- if $v.issuers.enabled }}{{ $leases = append $leases (printf "%s-issuers" $name) }}{{ end -}}
{{- if $v.connectors.enabled }}{{ $leases = append $leases (printf "%s-connectors" $name) }}{{ end -}}
{{- end -}}
{{- if $leases }}
# rules.status, podCertificates, issuers, connectors: the Leases by which one server acts. `create` cannot be bound to a name.
- { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create] }
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: {{ toJson $leases }}
  verbs: [get, update]
{{- end }}
{{- $maps := list -}}{{- $federated := false -}}
{{- range include "signet.configMaps" $root | fromYamlArray }}
{{- if and .federated (eq (.namespace | default "") $namespace) }}{{ $federated = true }}{{ end }}
{{- if eq (.namespace | default "") $namespace }}{{ $maps = append $maps (.name | default "spire-bundle") }}{{ end }}
{{- end }}
{{- with uniq $maps }}
# configMaps, agent.bootstrap.publish
- { apiGroups: [""], resources: [configmaps], resourceNames: {{ toJson . }}, verbs: [list, watch, create, patch] }
{{- end }}
{{- if $federated }}
# configMaps with federated: their names come with the trust domains.
- { apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch, delete] }
{{- end }}
{{- if eq (include "signet.server.certManager" $root) $namespace }}
# server.config.upstream.certManager
- { apiGroups: [cert-manager.io], resources: [certificaterequests], verbs: [create, get, delete] }
{{- end }}
{{- end }}

{{- /* Namespaces that the server has rights in, as a YAML list. */}}
{{- define "signet.server.namespaces" -}}
{{- $namespaces := list .Release.Namespace -}}
{{- range include "signet.configMaps" . | fromYamlArray }}{{ with .namespace }}{{ $namespaces = append $namespaces . }}{{ end }}{{ end -}}
{{- with include "signet.server.certManager" . }}{{ $namespaces = append $namespaces . }}{{ end -}}
{{- $namespaces | uniq | sortAlpha | toYaml }}
{{- end }}

{{- /* Rights of the agents' account. Takes (root, the sources of pods of all pools). */}}
{{- define "signet.agent.clusterRights" -}}
{{- $root := index . 0 -}}{{- $sources := index . 1 -}}
{{- if has "kubelet" $sources }}
# workloadAttestors.k8s.sources: kubelet
- { apiGroups: [""], resources: [{{ ternary "nodes/pods" "nodes/proxy" (semverCompare ">=1.36-0" $root.Capabilities.KubeVersion.Version) }}], verbs: [get] }
{{- end }}
{{- if has "api-server" $sources }}
# workloadAttestors.k8s.sources: api-server
- { apiGroups: [""], resources: [pods], verbs: [list, watch] }
{{- end }}
{{- if has "namespaces" $sources }}
# workloadAttestors.k8s.namespaceLabels
- { apiGroups: [""], resources: [namespaces], verbs: [get] }
{{- end }}
{{- end }}
