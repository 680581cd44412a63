#!/bin/bash
# Importing the asynchronous client of the official Kubernetes package imports the whole synchronous one as well.
#
# Good guesses: `kubernetes.aio` is a package of its own for asyncio, over aiohttp. Who imports nothing else gets
# aiohttp and the kubeconfig reader, and neither requests nor the WebSocket client, which the synchronous half uses.
# The other way round, the synchronous client does without pydantic and aiohttp, as it always did.
#
# What happens: a subpackage can't be imported without its parent, and `kubernetes/__init__.py` imports client, config,
# dynamic, watch, stream, leader election and informer, all of them synchronous. So `import kubernetes.aio` also
# loads requests, requests_oauthlib, oauthlib and websocket, which are more modules than aiohttp and the asynchronous
# client themselves. And `import kubernetes` alone loads pydantic, for the models of answers. For a program that
# starts often or has little memory that is worth knowing: an import of aiohttp is a small part of what one of
# `kubernetes.aio` takes.
#
# Versions: kubernetes 37.0.2.
# Source: kubernetes/__init__.py, kubernetes/config/incluster_config.py, kubernetes/client/api_response.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  kubernetes==37.0.2 aiohttp==3.14.5 pydantic==2.14.4 requests==2.34.2 requests-oauthlib==2.0.0 oauthlib==4.0.1 \
  websocket-client==1.9.2
cat > "$folder/run.py" <<'PYTHON'
import importlib
import sys

LOOKED_FOR = (
    "aiohttp", "kubernetes.dynamic", "kubernetes.leaderelection", "kubernetes.stream", "kubernetes.watch", "oauthlib",
    "pydantic", "requests", "requests_oauthlib", "websocket",
)
what = sys.argv[1]
importlib.import_module(what)
print(f"{what}:", *(name for name in LOOKED_FOR if name in sys.modules))
if what == "kubernetes.aio":
    roots = [name.partition(".")[0] for name in sys.modules]
    synchronous = sum(roots.count(root) for root in ("requests", "requests_oauthlib", "oauthlib", "websocket"))
    asynchronous = roots.count("aiohttp") + sum(name.startswith("kubernetes.aio") for name in sys.modules)
    print("modules of libraries that only the synchronous half uses are more:", synchronous > asynchronous)
PYTHON
got=$(for what in kubernetes kubernetes.aio; do "$folder/venv/bin/python" "$folder/run.py" "$what"; done)
echo "$got"
diff <(echo "$got") - <<'EXPECTED' || { echo "this has changed" >&2; exit 1; }
kubernetes: kubernetes.dynamic kubernetes.leaderelection kubernetes.stream kubernetes.watch oauthlib pydantic requests requests_oauthlib websocket
kubernetes.aio: aiohttp kubernetes.dynamic kubernetes.leaderelection kubernetes.stream kubernetes.watch oauthlib pydantic requests requests_oauthlib websocket
modules of libraries that only the synchronous half uses are more: True
EXPECTED
echo "as described"
