"""trained/: what Hugging Face's trainers of WordPiece and Unigram tokenizers make of the corpus of bpe/."""

from __future__ import annotations

import json
import math
from importlib.metadata import version

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from fixture import DATA, write_json_rows

RECORDED = ("tokenizers",)
SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[UNK]"]
UNIGRAM_SPECIAL = ["</s>", "<pad>", "<unk>"]
WORDPIECE = [{"vocab_size": 700}, {"vocab_size": 500, "min_frequency": 3, "lowercase": False}]
UNIGRAM = [{"vocab_size": 700}, {"vocab_size": 300}, {"vocab_size": 2000}]


def texts() -> list[str]:
    """Two thirds of the corpus's lines to learn from; the others are held out."""
    return (DATA / "bpe" / "corpus.txt").read_text(encoding="utf-8").split("\n")


def learned(lines: list[str]) -> list[str]:
    return [line for i, line in enumerate(lines) if i % 3 != 2]


def held_out(lines: list[str]) -> list[str]:
    return [line for i, line in enumerate(lines) if i % 3 == 2]


def alphabet(tokenizer: Tokenizer, lines: list[str]) -> list[str]:
    """Every character, then every one that stands inside a word: the order that the trainer leaves to a hash table.

    As special tokens they get fixed ids, after which no choice is left to it.
    """
    first, inside = set(), set()
    for line in lines:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line)):
            first |= set(word)
            inside |= set(word[1:])
    return sorted(first) + sorted("##" + character for character in inside)


def wordpiece(lines: list[str], vocab_size: int, min_frequency: int = 1, lowercase: bool = True) -> dict[str, object]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, show_progress=False,
        special_tokens=SPECIAL + alphabet(tokenizer, lines)))
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    return {"vocab_size": vocab_size, "min_frequency": min_frequency, "lowercase": lowercase,
            "vocabulary": [token for token, _ in vocabulary]}


def unigram(lines: list[str], others: list[str], vocab_size: int) -> dict[str, object]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                                 normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=vocab_size, show_progress=False, special_tokens=UNIGRAM_SPECIAL, unk_token="<unk>"))
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    scores = {i: score for i, (_, score) in enumerate(vocabulary)}
    likelihood = sum(scores[i] for line in others for i in tokenizer.encode(line).ids)
    assert math.isfinite(likelihood)
    return {"vocab_size": vocab_size, "vocabulary": vocabulary, "held_out_log_probability": likelihood}


def generate() -> None:
    lines = texts()
    write_json_rows(DATA / "trained_tokenizers.json", {
        "versions": {name: version(name) for name in RECORDED}, "special": SPECIAL, "unigram_special": UNIGRAM_SPECIAL,
        "wordpiece": [wordpiece(learned(lines), **options) for options in WORDPIECE],
        "unigram": [unigram(learned(lines), held_out(lines), **options) for options in UNIGRAM]})
