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
app.kubernetes.io/name: {{ include "biospark-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of every object. */}}
{{- define "biospark-operator.labels" -}}
{{- include "biospark-operator.labelsWith" (list . dict) }}
{{- end }}

{{/*
Labels of an object, out of (list context more): each once, and what comes later wins. The first are the chart's, then
those of the user. Those by which the pods are found are the user's to choose by nameOverride alone.
*/}}
{{- define "biospark-operator.labelsWith" -}}
{{- $context := first . }}
{{- $selector := include "biospark-operator.selectorLabels" $context | fromYaml }}
{{- $given := merge (dict) $context.Values.commonLabels $context.Values.podLabels }}
{{- range $label := keys $given | sortAlpha }}
{{- if hasKey $selector $label }}
{{- fail (printf "commonLabels and podLabels: remove %s, by which the chart finds its pods; nameOverride changes the name" $label) }}
{{- end }}
{{- end }}
{{- $chart := printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- $own := dict
  "app.kubernetes.io/part-of" "biospark"
  "app.kubernetes.io/version" $context.Chart.AppVersion
  "app.kubernetes.io/managed-by" $context.Release.Service
  "helm.sh/chart" $chart }}
{{- mergeOverwrite (dict) $own $context.Values.commonLabels (last .) $selector | toYaml }}
{{- end }}

{{/* Labels of a ClusterRole whose rules those of the cluster take in: (list context roles-of-the-cluster). */}}
{{- define "biospark-operator.aggregated" -}}
{{- $to := dict }}
{{- range last . }}
{{- $_ := set $to (printf "rbac.authorization.k8s.io/aggregate-to-%s" .) "true" }}
{{- end }}
{{- include "biospark-operator.labelsWith" (list (first .) $to) }}
{{- end }}

{{/*
The items of a list that the user adds to one of the chart: (dict value: name of the user's, key: what makes an item
unique, own: the chart's items, given: the user's). An item that is there already is refused, since Kubernetes would
take either.
*/}}
{{- define "biospark-operator.added" -}}
{{- $taken := list }}
{{- range .own }}
{{- $taken = append $taken (get . $.key) }}
{{- end }}
{{- $seen := list }}
{{- range .given }}
{{- $name := get . $.key }}
{{- if has $name $taken }}
{{- fail (printf "%s: remove %s, which the chart sets itself" $.value $name) }}
{{- end }}
{{- if has $name $seen }}
{{- fail (printf "%s: %s is listed twice; keep one" $.value $name) }}
{{- end }}
{{- $seen = append $seen $name }}
{{- end }}
{{- with .given }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Environment variables that the chart sets in the operator's container. */}}
{{- define "biospark-operator.env" -}}
- name: BIOSPARK_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: BIOSPARK_OPERATOR_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: BIOSPARK_OPERATOR_CONFIG
  value: /etc/biospark-operator/settings.yaml
- name: BIOSPARK_OPERATOR_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: BIOSPARK_OPERATOR_HTTP_PORT
  value: "8080"
{{- end }}

{{/* Where the chart's own volumes are mounted. */}}
{{- define "biospark-operator.volumeMounts" -}}
- name: settings
  mountPath: /etc/biospark-operator
  readOnly: true
# The root file system cannot be written.
- name: tmp
  mountPath: /tmp
{{- end }}

{{/* The chart's own volumes. */}}
{{- define "biospark-operator.volumes" -}}
- name: settings
  configMap:
    name: {{ include "biospark-operator.fullname" . }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}

{{/* Secrets that the image is pulled with, those of the umbrella chart first; each once. */}}
{{- define "biospark-operator.imagePullSecrets" -}}
{{- $names := list }}
{{- range concat ((.Values.global).imagePullSecrets | default list) .Values.imagePullSecrets }}
{{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "string" . | ternary dict .) "name")) }}
{{- end }}
{{- with $names | uniq }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The image; a digest decides over a tag, which then stays as a hint for readers. */}}
{{- define "biospark-operator.image" -}}
{{- $repository := .Values.image.repository }}
{{- with (.Values.global).imageRegistry }}
{{- $parts := splitList "/" $repository }}
{{- /* The first part is a registry where it could not be the name of a user: as in the references of all tools. */}}
{{- $named := and (gt (len $parts) 1) (or (regexMatch "[.:]" (first $parts)) (eq (first $parts) "localhost")) }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (ternary (rest $parts) $parts $named | join "/") }}
{{- end }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
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
