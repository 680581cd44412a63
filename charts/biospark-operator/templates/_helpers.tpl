{{/* Names, labels and references that the templates share. */}}

{{/* The chart's name, unless nameOverride says otherwise. */}}
{{- define "biospark-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the objects: the release's, completed by the chart's where it does not contain it. */}}
{{- define "biospark-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $generated := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $generated .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "biospark-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "biospark-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name an existing ServiceAccount, or set serviceAccount.create to true" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Labels by which the operator's pods are found; they never change over the life of a release. */}}
{{- define "biospark-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "biospark-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of every object. */}}
{{- define "biospark-operator.labels" -}}
{{ include "biospark-operator.selectorLabels" . }}
app.kubernetes.io/part-of: biospark
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image; a digest decides over a tag, which then stays as a hint for readers. */}}
{{- define "biospark-operator.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- printf "%s:%s" .Values.image.repository $tag }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* One egress rule of the NetworkPolicy out of {cidrs, ports}; nothing where either is empty. */}}
{{- define "biospark-operator.egressRule" -}}
{{- if and .cidrs .ports -}}
- to:
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end }}
