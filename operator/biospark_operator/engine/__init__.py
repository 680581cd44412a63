"""The small general machine that makes an environment equal to its specification.

It knows nothing of namespaces, databases or gateways. A *component* (`component`) says what one part of an
environment needs and how to get there; the engine decides when and in which order, and tells what came of it:

- `graph` runs components in dependency order, independent branches at the same time;
- `convergence` takes one component through observe → refuse → plan → apply → judge;
- `inventory` remembers what was created, before it is created, until it is confirmed gone;
- `removal` takes away what is no longer wanted, and everything when the environment is deleted;
- `backoff` spaces out the retries of what fails, `contest` the repairs of what somebody changes back each time;
- `status` turns what happened into the status that users, Flux and Argo CD read;
- `shares` says who owns what of that status, and `writing` writes a share of it;
- `passes` has the words for what a pass is given and remembers;
- `reconcile` is the story: one pass over one environment, on one screen.

Start reading at `reconcile`.
"""
