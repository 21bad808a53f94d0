{{/* Of every component: one pod at a time may be taken away; one that never became ready always. */}}
{{- define "sutra.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "sutra.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "sutra.selector" . | nindent 6 }}
{{- end -}}

{{/* Of routers and embedders, which keep nothing. */}}
{{- define "sutra.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "sutra.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "sutra.workload" . }}
  minReplicas: {{ .values.autoscaling.minReplicas | int }}
  maxReplicas: {{ .values.autoscaling.maxReplicas | int }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .values.autoscaling.targetCPUUtilizationPercentage | int }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
{{- end -}}

{{/* The part of a Deployment's spec above its template. */}}
{{- define "sutra.deployment" -}}
{{- if not .values.autoscaling.enabled -}}
replicas: {{ .values.replicas | int }}
{{ end -}}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxUnavailable: 0
    maxSurge: 1
minReadySeconds: {{ .root.Values.lifecycle.minReadySeconds | int }}
selector:
  matchLabels:
    {{- include "sutra.selector" . | nindent 4 }}
{{- end -}}
