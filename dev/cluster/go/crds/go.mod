module biospark.ai/dev/cluster/crds

go 1.26.0

// Only the CRD manifests of these modules are used, no package of theirs is imported:
// update with `go mod download`, for `go mod tidy` would drop them.
require (
	github.com/elastic/cloud-on-k8s/v3 v3.5.0
	github.com/kong/kubernetes-configuration v1.4.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	istio.io/api v1.31.1
	sigs.k8s.io/gateway-api v1.4.0
)
