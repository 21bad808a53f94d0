{{/* Requests that follow from the number of concepts in a shard. */}}

{{- define "sutra.withHeadroom" -}}
{{- $percent := add 100 (int64 .root.Values.sizing.headroomPercent) -}}
{{ div (mul (int64 .mebi) $percent) 100 }}
{{- end -}}

{{/* Of a refinement vector of 384 dimensions, as src/vector/refine.h has it. */}}
{{- define "sutra.rowBytes" -}}
{{ get (dict "int8" "388" "float16" "768" "float32" "1536" "none" "0") .Values.shard.refinement }}
{{- end -}}

{{/* What --row-memory-mb gets. */}}
{{- define "sutra.rowMemoryMi" -}}
{{- $all := add 1 (div (mul (int64 .Values.shard.concepts) (int64 (include "sutra.rowBytes" .))) 1048576) -}}
{{- if .Values.shard.rowMemoryMb -}}
{{ .Values.shard.rowMemoryMb | int64 }}
{{- else -}}
{{ include "sutra.withHeadroom" (dict "root" . "mebi" $all) }}
{{- end -}}
{{- end -}}

{{- define "sutra.shardMemoryMi" -}}
{{- $concepts := div (mul (int64 .Values.shard.concepts) (int64 .Values.sizing.memoryBytesPerConcept)) 1048576 -}}
{{- $fixed := add (int64 .Values.sizing.memoryBaseMi) (int64 .Values.shard.recordCacheMb) -}}
{{ add $fixed (include "sutra.rowMemoryMi" . | int64) (include "sutra.withHeadroom" (dict "root" . "mebi" $concepts) | int64) }}
{{- end -}}

{{- define "sutra.shardDiskMi" -}}
{{- $concepts := div (mul (int64 .Values.shard.concepts) (int64 .Values.sizing.diskBytesPerConcept)) 1048576 -}}
{{ add (int64 .Values.sizing.diskBaseMi) (include "sutra.withHeadroom" (dict "root" . "mebi" $concepts) | int64) }}
{{- end -}}

{{- define "sutra.shardResources" -}}
{{- if .Values.shard.resources -}}
{{ toYaml .Values.shard.resources }}
{{- else -}}
{{- $memory := include "sutra.shardMemoryMi" . -}}
requests:
  cpu: {{ .Values.shard.cpu | quote }}
  memory: {{ $memory }}Mi
  ephemeral-storage: 64Mi
limits:
  memory: {{ $memory }}Mi
  ephemeral-storage: 1Gi
{{- end -}}
{{- end -}}

{{- define "sutra.shardStorage" -}}
{{ .Values.shard.storage.size | default (printf "%sMi" (include "sutra.shardDiskMi" .)) }}
{{- end -}}
