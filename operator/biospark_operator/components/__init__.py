"""What an environment is made of: one module or folder per component, each a plug-in to the engine.

A component of Kubernetes objects is a pure builder of manifests handed to `objects.component.ObjectsComponent`.
Beside the components stand what they share: `catalog` lists those of this version, `names` has the names that several
use, `outside` the way to Secrets of the operator's namespace, `handover` how one hands something to the API's pods, and
`deferred` puts off imports until an environment needs them.
"""
