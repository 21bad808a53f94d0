{{/* What the pods of all components share. Each gets a dict: root, component, values (of the component). */}}

{{- define "sutra.port" -}}
{{- if eq .component "embedder" -}}7399{{- else -}}7400{{- end -}}
{{- end -}}

{{/* As long as a pod may take from the beginning of its end; the last seconds are for the disk. */}}
{{- define "sutra.terminationSeconds" -}}
{{- $life := .Values.lifecycle -}}
{{- $serving := div (add (int64 $life.drainMs) (int64 $life.graceMs) 999) 1000 -}}
{{ add $serving (int64 $life.preStopSeconds) 30 }}
{{- end -}}

{{- define "sutra.podMetadata" -}}
labels:
  {{- include "sutra.podLabels" . | nindent 2 }}
{{- with .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sutra.podSpec" -}}
serviceAccountName: {{ include "sutra.serviceAccount" .root }}
automountServiceAccountToken: false
# Variables like SUTRA_PORT, which Kubernetes would make of a Service's name, look like options.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "sutra.podSecurity" . | nindent 2 }}
terminationGracePeriodSeconds: {{ include "sutra.terminationSeconds" .root }}
affinity:
  podAntiAffinity:
    {{- include "sutra.antiAffinity" . | nindent 4 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sutra.selector" . | nindent 8 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sutra.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "sutra.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "sutra.antiAffinity" -}}
{{- if eq (.values.antiAffinity | default "soft") "hard" -}}
requiredDuringSchedulingIgnoredDuringExecution:
  - topologyKey: kubernetes.io/hostname
    labelSelector:
      matchLabels:
        {{- include "sutra.selector" . | nindent 8 }}
{{- else -}}
preferredDuringSchedulingIgnoredDuringExecution:
  - weight: 100
    podAffinityTerm:
      topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "sutra.selector" . | nindent 10 }}
{{- end -}}
{{- end -}}

{{/* Everything of the container but its own environment, resources and volumes. */}}
{{- define "sutra.container" -}}
image: {{ include "sutra.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "sutra.containerSecurity" . | nindent 2 }}
ports:
  - name: grpc
    containerPort: {{ include "sutra.port" . }}
  - name: metrics
    containerPort: 9464
{{- with .root.Values.lifecycle.preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ . }}
{{- end }}
{{ include "sutra.probes" . }}
{{- end -}}

{{/* Options of all servers, as environment, which the `sutra` of a probe in the container has, too. */}}
{{- define "sutra.environment" -}}
{{- $values := .root.Values -}}
- {name: SUTRA_LISTEN, value: "0.0.0.0:{{ include "sutra.port" . }}"}
- {name: SUTRA_ADDRESS, value: "localhost:{{ include "sutra.port" . }}"}
- {name: SUTRA_METRICS_LISTEN, value: "0.0.0.0:9464"}
- {name: SUTRA_DRAIN_MS, value: {{ $values.lifecycle.drainMs | int64 | quote }}}
- {name: SUTRA_GRACE_MS, value: {{ $values.lifecycle.graceMs | int64 | quote }}}
- {name: SUTRA_MAX_CONNECTION_AGE_MS, value: {{ $values.lifecycle.maxConnectionAgeMs | int64 | quote }}}
- {name: SUTRA_LOG_FORMAT, value: {{ $values.logging.format }}}
- {name: SUTRA_SLOW_MS, value: {{ $values.logging.slowMs | int64 | quote }}}
{{- if $values.tls.enabled }}
- {name: SUTRA_TLS_CERT, value: /etc/sutra/tls/tls.crt}
- {name: SUTRA_TLS_KEY, value: /etc/sutra/tls/tls.key}
- {name: SUTRA_TLS_CA, value: /etc/sutra/tls/ca.crt}
- {name: SUTRA_TLS_CLIENT_AUTH, value: {{ $values.tls.clientAuth }}}
{{- else }}
- {name: SUTRA_INSECURE, value: "true"}
{{- end }}
{{- if $values.auth.existingSecret }}
- {name: SUTRA_TOKENS, value: /etc/sutra/auth/tokens}
- {name: SUTRA_PEER_TOKEN, value: /etc/sutra/auth/peer-token}
- {name: SUTRA_HEALTH_OPEN, value: {{ $values.auth.healthOpen | quote }}}
- {name: SUTRA_REFLECTION_OPEN, value: {{ $values.auth.reflectionOpen | quote }}}
{{- end }}
{{- end -}}

{{/* Of shards and routers. */}}
{{- define "sutra.clusterEnvironment" -}}
- {name: SUTRA_TOPOLOGY, value: /etc/sutra/topology/topology.json}
- {name: SUTRA_PEER_WAIT_MS, value: {{ .root.Values.lifecycle.peerWaitMs | int64 | quote }}}
{{- if .root.Values.embedder.enabled }}
- {name: SUTRA_EMBEDDER, value: "{{ include "sutra.fullname" .root }}-embedder:7399"}
{{- end }}
{{- end -}}

{{- define "sutra.secretMounts" -}}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/sutra/tls, readOnly: true}
{{- end }}
{{- if .Values.auth.existingSecret }}
- {name: auth, mountPath: /etc/sutra/auth, readOnly: true}
{{- end }}
{{- end -}}

{{- define "sutra.secretVolumes" -}}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "sutra.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.auth.existingSecret }}
- name: auth
  secret:
    secretName: {{ .Values.auth.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "sutra.topologyMount" -}}
- {name: topology, mountPath: /etc/sutra/topology, readOnly: true}
{{- end -}}

{{- define "sutra.topologyVolume" -}}
- name: topology
  configMap:
    name: {{ include "sutra.fullname" . }}-topology
{{- end -}}
