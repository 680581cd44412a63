#!/bin/bash
# An analyzer of network policies reads two kinds of pods otherwise than a cluster does, and says "isolated" of one.
#
# Good guesses: a tool that computes who may connect to whom from manifests knows that NetworkPolicies do not govern
# pods of the host's network (they have the node's address, and Kubernetes leaves what a policy does to them
# undefined; the usual plugins do nothing), or at least warns; and that a named port may be the port of a native
# sidecar, an init container with `restartPolicy: Always`, which is where service meshes put their proxy, and where
# Kubernetes itself finds the port that a Service names.
#
# What happens: a pod with `hostNetwork: true` under a policy that denies all ingress counts as isolated like any
# other, without a word. A named port of a native sidecar counts as missing: a warning says that the pod is ignored,
# and the picture has no connection at all to it.
# So a computed picture is no proof for either: look at `hostNetwork` and at init containers oneself.
#
# Versions: network-config-analyzer 2.1.0.
# Source: its output below; Kubernetes documentation, "Network Policies", pods with hostNetwork; FindPort in
# k8s.io/endpointslice v0.35.4 (utils.go).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check network-config-analyzer==2.1.0 2>"$folder/pip.log" \
  || { cat "$folder/pip.log" >&2; exit 1; }

asked() {  # who may connect to whom in the manifests on standard input
  mkdir "$folder/$1"
  cat > "$folder/$1/objects.yaml"
  "$folder/venv/bin/nca" --connectivity -r "$folder/$1" -o yaml -f "$folder/$1/answer.txt" --output_endpoints pods \
    > "$folder/$1/log.txt" 2>&1
  echo "$1:"
  grep -o 'Warning.*' "$folder/$1/log.txt" || echo "no warning"
  grep -E 'dst_ns|dst_pods' "$folder/$1/answer.txt" || echo "nobody may connect to any pod"
}
got=$(
asked host-network <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: a}
spec: {hostNetwork: true, containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress]}
YAML
asked native-sidecar <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
apiVersion: v1
kind: Pod
metadata: {name: meshed, namespace: a}
spec:
  initContainers: [{name: proxy, image: i, restartPolicy: Always, ports: [{name: web, containerPort: 9000}]}]
  containers: [{name: c, image: i}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: web}]}]}
YAML
)
echo "$got"
diff <(echo "$got") - <<'EXPECTED' || { echo "this has changed" >&2; exit 1; }
host-network:
no warning
nobody may connect to any pod
native-sidecar:
Warning: Missing named port web in the pod a/meshed. Ignoring the pod
Warning: Named ports {'web'} are not defined in any pod
nobody may connect to any pod
EXPECTED
echo "as described"
