"""The OpenAPI document, the page that shows it, and the headers around both."""

import json
import re

import httpx
import pytest
from openapi_spec_validator import validate

from biospark_api.app import DOMAINS, create_app
from biospark_api.settings import Settings
from tests.unit.api_service.in_process import in_process

LOGIN, REFRESH = "/api/v1/auth/login", "/api/v1/auth/refresh"


async def test_openapi_document_is_valid_and_ours(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    validate(document)
    assert (document["info"]["title"], document["info"]["version"]) == ("BioSpark Health AI API", "1.0.0")


async def test_every_operation_is_described_and_has_a_problem_response(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) > 20
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        (success,) = [status for status in operation["responses"] if status.startswith("2")]
        assert ("content" in operation["responses"][success]) is (success != "204"), name
        error = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert error == {"$ref": "#/components/schemas/Problem"}
    assert "503" in operations["get", "/readyz"]["responses"]
    assert "requestId" in document["components"]["schemas"]["Problem"]["properties"]


async def test_every_operation_that_needs_a_token_says_so(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    declared = {
        (method.lower(), path): operation.permission is not None
        for domain in DOMAINS
        for method, path, operation in domain.declared
    }
    for (method, path), needs_token in declared.items():
        operation = document["paths"][path][method]
        assert ("security" in operation) is needs_token, path
        assert ("401" in operation["responses"]) is (needs_token or path in {LOGIN, REFRESH}), path
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


async def test_examples_of_bodies_are_valid() -> None:
    bodies = {operation.contract.body for domain in DOMAINS for _, _, operation in domain.declared}
    for body in filter(None, bodies):
        for example in body.model_json_schema()["examples"]:
            body.model_validate_json(json.dumps(example))


async def test_openapi_document_names_the_public_url() -> None:
    app = create_app(Settings(public_url="https://api.dev.example.org/"))
    async with in_process(app) as client:
        document = (await client.get("/openapi.json")).json()
    assert [server["url"] for server in document["servers"]] == ["https://api.dev.example.org", "/"]


async def test_docs_page_loads_everything_from_the_service(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"(https?:)?//[a-z]", page.text)
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        asset = await client.get(f"/{link}")
        assert asset.status_code == 200, link
        assert len(asset.content) > 1000
        assert asset.headers["cache-control"] == "public, max-age=86400"


async def test_docs_page_allows_only_its_own_script(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/docs")).headers["content-security-policy"]
    script = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert re.fullmatch(r"script-src 'self' 'sha256-[A-Za-z0-9+/]{43}='", script)


@pytest.mark.parametrize("asset", ["__init__.py", "..%2fcore.py", "redoc.standalone.js"])
async def test_docs_serve_no_other_file(client: httpx.AsyncClient, asset: str) -> None:
    assert (await client.get(f"/docs/{asset}")).status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/nowhere"])
async def test_protective_headers_are_on_every_answer(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


@pytest.mark.parametrize(("url", "insists"), [("https://a.example", True), ("http://a.example", False)])
async def test_browsers_are_told_to_insist_on_https_where_it_is_used(url: str, insists: bool) -> None:
    app = create_app(Settings(public_url=url))
    async with in_process(app) as client:
        headers = (await client.get("/healthz")).headers
    assert headers.get("strict-transport-security") == ("max-age=31536000" if insists else None)


async def test_names_below_the_public_one_are_spoken_for_where_that_is_set() -> None:
    app = create_app(Settings(public_url="https://a.example", hsts_include_subdomains=True))
    async with in_process(app) as client:
        headers = (await client.get("/healthz")).headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_documentation_can_be_switched_off() -> None:
    app = create_app(Settings(docs=False))
    async with in_process(app) as client:
        for path in ("/docs", "/docs/swagger-ui.css", "/openapi.json"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/swagger-ui.css", "/nowhere"])
async def test_head_is_answered_as_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert head.content == b""
    assert head.status_code == got.status_code
    ours = {"x-request-id", "content-length"} if got.status_code == 404 else {"x-request-id"}
    assert {name: value for name, value in head.headers.items() if name not in ours} == {
        name: value for name, value in got.headers.items() if name not in ours
    }
