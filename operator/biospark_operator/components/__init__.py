"""What an environment is made of: one module per component, each a plug-in to the engine.

A component of Kubernetes objects is a pure builder of manifests handed to `objects.component.ObjectsComponent`.
`catalog` lists the components that this version has.
"""
