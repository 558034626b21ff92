"""What to paste into a program so that it uses this machine's models. Text only."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

HIDDEN_KEY = "YOUR-KEY"
NO_KEY = "not-needed"
"""Most clients refuse to start without a key, also where the server wants none."""


@dataclass(frozen=True, slots=True)
class Connection:
    """``url`` ends before the path. ``key`` is None where none is asked for; ``n_ctx`` where it is not known."""

    url: str
    key: str | None
    model: str
    n_ctx: int | None = None

    @property
    def base_url(self) -> str:
        """What OpenAI's clients want."""
        return f"{self.url}/v1"

    @property
    def some_key(self) -> str:
        return self.key or NO_KEY


@dataclass(frozen=True, slots=True)
class Snippet:
    """``caption`` says where it goes; ``language`` colours it."""

    caption: str
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    snippets: tuple[Snippet, ...]


TITLES = ("curl", "Python", "JavaScript", "Anthropic", "Ollama", "Editors")


def chapters(to: Connection) -> tuple[Chapter, ...]:
    """In the order of the titles."""
    contents = (
        (_curl(to),),
        (_python(to),),
        (_javascript(to),),
        (_anthropic(to),),
        (_ollama(to),),
        (_any_editor(to), _continue(to), _zed(to)),
    )
    return tuple(Chapter(title, snippets) for title, snippets in zip(TITLES, contents, strict=True))


def _curl(to: Connection) -> Snippet:
    body = json.dumps({"model": to.model, "messages": [{"role": "user", "content": "Hello"}]}, ensure_ascii=False)
    lines = [f"curl {to.base_url}/chat/completions", '  -H "Content-Type: application/json"']
    if to.key is not None:
        lines.append(f'  -H "Authorization: Bearer {to.key}"')
    lines.append(f"  -d {shlex.quote(body)}")
    return Snippet("In a terminal", " \\\n".join(lines), "bash")


def _python(to: Connection) -> Snippet:
    text = f"""\
from openai import OpenAI

client = OpenAI(base_url={to.base_url!r}, api_key={to.some_key!r})
stream = client.chat.completions.create(
    model={to.model!r},
    messages=[{{"role": "user", "content": "Hello"}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)"""
    return Snippet("With OpenAI's package: pip install openai", text, "python")


def _javascript(to: Connection) -> Snippet:
    text = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_js(to.base_url)}, apiKey: {_js(to.some_key)} }});
const stream = await client.chat.completions.create({{
  model: {_js(to.model)},
  messages: [{{ role: "user", content: "Hello" }}],
  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}"""
    return Snippet("With OpenAI's package: npm install openai", text, "javascript")


def _anthropic(to: Connection) -> Snippet:
    text = f"""\
from anthropic import Anthropic

client = Anthropic(base_url={to.url!r}, api_key={to.some_key!r})
message = client.messages.create(
    model={to.model!r},
    max_tokens=1024,
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(message.content[0].text)"""
    return Snippet("With Anthropic's package: pip install anthropic", text, "python")


def _ollama(to: Connection) -> Snippet:
    headers = "" if to.key is None else f', headers={{"Authorization": "Bearer {to.key}"}}'
    text = f"""\
from ollama import Client

client = Client(host={to.url!r}{headers})
answer = client.chat(
    model={to.model!r},
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.message.content)"""
    return Snippet("With Ollama's package: pip install ollama", text, "python")


def _any_editor(to: Connection) -> Snippet:
    text = f"Base URL  {to.base_url}\nAPI key   {to.some_key}\nModel     {to.model}"
    return Snippet("Cline, Roo Code and others that ask for an OpenAI-compatible provider", text, "")


def _continue(to: Connection) -> Snippet:
    text = f"""\
models:
  - name: Hearth
    provider: openai
    model: {_js(to.model)}
    apiBase: {to.base_url}
    apiKey: {to.some_key}
    roles: [chat, edit, apply]"""
    return Snippet("Continue: config.yaml", text, "yaml")


def _zed(to: Connection) -> Snippet:
    model = {"name": to.model, "display_name": f"{to.model} (Hearth)", "max_tokens": to.n_ctx or _USUAL_N_CTX}
    provider = {"api_url": to.base_url, "available_models": [model]}
    text = json.dumps({"language_models": {"openai_compatible": {"Hearth": provider}}}, indent=2, ensure_ascii=False)
    return Snippet("Zed: settings.json. It asks for the key, or takes it from HEARTH_API_KEY", text, "json")


_USUAL_N_CTX = 8192


def _js(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
