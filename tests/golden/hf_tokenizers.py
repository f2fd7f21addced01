"""tokenizers/: small tokenizers of every kind, and what Hugging Face tokenizers makes of many strings with each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version

from bpe_cases import RUNS, WHITESPACE, WRITTEN, written
from bpe_corpus import corpus
from fixture import DATA, write_json_rows
from tokenizer_kinds import FILES, KINDS

GENERATED = 20000
BLOCK = 100
RECORDED = ("tokenizers", "transformers", "sentencepiece")
FULL = 30  # generated strings whose ids are written out
MASK = (1 << 64) - 1
PIECES = """ſ 'ſ 'S 'Ve x'LL İ ı ß ẞ Σς ﬁ Ⅷ ① ½ ² １２３ ｶﾞ ㎏ Å Å é é ộ ộ ạ̈ 각 한 가 क्षि ด็ 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 ☕ ❤️ <s> </s> <unk>
[CLS] [SEP] [UNK] [MASK] <|endoftext|> <tool> <TOOL> tool <0x41> ▁ ▁▁ ## ##ing don't do not n't 12345 1,000.50 3e-4 _a_ «x» “q” …
— 漢字 かな カナ 字 𠀋 𝔘 Привет ёж мир Ελλάδα שלום עִבְ مرحبا नमस्ते สวัสดี""".split()


def fragments() -> list[str]:
    words = [word for line in WRITTEN for word in line.split(" ") if 0 < len(word) < 12]
    controls = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\u00a0", "\u3000", "\u2003", "\x00", "\x01",
                "\x1b", "\x7f", "\x85", "\u200b", "\u200d", "\ufeff", "\ufffd", "\u00ad", "\u0301", "\u0323\u0302"]
    letters = list("abcdefghijklmnopqrstuvwxyzABCDXYZ0123456789.,;:!?'\"-()")
    spaced = [" " + word for word in words[::2]] + [" the", " of", " and", " lantern", " quiet"]
    return list(dict.fromkeys([*PIECES, *words, *spaced, *letters])) + controls * 3


class Random:
    """Knuth's MMIX generator: the same few lines of arithmetic in C++ give the same strings."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, n: int) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 33) % n


def generated(parts: list[str]) -> Iterator[str]:
    for seed in range(GENERATED):
        random = Random(seed)
        text = ""
        for _ in range(1 + random.below(12)):
            part = parts[random.below(len(parts))]
            text += part * (1 + random.below(30) if random.below(24) == 0 else 1)
        yield text


def mix(state: int, values) -> int:
    """FNV-1a with whole numbers in the place of bytes, closed by one that is no id and no character."""
    for value in (*values, MASK):
        state = ((state ^ value) * 0x100000001B3) & MASK
    return state


def cases(tokenizer, texts: list[str], full: int) -> dict[str, object]:
    """Every second text is decoded without special tokens. `decoded` is left out where it equals the text."""
    rows, blocks, state = [], [], 0xCBF29CE484222325
    for i, text in enumerate(texts):
        ids = tokenizer.encode(text).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=i % 2 == 1)
        state = mix(mix(state, ids), map(ord, decoded))
        if i < full:
            rows.append([ids] if decoded == text else [ids, decoded])
        if (i + 1) % BLOCK == 0 or i + 1 == len(texts):
            blocks.append(f"{state:016x}")
            state = 0xCBF29CE484222325
    return {"versions": {name: version(name) for name in RECORDED}, "block": BLOCK, "hashes": blocks, "rows": rows}


def all_texts() -> tuple[list[str], list[str]]:
    """The written texts, and all."""
    first = [text for text in written() if len(text) < 90] + [run[:60] for run in RUNS]
    return first, first + list(generated(fragments()))


def training_lines() -> list[str]:
    return corpus().split("\n") + WHITESPACE + [" ".join(PIECES)] * 3


def write_kind(name: str, tokenizer, files: dict[str, str | bytes]) -> None:
    folder = DATA / "tokenizers" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    first, texts = all_texts()
    write_json_rows(DATA / "tokenizers" / f"{name}.json", cases(tokenizer, texts, len(first) + FULL))


def generate() -> None:
    first, _ = all_texts()
    write_json_rows(DATA / "tokenizers" / "texts.json", {"generated": GENERATED, "written": first, "fragments": fragments()})
    for name, build in KINDS.items():
        tokenizer = build(training_lines())
        whole = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n"
        write_kind(name, tokenizer, FILES.pop(id(tokenizer), {"tokenizer.json": whole}))
