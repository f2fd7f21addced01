"""original_chat_templates.json: what transformers renders from the chat templates of published models.

The templates are not ours to copy: `tools/models/fetch.sh` fetches them into data/models/templates, and this fixture
has a hash of each template and of each text.
"""

from __future__ import annotations

import sys
from pathlib import Path

from transformers.utils import chat_template_utils

from chat_templates import CHATS, NOW, TOKENS, TOOLS, FixedClock, render
from fixture import DATA, write_json_rows
from importlib.metadata import version

TEMPLATES = Path(__file__).resolve().parents[2] / "data" / "models" / "templates"


def fnv1a(text: str) -> str:
    state = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "surrogatepass"):
        state = ((state ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return f"{state:016x}"


def row(template: str, chat: str, tools: bool, prompt: bool) -> list[str | None]:
    """Hash of the text, and null or the template's own refusal; null and "" for what jinja2 refuses."""
    result = render(template, {"messages": CHATS[chat], "tools": TOOLS if tools else None, "documents": None,
                               "add_generation_prompt": prompt, **TOKENS})
    return [fnv1a(result["text"]), None] if "text" in result else [None, result["error"]]


def generate() -> None:
    chat_template_utils.datetime = FixedClock
    paths = sorted(TEMPLATES.glob("*.jinja"))
    if not paths:
        sys.exit(f"{TEMPLATES} has no templates; tools/models/fetch.sh fetches them")
    cases = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        # jinja2 escapes what is put together with a text that went through `safe`, which ours leaves as it is.
        offers = (False,) if "|safe" in text else (False, True)
        rows = {f"{chat} {int(tools)} {int(prompt)}": row(text, chat, tools, prompt)
                for chat in CHATS for tools in offers for prompt in (False, True)}
        cases.append({"template": path.name, "hash": fnv1a(text), "rows": rows})
    write_json_rows(DATA / "original_chat_templates.json", {
        "versions": {name: version(name) for name in ("transformers", "jinja2")}, "now": NOW.timetuple()[:6],
        "cases": cases})
