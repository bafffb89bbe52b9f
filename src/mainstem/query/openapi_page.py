"""The OpenAPI document as one page for people: plain HTML that needs no script, no style sheet and no other host."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 0.9em/1.5 ui-monospace, monospace }
pre { overflow-x: auto; padding: 0.5rem 0.75rem; border: 1px solid #8888; border-radius: 4px }
details { margin: 0.75rem 0; padding: 0.25rem 0.75rem; border: 1px solid #8888; border-radius: 4px }
summary { cursor: pointer; padding: 0.25rem 0 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0; border-bottom: 1px solid #8884 }
"""
_METHODS = ("get", "post", "put", "patch", "delete")
_EXAMPLES = {"string": "text", "number": 10.0, "integer": 1, "boolean": True}


class PageRenderPlugin(OpenAPIRenderPlugin):
    """Serves the page at the document's own path."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The whole page, UTF-8."""
        return page(openapi_schema, str(request.base_url).rstrip("/"), self.get_openapi_json_route(request)).encode()


def page(document: Mapping[str, Any], url: str, json_path: str) -> str:
    """The page for a document whose server is at `url`."""
    info = document["info"]
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>',
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description') or '')}</p>",
        f'<p>The OpenAPI document: <a href="{escape(json_path)}">{escape(json_path)}</a></p>',
        *_operations(document, url),
        "</main></body></html>",
    ]
    return "".join(parts)


def _operations(document: Mapping[str, Any], url: str) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if (operation := item.get(method)) is not None:
                tag = next(iter(operation.get("tags") or []), "others")
                by_tag.setdefault(tag, []).append(_operation(document, url, path, method, operation))
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag.capitalize())}</h2>{''.join(operations)}"


def _operation(document: Mapping[str, Any], url: str, path: str, method: str, operation: Mapping[str, Any]) -> str:
    parameters = [_resolved(document, each) for each in operation.get("parameters") or []]
    schema = _body_schema(document, operation)
    summary = operation.get("description") or operation.get("summary") or ""
    curl = escape(_curl(url, path, method, parameters, schema))
    parts = [
        f'<details id="{escape(operation.get("operationId", path))}">',
        f"<summary><code>{method.upper()} {escape(path)}</code> {escape(summary)}</summary><pre>{curl}</pre>",
    ]
    if parameters:
        rows = "".join(_row(each["name"], each["in"], each.get("description") or "") for each in parameters)
        parts.append(f"<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>{rows}</table>")
    if schema:
        parts.append(f"<p>Body</p><pre>{escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre>")
    rows = "".join(
        _row(status, ", ".join(each.get("content") or {}), each.get("description") or "")
        for status, each in operation["responses"].items()
    )
    parts.append(f"<table><tr><th>Status</th><th>Content</th><th>Meaning</th></tr>{rows}</table></details>")
    return "".join(parts)


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _curl(
    url: str, path: str, method: str, parameters: list[Mapping[str, Any]], schema: Mapping[str, Any] | None
) -> str:
    for each in parameters:
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", f"<{each['name']}>")
    required = [each["name"] for each in parameters if each["in"] == "query" and each.get("required")]
    query = "?" + "&".join(f"{name}=<{name}>" for name in required) if required else ""
    command = f"curl{'' if method == 'get' else f' -X {method.upper()}'} '{url}{path}{query}'"
    if schema is None:
        return command
    example = {name: _example(each) for name, each in (schema.get("properties") or {}).items()}
    return f"{command} -H 'Content-Type: application/json' -d '{json.dumps(example, ensure_ascii=False)}'"


def _example(schema: Mapping[str, Any]) -> Any:
    given = schema.get("examples")
    return given[0] if given else _EXAMPLES.get(str(schema.get("type")))


def _body_schema(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = (operation.get("requestBody") or {}).get("content") or {}
    schema = (content.get("application/json") or {}).get("schema")
    return None if schema is None else _resolved(document, schema)


def _resolved(document: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference within the document leads to, or the thing itself."""
    reference = found.get("$ref")
    if reference is None:
        return found
    target: Any = document
    for step in str(reference).removeprefix("#/").split("/"):
        target = target[step]
    resolved: Mapping[str, Any] = target
    return resolved
