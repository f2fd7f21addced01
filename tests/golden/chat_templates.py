"""Chat templates as transformers renders them: real models' ones on whole chats, and small snippets that go through the
language. chat_template_texts.py holds the templates, chat_template_snippets.py the snippets."""

from __future__ import annotations

import datetime
import itertools
from importlib.metadata import version

import jinja2
from transformers.utils import chat_template_utils

from chat_template_snippets import SNIPPETS, VARIABLES
from chat_template_texts import TEMPLATES
from fixture import DATA, write_json_rows

NOW = datetime.datetime(2025, 3, 4, 5, 6, 7)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def message(role: str, content: object, **more: object) -> dict:
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "id": "call00001",
        "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2, "metric": True, "at": None}}}
TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "The weather of a <city> & \"more\"",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "its name"}, "days": {"type": "integer", "enum": [1, 2]},
            "metric": {"type": "boolean"}}}}},
    {"type": "function", "function": {"name": "time", "description": "", "parameters": {"type": "object",
                                                                                         "properties": {}}}},
]
CHATS = {
    "single": [message("user", "Hello there")],
    "system": [message("system", "Be brief."), message("user", "Who are you?")],
    "turns": [message("user", "One"), message("assistant", "Two"), message("user", "Three")],
    "system_turns": [message("system", "  You count.\n"), message("user", "1 "), message("assistant", " 2\n"),
                     message("user", "\n3"), message("assistant", "4"), message("user", "5")],
    "ends_with_assistant": [message("user", "Hi"), message("assistant", "Hello!")],
    "unicode": [message("system", "日本語で。"), message("user", "Grüße 👋🏽 — naïve\u00a0ﬁ\u2028x 'quoted' \"twice\" \\n")],
    "empty": [message("system", ""), message("user", ""), message("assistant", ""), message("user", " \n ")],
    "newlines": [message("user", "\n\na\n\n b \r\n\tc\n\n"), message("assistant", "x\n"), message("user", "\ty")],
    "markup": [message("user", "<|im_end|>{{ 7 * 7 }}{% raw %}<b>&amp;</b> [INST] </s>")],
    "thinking": [message("user", "2+2?"), message("assistant", "<think>\nadd them\n</think>\n\n4"),
                 message("user", "and 3+3?"), message("assistant", "6", reasoning_content="double it")],
    "assistant_first": [message("assistant", "I begin"), message("user", "No")],
    "two_users": [message("user", "a"), message("user", "b")],
    "only_system": [message("system", "alone")],
    "system_late": [message("user", "a"), message("assistant", "b"), message("system", "c"), message("user", "d")],
    "unknown_role": [message("user", "a"), message("critic", "b")],
    "no_content": [message("user", None)],
    "parts": [message("user", [{"type": "text", "text": "see"}, {"type": "image"}, {"type": "text", "text": " this"}])],
    "nothing": [],
    "tool_call": [message("user", "Weather?"), message("assistant", "", tool_calls=[CALL]),
                  message("tool", "{\"degrees\": 7.5}", name="weather", tool_call_id="call00001"),
                  message("assistant", "Seven."), message("user", "Thanks")],
    "tool_results": [message("user", "Both?"), message("assistant", "I look.", tool_calls=[CALL, CALL]),
                     message("tool", "[1, 2]"), message("tool", "three\n")],
}


def render(template: str, variables: dict) -> dict:
    """The text, or for what fails the message where it is the template's own."""
    try:
        return {"text": chat_template_utils._compile_jinja_template(template).render(**variables)}
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ZeroDivisionError, OverflowError, KeyError,
            AttributeError, IndexError, AssertionError, RecursionError, SyntaxError) as error:
        own = type(error) is jinja2.exceptions.TemplateError
        return {"error": str(error) if own else ""}


def chat_cases() -> list[dict]:
    cases = []
    for name, chat, prompt in itertools.product(TEMPLATES, CHATS, (False, True)):
        for tools in (None, "tools"):
            if tools and (prompt or chat not in ("single", "system", "tool_call", "tool_results")):
                continue
            variables = {"messages": CHATS[chat], "tools": TOOLS if tools else None, "documents": None,
                         "add_generation_prompt": prompt, **TOKENS}
            cases.append({"template": name, "chat": chat, "tools": bool(tools), "add_generation_prompt": prompt,
                          **render(TEMPLATES[name], variables)})
    return cases


def generate() -> None:
    chat_template_utils.datetime = FixedClock
    write_json_rows(DATA / "chat_templates.json", {
        "versions": {name: version(name) for name in ("transformers", "jinja2")}, "now": NOW.timetuple()[:6], "tokens": TOKENS,
        "templates": TEMPLATES, "chats": CHATS, "tools": TOOLS, "cases": chat_cases(),
    })
    snippets = [{"template": text, **render(text, VARIABLES)} for text in SNIPPETS]
    write_json_rows(DATA / "chat_snippets.json", {"variables": VARIABLES, "snippets": snippets})
