{{- /* What a schema cannot say; each message tells what to do. */}}
{{- define "signet.checks" -}}
{{- $v := .Values -}}
{{- if not $v.trustDomain }}{{ fail "\n\ntrustDomain is not set: the name of your trust domain, such as prod.your-company.com. It stands in every identity and cannot be changed later." }}{{ end }}
{{- if not $v.clusterName }}{{ fail "\n\nclusterName is not set: a name for this cluster, such as rack-1. It stands in the IDs of its agents." }}{{ end }}
{{- if not $v.image.registry }}{{ fail "\n\nimage.registry is not set: there are no published images. Build them from containers/ (docs/kubernetes-install.md) and name your registry." }}{{ end }}
{{- if not (or $v.server.enabled $v.agent.enabled) }}{{ fail "\n\nserver.enabled and agent.enabled are both false: nothing is left to install." }}{{ end }}
{{- if $v.strictMode }}
{{- if regexMatch "(^|\\.)(example(\\.(com|net|org))?|test|invalid|localhost|local)$" $v.trustDomain }}{{ fail (printf "\n\ntrustDomain %s is an example: take a name of your own, or set strictMode: false for a trial." $v.trustDomain) }}{{ end }}
{{- if regexMatch "^(example|example-cluster|test|my-cluster|demo-cluster)$" $v.clusterName }}{{ fail (printf "\n\nclusterName %s is an example: take a name of your own, or set strictMode: false for a trial." $v.clusterName) }}{{ end }}
{{- if and $v.agent.enabled $v.agent.bootstrap.insecure }}{{ fail "\n\nagent.bootstrap.insecure takes the trust bundle from whoever answers: name a ConfigMap with the bundle, or set strictMode: false for a trial." }}{{ end }}
{{- end }}
{{- if and $v.agent.enabled (not $v.server.enabled) (not $v.agent.serverAddress) }}{{ fail "\n\nagent.serverAddress is not set, and server.enabled is false: name the server that the agents connect to." }}{{ end }}
{{- if and $v.podCertificates.enabled (not $v.podCertificates.signerDomain) }}{{ fail "\n\npodCertificates.signerDomain is not set: a domain of yours, such as signet.your-company.com. The signer is called <signerDomain>/spiffe, and volumes of pods name it." }}{{ end }}
{{- if and (or $v.podCertificates.enabled $v.issuers.enabled $v.istio.enabled) (not $v.rules.enabled) }}{{ fail "\n\npodCertificates, issuers and istio need rules.enabled: rules say who pods are." }}{{ end }}
{{- if and $v.strictMode $v.podCertificates.enabled (regexMatch "(^|\\.)(example(\\.(com|net|org))?|test|invalid|localhost|local)$" $v.podCertificates.signerDomain) }}{{ fail (printf "\n\npodCertificates.signerDomain %s is an example: take a domain of your own, or set strictMode: false for a trial." $v.podCertificates.signerDomain) }}{{ end }}
{{- include "signet.checks.endpoints" . }}
{{- if $v.agent.enabled }}{{- range $pool := include "signet.agent.pools" . | fromYamlArray }}
{{- $agent := include "signet.agent.values" (list $ $pool) | fromYaml }}
{{- include "signet.checks.agent" (dict "Values" (set (deepCopy $v) "agent" $agent) "at" (ternary (printf "agent.pools.%s" $pool) "agent" (ne $pool ""))) }}
{{- end }}{{ end }}
{{- if and $v.agent.enabled $v.agent.bootstrap.clusterTrustBundle (ne $v.agent.bootstrap.format "pem") }}{{ fail "\n\nagent.bootstrap.format is not pem, and a ClusterTrustBundle holds nothing else: leave format out, or take a ConfigMap." }}{{ end }}
{{- if and $v.networkPolicy.enabled $v.networkPolicy.egress.enabled (not $v.networkPolicy.egress.apiServerCidrs) (or (and $v.server.enabled (include "signet.server.usesApi" .)) (and $v.agent.enabled (include "signet.agent.usesApi" .))) }}{{ fail "\n\nnetworkPolicy.egress.apiServerCidrs is not set: server and agents need the API server. kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes tells its addresses." }}{{ end }}
{{- if and $v.networkPolicy.enabled $v.networkPolicy.egress.enabled $v.agent.enabled $v.agent.serverAddress (not $v.networkPolicy.egress.agent) }}{{ fail "\n\nnetworkPolicy.egress.agent is not set: agents need the server at agent.serverAddress." }}{{ end }}
{{- if and $v.metrics.podMonitor.enabled $v.metrics.serviceMonitor.enabled }}{{ fail "\n\nmetrics.podMonitor and metrics.serviceMonitor are both enabled: everything would be counted twice. Take one." }}{{ end }}
{{- if and $v.server.enabled (eq (dig "keys" "manager" "disk" $v.server.config) "pkcs11") }}{{ fail "\n\nserver.config.keys.manager pkcs11 needs the library of your HSM, which is not in the image of containers/: use aws-kms, vault-transit or disk." }}{{ end }}
{{- if and $v.agent.socket.csiDriver (eq $v.agent.socket.mode "csi") }}{{ fail "\n\nagent.socket.csiDriver names a driver of yours, and agent.socket.mode csi brings one: set the mode to hostPath, or leave csiDriver empty." }}{{ end }}
{{- if and (include "signet.agent.csi" .) (eq (int $v.agent.socket.csi.metricsPort) (int $v.metrics.port)) }}{{ fail "\n\nagent.socket.csi.metricsPort and metrics.port are the same, of two processes in one pod: change one of them." }}{{ end }}
{{- range list $v.server $v.agent }}{{- range .files }}
{{- if eq (empty .secret) (empty .configMap) }}{{ fail (printf "\n\nfiles: %s names neither or both of secret and configMap: exactly one of them." .name) }}{{ end }}
{{- end }}{{- end }}
{{- end }}

{{- /* Of one pool of agents; `at` is where its values stand. */}}
{{- define "signet.checks.agent" -}}
{{- $v := .Values -}}
{{- if and $v.server.enabled (include "signet.agent.usesPsat" .) (not $v.nodeAttestor.k8sPsat.enabled) (not $v.agent.serverAddress) }}{{ fail (printf "\n\nThe agents attest by k8s_psat, and nodeAttestor.k8sPsat.enabled is false: turn it on, or name another method in %s.config.attestation." .at) }}{{ end }}
{{- if and (get $v.agent.config "voucher") (not $v.agent.hostNetwork) }}{{ fail (printf "\n\n%s.config.voucher listens on a link of the node: set %s.hostNetwork: true." .at .at) }}{{ end }}
{{- if and (dig "attestation" "dpuHost" "address" "" $v.agent.config) (not $v.agent.hostNetwork) }}{{ fail (printf "\n\n%s.config.attestation.dpuHost asks over a link of the node: set %s.hostNetwork: true." .at .at) }}{{ end }}
{{- end }}

{{- /* Of what else the server serves. */}}
{{- define "signet.checks.endpoints" -}}
{{- $v := .Values -}}
{{- if $v.oidc.enabled }}
{{- if not (regexMatch "^https://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$" $v.jwtIssuer) }}{{ fail (printf "\n\noidc needs jwtIssuer, and it is %q: an https URL that does not end in a slash, such as https://id.your-company.com. It stands in every JWT-SVID." $v.jwtIssuer) }}{{ end }}
{{- if eq (empty $v.oidc.tlsSecret) (not $v.oidc.ownCertificate) }}{{ fail "\n\noidc names neither or both of tlsSecret and ownCertificate: exactly one of them. A Secret with a public certificate where others reach the server itself; ownCertificate behind an Ingress." }}{{ end }}
{{- else if $v.oidc.ingress.enabled }}{{ fail "\n\noidc.ingress.enabled needs oidc.enabled: there is nothing to lead to." }}
{{- end }}
{{- with $v.federation.bundleEndpoint }}{{ if .enabled }}
{{- if ne (eq .profile "https_web") (not (empty .tlsSecret)) }}{{ fail "\n\nfederation.bundleEndpoint: https_web is known by the certificate of tlsSecret, https_spiffe by the server's SVID. Set tlsSecret with https_web, and with that alone." }}{{ end }}
{{- end }}{{ end }}
{{- if and $v.server.enabled (has (int $v.metrics.port) (list 8081 8443 8444)) }}{{ fail (printf "\n\nmetrics.port %d is taken: in its pod the server has 8081 for agents, 8443 for oidc, 8444 for federation.bundleEndpoint. Take another, such as 9988." (int $v.metrics.port)) }}{{ end }}
{{- end }}
