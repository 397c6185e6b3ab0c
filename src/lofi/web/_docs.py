"""The API described: OpenAPI as JSON, and the same as one page without scripts."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from typing import Any, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from lofi import __version__
from lofi.web._problems import KINDS, MEDIA_TYPE, Problem, ProblemError

router = APIRouter(include_in_schema=False)

_ABOUT = """Order lo-fi tracks, follow them while they are made, and read how the studio is doing.

Errors are problem details (RFC 9457): `detail` says what is wrong and why, `remedy` what to do.
A POST with an `Idempotency-Key` is done once, however often it is sent, save those whose answer
is a secret: `/api/tokens` and `/api/youtube/consent`.

`GET /api/live` is a WebSocket that tells jobs and events as they happen; `?jobs=ID,ID` bounds them.
A token is sent in the `Authorization` header, or as the first message,
`{"type": "auth", "token": "lofi_…"}`. `{"type": "ping"}` is answered with `{"type": "pong"}`.
"""

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; font-size: 1.1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .875rem }
pre { background: #8882; padding: .75rem 1rem; border-radius: 6px; overflow-x: auto }
table { border-collapse: collapse }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0 }
b { display: inline-block; min-width: 4.5rem }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


def describe(app: FastAPI) -> None:
    """Have `app.openapi()` tell of problems, too."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            told = get_openapi(
                title="LoFi Empire", version=__version__, description=_ABOUT, routes=app.routes
            )
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas = told.setdefault("components", {}).setdefault("schemas", {})
            schemas |= schema.pop("$defs", {}) | {"Problem": schema}
            for name, examples in _model_examples(BaseModel):
                if name in schemas:
                    schemas[name]["examples"] = examples
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _model_examples(base: type[BaseModel]) -> Iterator[tuple[str, list[Any]]]:
    """The examples of all our models: FastAPI takes out what is null in them."""
    for model in base.__subclasses__():
        extra = model.model_config.get("json_schema_extra")
        if model.__module__.startswith("lofi.web") and isinstance(extra, dict):
            yield model.__name__, cast("list[Any]", extra["examples"])
        yield from _model_examples(model)


PROBLEM_RESPONSE: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem: what is wrong, and what to do about it.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


@router.get("/api/docs")
def docs(request: Request) -> HTMLResponse:
    """Every route with what it takes and gives, for people."""
    spec: dict[str, Any] = request.app.openapi()
    body = "".join(
        _operation(spec, method, path, operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    )
    about = "".join(f"<p>{_text(part)}</p>" for part in _ABOUT.strip().split("\n\n"))
    intro = f'{about}<p><a href="/api/openapi.json">OpenAPI as JSON</a></p>'
    return _page("LoFi Empire: the API", intro + body)


@router.get("/problems/{kind}")
def problem_page(kind: str) -> HTMLResponse:
    """What the `type` of a problem stands for."""
    if kind not in KINDS:
        raise ProblemError("not-found", "there is no such kind of problem.", "See /api/docs.")
    told = KINDS[kind]
    return _page(told.title, f"<p>Answered with the status {told.status}.</p>")


def _page(title: str, body: str) -> HTMLResponse:
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><main><h1>{_text(title)}</h1>{body}</main></html>"
    )
    return HTMLResponse(page, headers=_HEADERS)


def _text(text: str) -> str:
    """As HTML; what stands between backticks is code."""
    pieces = html.escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))


def _operation(spec: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    told = [f"<h2><b>{method.upper()}</b> <code>{_text(path)}</code></h2>"]
    told.append(f"<p>{_text(operation['summary'])}. {_text(operation.get('description', ''))}</p>")
    if rows := [_row(p) for p in operation.get("parameters", [])]:
        told.append(f"<table>{''.join(rows)}</table>")
    if asked := operation.get("requestBody"):
        told.append(_examples(spec, asked["content"], "Send"))
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            told.append(_examples(spec, answer.get("content", {}), f"Answer {status}"))
    return "".join(told)


def _row(parameter: dict[str, Any]) -> str:
    need = "needed" if parameter.get("required") else ""
    return (
        f"<tr><td><code>{_text(parameter['name'])}</code></td><td>{parameter['in']} {need}</td>"
        f"<td>{_text(parameter.get('description', ''))}</td></tr>"
    )


def _examples(spec: dict[str, Any], content: dict[str, Any], title: str) -> str:
    told = []
    for media_type, media in content.items():
        for example in examples_of(spec, media):
            shown = example if isinstance(example, str) else json.dumps(example, indent=2)
            told.append(f"<p>{title} ({media_type})</p><pre>{html.escape(shown)}</pre>")
    return "".join(told)


def examples_of(spec: dict[str, Any], media: dict[str, Any]) -> list[Any]:
    """The examples of a body: its own, or those of its schema."""
    if "example" in media:
        return [media["example"]]
    if "examples" in media:
        return [example["value"] for example in media["examples"].values()]
    schema = media.get("schema", {})
    if "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema.get("examples", [])
