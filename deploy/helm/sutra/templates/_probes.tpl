{{/*
Probes ask grpc.health.v1. Kubernetes' own gRPC probe speaks neither TLS nor tokens: where either is needed,
the `sutra` in the container asks, with the container's environment.
*/}}
{{- define "sutra.probe" -}}
{{- $values := .root.Values -}}
{{- if or $values.tls.enabled (and $values.auth.existingSecret (not $values.auth.healthOpen)) -}}
exec:
  command:
    - /usr/bin/sutra
    - health
    - {{ .service }}
    - --timeout={{ .timeout }}
    {{- if and $values.auth.existingSecret (not $values.auth.healthOpen) }}
    - --token-file=/etc/sutra/auth/peer-token
    {{- end }}
{{- else -}}
grpc:
  port: {{ include "sutra.port" . }}
  service: {{ .service }}
{{- end }}
timeoutSeconds: {{ .timeout }}
{{- end -}}

{{/* Liveness is told from the moment the port is open, also while a shard opens its data, however long that takes: readiness waits for it. */}}
{{- define "sutra.probes" -}}
startupProbe:
  {{- include "sutra.probe" (merge (dict "service" "liveness" "timeout" 3) .) | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 300
livenessProbe:
  {{- include "sutra.probe" (merge (dict "service" "liveness" "timeout" 5) .) | nindent 2 }}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  {{- include "sutra.probe" (merge (dict "service" "readiness" "timeout" 3) .) | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 2
{{- end -}}
