{{/* Names and labels. Every component's template gets a dict: root (the chart's top), component ("shard"). */}}

{{- define "sutra.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name with the chart's in it; short enough for what is put behind it. */}}
{{- define "sutra.fullname" -}}
{{- $name := include "sutra.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sutra.workload" -}}
{{ include "sutra.fullname" .root }}-{{ .component }}
{{- end -}}

{{- define "sutra.selector" -}}
app.kubernetes.io/name: {{ include "sutra.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Of pods: nothing that changes where the program does not, for a change restarts them. */}}
{{- define "sutra.podLabels" -}}
{{ include "sutra.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end -}}

{{- define "sutra.labels" -}}
{{ include "sutra.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sutra.metadata" -}}
name: {{ .name | default (include "sutra.workload" .) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "sutra.labels" . | nindent 2 }}
{{- end -}}

{{- define "sutra.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "sutra.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "sutra.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "sutra.priorityClass" -}}
{{- $class := .Values.shard.priorityClass -}}
{{- if $class.create -}}
{{ default (printf "%s-%s-shard" .Release.Namespace (include "sutra.fullname" .)) $class.name }}
{{- else -}}
{{ $class.name }}
{{- end -}}
{{- end -}}

{{- define "sutra.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{ include "sutra.fullname" . }}-tls
{{- else -}}
{{ required "tls.enabled needs tls.existingSecret or tls.certManager.enabled" .Values.tls.existingSecret }}
{{- end -}}
{{- end -}}

{{/* A shard's address, stable because its pod's name and the headless Service's are. */}}
{{- define "sutra.shardAddress" -}}
{{- $name := include "sutra.fullname" .root -}}
{{ printf "%s-shard-%d.%s-shards:7400" $name (int .shard) $name }}
{{- end -}}
