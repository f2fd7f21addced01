#!/usr/bin/env python3
"""Writes unicode_sets.inc: the sets of characters that normalizers and pre-tokenizers ask for.

Hugging Face `tokenizers` takes them from several libraries with several editions of Unicode, so the library itself is
asked about every character. Run by a developer when it moves: `pip install tokenizers==0.23.3`, then
`python data/tokenizer/unicode_sets.py`.
"""

from importlib.metadata import version

from tokenizers.normalizers import BertNormalizer, StripAccents
from tokenizers.pre_tokenizers import Digits, Punctuation, Whitespace
from unicode_tables import write_tables

cleaned = BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
unaccented = BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
marks = StripAccents()
punctuation, digits, words = Punctuation(), Digits(individual_digits=True), Whitespace()

SETS = {
    "kBertControlRanges": lambda c: cleaned.normalize_str(c) == "",
    "kNonspacingMarkRanges": lambda c: unaccented.normalize_str(c) == "",
    "kCombiningMarkRanges": lambda c: marks.normalize_str(c) == "",
    "kPunctuationRanges": lambda c: len(punctuation.pre_tokenize_str("a" + c)) == 2,
    "kNumericRanges": lambda c: len(digits.pre_tokenize_str("a" + c)) == 2,
    "kWordRanges": lambda c: words.pre_tokenize_str("a" + c)[0][0] == "a" + c,
}

if __name__ == "__main__":
    write_tables(__file__, f"tokenizers {version('tokenizers')}", SETS)
