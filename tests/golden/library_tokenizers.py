"""Tokenizers of the libraries sentencepiece and tiktoken, in their own file formats, as further kinds of tokenizers/."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass

import sentencepiece
import tiktoken
from hf_tokenizers import training_lines, write_kind
from tiktoken_ext import openai_public
from tokenizer_kinds import LLAMA3, RULES, byte_level, rules_file, split_bytes


@dataclass
class Encoded:
    ids: list[int]


class SentencePiece:
    """With the interface of a tokenizers.Tokenizer."""

    def __init__(self, lines: list[str], **options) -> None:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([line for line in lines if line]), model_writer=model, hard_vocab_limit=False,
            minloglevel=2, **options)
        self.files = {"tokenizer.model": model.getvalue()}
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def encode(self, text: str) -> Encoded:
        return Encoded(self.processor.encode(text))

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return self.processor.decode(ids)


SYMBOLS = ["<tool>", " two words ", "▁lantern", "é", "12345"]
IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}


def sp_unigram(lines: list[str]) -> SentencePiece:
    """What T5 and ALBERT have: nmt_nfkc, single spaces."""
    return SentencePiece(lines, vocab_size=600, normalization_rule_name="nmt_nfkc", control_symbols=["<tool>"])


def sp_unigram_bytes(lines: list[str]) -> SentencePiece:
    return SentencePiece(lines, vocab_size=700, byte_fallback=True, user_defined_symbols=SYMBOLS,
                         unk_surface=" ? ", pad_id=3, **IDENTITY)


def sp_unigram_suffix(lines: list[str]) -> SentencePiece:
    with rules_file(RULES) as rules:
        return SentencePiece(lines, vocab_size=400, normalization_rule_tsv=rules, treat_whitespace_as_suffix=True)


def sp_bpe(lines: list[str]) -> SentencePiece:
    with rules_file(RULES) as rules:
        return SentencePiece(lines, vocab_size=600, model_type="bpe", normalization_rule_tsv=rules,
                             user_defined_symbols=SYMBOLS, character_coverage=0.98)


def sp_bpe_bytes(lines: list[str]) -> SentencePiece:
    """What Llama 2 has: every space kept, bytes for what has no piece."""
    return SentencePiece(lines, vocab_size=800, model_type="bpe", byte_fallback=True, split_digits=True,
                         allow_whitespace_only_pieces=True, **IDENTITY)


def sp_bpe_plain(lines: list[str]) -> SentencePiece:
    """No dummy prefix; pieces over several words."""
    return SentencePiece(lines, vocab_size=500, model_type="bpe", add_dummy_prefix=False, split_by_whitespace=False,
                         **IDENTITY)


class Tiktoken:
    """The ranks of a small vocabulary with the pattern of an encoding whose name the file has."""

    def __init__(self, lines: list[str], name: str, pattern: str) -> None:
        vocabulary = json.loads(byte_level(lines, split_bytes(pattern)).to_str())["model"]
        characters = tiktoken_characters()
        tokens = [bytes(characters[c] for c in token) for token in sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
                  if token not in ("<|endoftext|>", "<s>", "</s>")]
        ranks = {token: rank for rank, token in enumerate(tokens)}
        text = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
        self.files = {name: text.encode()}
        self.encoding = tiktoken.Encoding("small", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def encode(self, text: str) -> Encoded:
        return Encoded(self.encoding.encode_ordinary(text))

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return self.encoding.decode(ids)


def tiktoken_characters() -> dict[str, int]:
    """GPT-2's characters and their bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


def tiktoken_gpt2(lines: list[str]) -> Tiktoken:
    return Tiktoken(lines, "gpt2.tiktoken", openai_public.r50k_pat_str)


def public_pattern(name: str) -> str:
    """The pattern of an encoding whose ranks would have to be fetched."""
    fetch, openai_public.load_tiktoken_bpe = openai_public.load_tiktoken_bpe, lambda *_, **__: {}
    try:
        return openai_public.ENCODING_CONSTRUCTORS[name]()["pat_str"]
    finally:
        openai_public.load_tiktoken_bpe = fetch


def tiktoken_cl100k(lines: list[str]) -> Tiktoken:
    return Tiktoken(lines, "cl100k_base.tiktoken", public_pattern("cl100k_base"))


def tiktoken_o200k(lines: list[str]) -> Tiktoken:
    return Tiktoken(lines, "o200k_base.tiktoken", public_pattern("o200k_base"))


def tiktoken_llama3(lines: list[str]) -> Tiktoken:
    return Tiktoken(lines, "tokenizer.model", LLAMA3)


LIBRARY_KINDS = {build.__name__: build for build in (
    sp_unigram, sp_unigram_bytes, sp_unigram_suffix, sp_bpe, sp_bpe_bytes, sp_bpe_plain, tiktoken_gpt2, tiktoken_cl100k,
    tiktoken_o200k, tiktoken_llama3)}


def generate() -> None:
    for name, build in LIBRARY_KINDS.items():
        tokenizer = build(training_lines())
        write_kind(name, tokenizer, tokenizer.files)
