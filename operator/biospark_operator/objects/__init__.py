"""The kit for components that are made of Kubernetes objects. Nothing here knows a component or a condition."""
