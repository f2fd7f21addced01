"""bpe/: a byte-level BPE tokenizer trained by Hugging Face tokenizers, its corpus, and what it makes of hard strings."""

from __future__ import annotations

import json
from collections import Counter

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from bpe_cases import generated, written
from bpe_corpus import corpus
from fixture import DATA, versions, write_json_rows

VOCAB = 600
SPECIAL = ["<|endoftext|>", "<|pad|>"]
GENERATED = 400


def train(text: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def merge_pair(word: list[int], pair: tuple[int, int], merged: int) -> list[int]:
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(merged)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def documented_merges(text: str) -> tuple[list[tuple[str, str]], dict[str, int], int]:
    """The rules of README.md, executed: merges, vocabulary, and how many choices were ties."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*SPECIAL, *alphabet]
    ids = {name: i for i, name in enumerate(names)}
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    words = [([ids[c] for c in piece], count)
             for piece, count in Counter(piece for piece, _ in pieces).items()]
    merges, ties = [], 0
    while len(names) < VOCAB:
        counts: Counter[tuple[int, int]] = Counter()
        for word, count in words:
            for pair in zip(word, word[1:]):
                counts[pair] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        ties += list(counts.values()).count(counts[best]) > 1
        merged = names[best[0]] + names[best[1]]
        assert merged not in ids, "two merges make one token: the documentation should say more"
        ids[merged] = len(names)
        merges.append((names[best[0]], names[best[1]]))
        words = [(merge_pair(word, best, ids[merged]), count) for word, count in words]
        names.append(merged)
    return merges, ids, ties


def check_rules(tokenizer: Tokenizer, text: str) -> int:
    model = json.loads(tokenizer.to_str())["model"]
    merges, ids, ties = documented_merges(text)
    assert [tuple(merge) for merge in model["merges"]] == merges, "the documented order is not it"
    assert model["vocab"] == ids
    return ties


def encode_case(tokenizer: Tokenizer, text: str, pieces: bool) -> dict[str, object]:
    ids = tokenizer.encode(text).ids
    case = {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}
    if pieces:
        spans = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        case["pieces"] = [text[start:end] for _, (start, end) in spans]
        assert "".join(case["pieces"]) == text
    return case


def decode_cases(tokenizer: Tokenizer) -> list[dict[str, object]]:
    """Ids that stop or start in the middle of a character, and special tokens skipped."""
    cases = []
    for text in ("😀", "漢字", "é!", "a😀b", "мир"):
        ids = tokenizer.encode(text).ids
        for part in (ids[:-1], ids[1:], ids[::-1]):
            cases.append({"ids": part, "skip_special_tokens": False,
                          "decoded": tokenizer.decode(part, skip_special_tokens=False)})
    ids = tokenizer.encode("a<|endoftext|> b<|pad|><|pad|>").ids
    for skip in (False, True):
        cases.append({"ids": ids, "skip_special_tokens": skip,
                      "decoded": tokenizer.decode(ids, skip_special_tokens=skip)})
    return cases


def generate() -> None:
    directory = DATA / "bpe"
    directory.mkdir(parents=True, exist_ok=True)
    text = corpus()
    (directory / "corpus.txt").write_bytes(text.encode())
    tokenizer = train(text)
    ties = check_rules(tokenizer, text)
    tokenizer.save(str(directory / "tokenizer.json"))
    cases = [encode_case(tokenizer, text, pieces=len(text) < 200) for text in written()]
    cases += [encode_case(tokenizer, text, pieces=False) for text in generated(GENERATED)]
    assert all(case["decoded"] == case["text"] for case in cases)
    write_json_rows(directory / "cases.json", {
        "versions": versions(), "merges_chosen_among_ties": ties,
        "encode": cases, "decode": decode_cases(tokenizer)})
