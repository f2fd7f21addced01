#!/usr/bin/env python3
"""Writes unicode_ranges.inc: the ranges of letters and numbers that unicode_class.cpp reads.

Run by a developer when the edition of Unicode moves: `pip install unicodedata2==16.0.0`, then
`python data/tokenizer/unicode_ranges.py`.
"""

import unicodedata2 as unicodedata
from unicode_tables import write_tables

SETS = {
    "kLetterRanges": lambda c: unicodedata.category(c)[0] == "L",
    "kNumberRanges": lambda c: unicodedata.category(c)[0] == "N",
}

if __name__ == "__main__":
    write_tables(__file__, f"Unicode {unicodedata.unidata_version}", SETS)
