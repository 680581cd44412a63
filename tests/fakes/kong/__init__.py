"""A stand-in for Kong Gateway 3.4: Admin API and proxy as far as this project uses them. A test double, never shipped.

It implements the behaviour that was recorded from a real Kong, and `tests/unit/fakes/test_kong_recordings.py` replays
the recordings against it. It has services, routes, consumers, JWT credentials, certificates, SNIs, and the plugins
cors, jwt, rate-limiting and request-size-limiting; other plugins it does not know, as a Kong in which they are not
enabled. Every answer says that it is a test double.

    gateway         the sockets, and what can go wrong
    identity        version, and how it says what it is
    schema          what fields may hold, and the words of refusal
    names           hosts, paths, tags and the like
    entities        the schemas of the entities
    store           entities, references, uniqueness, deletion, pages
    bodies, errors  what comes in and goes out of the Admin API
    admin           the Admin API
    information     `/`, `/status`, `/schemas`
    configuration   what the proxy knows of the entities, and when
    routing         which route takes a request
    exchange        a request on its way through the plugins
    plugins         cors, jwt, rate_limiting, request_size_limiting: schema and behaviour
    proxy           the way of a request to the upstream and back
    tls             certificates by server name

`python -m tests.fakes.kong` runs one.
"""
