"""Sends requests to the API server and hands back its answers. Used by `client`.

The official package knows how to reach a cluster and who we are: its configuration, TLS, tokens and sessions are
used. Its dynamic client is not: it copies every body before it is sent, and formats a traceback for every answer
that is an error, an absent object included. That was a quarter of the operator's processor time.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio.client.exceptions import ApiException

from biospark_operator.clients.kubernetes.contact import Contact

#: What the API calls parameters, where that is not the camel case of our name.
_NAMES = {"force_conflicts": "force", "_continue": "continue"}


#: Answers from here on may be those of something in front of an API server that is away.
_FAILED = 500


class Sending:
    """The way to one API server."""

    def __init__(self, api: kube.ApiClient, contact: Contact | None = None) -> None:
        self._api = api
        self.contact = contact or Contact()

    async def request(
        self,
        method: str,
        path: str,
        *,
        seconds: float | aiohttp.ClientTimeout,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        **parameters: str | int | None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer, whose content is not read yet. Raises `ApiException` for an error.

        `parameters` are those of the API in snake case; one that is None is left out. It may take `seconds`.
        """
        headers = {"Accept": accept, "Content-Type": content_type}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        given = {_NAMES.get(name) or _camel(name): value for name, value in parameters.items() if value is not None}
        url = f"{self._api.configuration.host}{path}" + (f"?{urllib.parse.urlencode(given)}" if given else "")
        sent = await self._api.rest_client.request(method, url, headers=headers, body=body, _request_timeout=seconds)
        answer: aiohttp.ClientResponse = sent.response
        if answer.status < _FAILED:
            self.contact.heard()
        if answer.ok:
            return answer
        error = ApiException(answer.status, answer.reason, body=await answer.text(errors="replace"))
        error.headers = answer.headers
        raise error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
