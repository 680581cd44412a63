{{/*
Refuses, at {path}, a {cidr} that Kubernetes 1.36 and newer refuse in policies, and says what to write instead: a text
that is no range, or one with bits set beyond its prefix. JSON schema cannot calculate.
An address is taken as a list of numbers: four of 8 bits, or eight of 16.
*/}}
{{- define "biospark-operator.checkRange" -}}
{{- $refusal := printf "%s: %q is no address range; write one such as 10.20.0.0/16 or 2001:db8::/32" .path .cidr }}
{{- $address := regexReplaceAll "/.*" .cidr "" }}
{{- $numbers := list }}
{{- $bits := contains ":" $address | ternary 16 8 }}
{{- if contains ":" $address }}
  {{- $halves := splitList "::" $address }}
  {{- $head := first $halves | splitList ":" | compact }}
  {{- $tail := len $halves | eq 2 | ternary (last $halves | splitList ":" | compact) list }}
  {{- $between := sub 8 (add (len $head) (len $tail)) | int }}
  {{- if or (gt (len $halves) 2) (eq (len $halves) 2 | ternary (lt $between 1) (ne $between 0)) (regexMatch "(^|[^:]):$|^:([^:]|$)" $address) }}
    {{- fail $refusal }}
  {{- end }}
  {{- range concat $head (gt $between 0 | ternary (splitList "," (repeat $between "0," | trimSuffix ",")) list) $tail }}
    {{- if not (regexMatch "^[0-9a-fA-F]{1,4}$" .) }}{{ fail $refusal }}{{ end }}
    {{- $numbers = append $numbers (printf "0x%s" . | int64) }}
  {{- end }}
{{- else }}
  {{- range splitList "." $address }}
    {{- if not (regexMatch "^(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])$" .) }}{{ fail $refusal }}{{ end }}
    {{- $numbers = append $numbers (int64 .) }}
  {{- end }}
  {{- if ne (len $numbers) 4 }}{{ fail $refusal }}{{ end }}
{{- end }}
{{- if not (regexMatch "^[^/]+/(0|[1-9][0-9]{0,2})$" .cidr) }}{{ fail $refusal }}{{ end }}
{{- $prefix := regexReplaceAll ".*/" .cidr "" | int }}
{{- if gt $prefix (mul $bits (len $numbers) | int) }}{{ fail $refusal }}{{ end }}
{{- $masked := list }}
{{- range $index, $number := $numbers }}
  {{- $free := sub $bits (sub $prefix (mul $index $bits)) | min $bits | max 0 | int }}
  {{- $size := index (list 1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536) $free }}
  {{- $masked = append $masked (sub $number (mod $number $size)) }}
{{- end }}
{{- if ne (toJson $masked) (toJson $numbers) }}
  {{- $texts := list }}
  {{- range $masked }}{{ $texts = append $texts (eq $bits 8 | ternary (toString .) (printf "%x" .)) }}{{ end }}
  {{- $network := eq $bits 8 | ternary (join "." $texts) (regexReplaceAll "(:0)+$" (join ":" $texts) "::") }}
  {{- fail (printf "%s: %q has bits set beyond its prefix; write %s/%d for the range, or %s/%d for the one address" .path .cidr $network $prefix $address (mul $bits (len $numbers))) }}
{{- end }}
{{- end }}

{{/* Check every range that the values name for the NetworkPolicy. */}}
{{- define "biospark-operator.checkRanges" -}}
{{- with .Values.networkPolicy }}
{{- range $index, $cidr := .dns.cidrs }}
{{- include "biospark-operator.checkRange" (dict "path" (printf "networkPolicy.dns.cidrs[%d]" $index) "cidr" $cidr) }}
{{- end }}
{{- range $name, $target := .egress }}
{{- range $index, $cidr := $target.cidrs }}
{{- include "biospark-operator.checkRange" (dict "path" (printf "networkPolicy.egress.%s.cidrs[%d]" $name $index) "cidr" $cidr) }}
{{- end }}
{{- end }}
{{- range $rule, $egress := .additionalEgress }}
{{- range $peer, $to := $egress.to }}
{{- with $to.ipBlock }}
{{- $path := printf "networkPolicy.additionalEgress[%d].to[%d].ipBlock" $rule $peer }}
{{- include "biospark-operator.checkRange" (dict "path" (printf "%s.cidr" $path) "cidr" (toString .cidr)) }}
{{- range $index, $cidr := .except }}
{{- include "biospark-operator.checkRange" (dict "path" (printf "%s.except[%d]" $path $index) "cidr" (toString $cidr)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
