{{/* A container of the test that asks one thing: root, address, verb. */}}
{{- define "sutra.testContainer" -}}
{{- $values := .root.Values -}}
image: {{ include "sutra.image" .root }}
imagePullPolicy: {{ $values.image.pullPolicy }}
command:
  - /usr/bin/sutra
  - {{ .verb }}
  {{- if $values.auth.existingSecret }}
  - --token-file=/etc/sutra/auth/peer-token
  {{- end }}
securityContext:
  {{- include "sutra.containerSecurity" . | nindent 2 }}
resources:
  requests: {cpu: 10m, memory: 32Mi, ephemeral-storage: 16Mi}
  limits: {memory: 128Mi, ephemeral-storage: 64Mi}
env:
  - {name: SUTRA_ADDRESS, value: {{ .address | quote }}}
  {{- if $values.tls.enabled }}
  - {name: SUTRA_TLS_CA, value: /etc/sutra/tls/ca.crt}
  - {name: SUTRA_TLS_CERT, value: /etc/sutra/tls/tls.crt}
  - {name: SUTRA_TLS_KEY, value: /etc/sutra/tls/tls.key}
  {{- end }}
{{- with include "sutra.secretMounts" .root }}
volumeMounts:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end -}}
