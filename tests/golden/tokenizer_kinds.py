"""The tokenizers of hf_tokenizers.py: each function trains or composes one."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
# Of the kind that newer models have: capitals and small letters apart.
CASES = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]+"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def template(tokenizer: Tokenizer, single: str, *tokens: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=single, pair=None,
                                         special_tokens=[(t, tokenizer.token_to_id(t)) for t in tokens])


def wordpiece(lines: list[str], normalizer, unknown_length: int, size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=unknown_length))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=size, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    return tokenizer


def bert_uncased(lines: list[str]) -> Tokenizer:
    tokenizer = wordpiece(lines, normalizers.BertNormalizer(), 100, 900)
    tokenizer.post_processor = template(tokenizer, "[CLS] $A [SEP]", "[CLS]", "[SEP]")
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_tokens([AddedToken("tool", single_word=True, normalized=True)])
    return tokenizer


def bert_cased(lines: list[str]) -> Tokenizer:
    normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False, handle_chinese_chars=False)
    tokenizer = wordpiece(lines, normalizer, 9, 900)
    ids = tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.add_special_tokens([AddedToken("<tool>", lstrip=True, rstrip=True)])
    return tokenizer


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def character_bpe(lines: list[str], size: int, bytes_too: bool, **options) -> Tokenizer:
    """BPE of characters whose words start with U+2581, as SentencePiece's are."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, show_progress=False, limit_alphabet=150))
    model = json.loads(trained.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(BYTES if bytes_too else [])] + list(model["vocab"])
    return Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)},
                                merges=[tuple(merge) for merge in model["merges"]], unk_token="<unk>",
                                byte_fallback=bytes_too, **options))


def llama2(lines: list[str]) -> Tokenizer:
    tokenizer = character_bpe(lines, 700, True, fuse_unk=True)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=True)])
    tokenizer.post_processor = template(tokenizer, "<s> $A", "<s>")
    return tokenizer


def llama2_metaspace(lines: list[str]) -> Tokenizer:
    tokenizer = character_bpe(lines, 500, True, fuse_unk=True, ignore_merges=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def bpe_words(lines: list[str]) -> Tokenizer:
    """No byte fallback, unknown characters fused, no decoder; normalizers in a row."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Nmt(),
        normalizers.Replace(Regex(r"\d{3,}"), "#"), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(),
                                                       pre_tokenizers.Digits(individual_digits=False)])
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=500, show_progress=False, special_tokens=["<unk>"], limit_alphabet=120))
    return tokenizer


def bpe_unknown(lines: list[str]) -> Tokenizer:
    """Unknown characters one by one."""
    tokenizer = character_bpe(lines, 400, False)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip(left=False, right=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Split("-", "merged_with_next"),
        pre_tokenizers.Metaspace(prepend_scheme="never")])
    tokenizer.decoder = decoders.Sequence([decoders.Strip("e", 0, 1), decoders.Fuse(), decoders.Replace("▁", " "),
                                           decoders.Strip("a", 2, 0)])
    return tokenizer


def trained_unigram(lines: list[str], size: int) -> list[list]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=size, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"))
    return [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]


def unigram(lines: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram(trained_unigram(lines, 700), 2, False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = template(tokenizer, "$A </s>", "</s>")
    return tokenizer


def unigram_bytes(lines: list[str]) -> Tokenizer:
    vocabulary = trained_unigram(lines, 500)
    vocabulary += [(name, 0.0) for name in BYTES]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 2, True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.NFC(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Metaspace(prepend_scheme="first")])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


RULES = {"ﬁ": "fi", "½": "1⁄2", "①": "1", "e\u0301": "é", "o\u0323\u0302": "ộ", "Ⅷ": "VIII", "ｶﾞ": "ガ", "㎏": "kg", "👍": "+1", "☕": "",
         "１": "1", "２": "2", "３": "3", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": " ",
         "\x01": "", "\x7f": "", "\u00ad": "", "\u1100\u1161": "가", "क": "k", "❤": "<3", "\u212b": "Å", "\u0130": "i", "🇩🇪": "DE"}


def fields(message: bytes) -> dict[int, object]:
    """The last value of each field of a protocol buffer."""
    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not message[at - 1] & 0x80:
                return value, at

    found, at = {}, 0
    while at < len(message):
        key, at = number(at)
        size, at = {0: lambda: (0, number(at)[1]), 1: lambda: (8, at), 2: lambda: number(at), 5: lambda: (4, at)}[key & 7]()
        found[key >> 3] = message[at:at + size]
        at += size
    return found


@contextlib.contextmanager
def rules_file(rules: dict[str, str]) -> Iterator[str]:
    """A file of rules for SentencePiece to compile."""
    def codes(text: str) -> str:
        return " ".join(f"{ord(c):X}" for c in text)

    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("".join(f"{codes(old)}\t{codes(new)}\n" for old, new in rules.items()))
        file.flush()
        yield file.name


def charsmap(rules: dict[str, str]) -> bytes:
    """Rules as SentencePiece compiles them."""
    model = io.BytesIO()
    with rules_file(rules) as name:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a small text of few words"] * 20), model_writer=model, vocab_size=25,
            hard_vocab_limit=False, normalization_rule_tsv=name, minloglevel=2)
    return fields(fields(model.getvalue())[3])[2]


def t5(lines: list[str]) -> Tokenizer:
    tokenizer = unigram(lines)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap(RULES)),
                                                 normalizers.Strip(left=False, right=True),
                                                 normalizers.Replace(Regex(" {2,}"), "▁")])
    return tokenizer


def byte_level(
lines: list[str], pre_tokenizer, normalizer=None, **options) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**options))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=600, show_progress=False, special_tokens=["<|endoftext|>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def split_bytes(pattern: str, behavior: str = "isolated", invert: bool = False) -> pre_tokenizers.Sequence:
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior, invert),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3(lines: list[str]) -> Tokenizer:
    tokenizer = byte_level(lines, split_bytes(LLAMA3), ignore_merges=True)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                                    template(tokenizer, "<s> $A", "<s>")])
    return tokenizer


def qwen2(lines: list[str]) -> Tokenizer:
    return byte_level(lines, split_bytes(QWEN2, "removed", True), normalizers.NFC())


def split_cases(lines: list[str]) -> Tokenizer:
    return byte_level(lines, split_bytes(CASES))


def split_behaviors(lines: list[str]) -> Tokenizer:
    tokenizer = byte_level(lines, pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\s"), "merged_with_previous"), pre_tokenizers.Split(Regex(r"[aeiou]"), "contiguous"),
        pre_tokenizers.Split(".", "removed"), pre_tokenizers.Split(Regex(r"\p{Lu}*"), "merged_with_next", True),
        pre_tokenizers.Punctuation("merged_with_previous"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]))
    ids = tokenizer.get_vocab()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]))
    return tokenizer


def digits_gpt2(lines: list[str]) -> Tokenizer:
    return byte_level(lines, pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]))


def from_files(files: dict[str, str]) -> Tokenizer:
    """What transformers makes of a directory without tokenizer.json. The files become the kind's."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    FILES[id(tokenizer)] = files
    return tokenizer


def bert_files(lines: list[str]) -> Tokenizer:
    vocabulary = bert_cased(lines[::2]).get_vocab(with_added_tokens=False)
    return from_files({"vocab.txt": "".join(name + "\n" for name in sorted(vocabulary, key=vocabulary.get)),
                       "tokenizer_config.json": '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}\n'})


def merges_files(lines: list[str], **config) -> Tokenizer:
    model = json.loads(digits_gpt2(lines[::2]).to_str())["model"]
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    return from_files({"vocab.json": json.dumps(model["vocab"], ensure_ascii=False),
                       "merges.txt": "#version: 0.2\n" + merges, "tokenizer_config.json": json.dumps(config) + "\n"})


def gpt2_files(lines: list[str]) -> Tokenizer:
    return merges_files(lines, tokenizer_class="GPT2Tokenizer", pad_token="<pad>")


def roberta_files(lines: list[str]) -> Tokenizer:
    return merges_files(lines, tokenizer_class="RobertaTokenizer", add_prefix_space=True)


FILES: dict[int, dict[str, str]] = {}  # of the tokenizers that are no tokenizer.json

KINDS = {build.__name__: build for build in (
    bert_uncased, bert_cased, llama2, llama2_metaspace, bpe_words, bpe_unknown, unigram, unigram_bytes, t5, llama3, qwen2,
    split_cases, split_behaviors, digits_gpt2, bert_files, gpt2_files, roberta_files)}
