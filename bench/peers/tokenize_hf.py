#!/usr/bin/env python3
"""Texts to ids with Hugging Face tokenizers on one thread: every line of a text, as bench_tokenize does it."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer, __version__  # noqa: E402


def lines_of(text: str, size: int) -> list[str]:
    """The text's lines, again and again, until they have so many bytes."""
    lines = text.removesuffix("\n").split("\n")
    result, total = [], 0
    while total < size:
        result.append(lines[len(result) % len(lines)])
        total += len(result[-1].encode())
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", required=True)
    parser.add_argument("--folder", required=True, help="with the tokenizer.json of bench_tokenize")
    parser.add_argument("--model", default="bpe", help="its name in the result")
    parser.add_argument("--megabytes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(f"{options.folder}/tokenizer.json")
    with open(options.text, encoding="utf-8", newline="\n") as file:
        lines = lines_of(file.read(), options.megabytes << 20)
    seconds, tokens = [], 0
    for run in range(options.warmup + options.steps):
        start = time.perf_counter()
        # Offsets are not made, and no Python object for each line's call: the peer at its fastest.
        tokens = sum(len(encoding) for encoding in tokenizer.encode_batch_fast(lines, add_special_tokens=False))
        if run >= options.warmup:
            seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds)
    print(json.dumps({"program": f"tokenizers-{__version__}", "model": options.model, "threads": 1,
                      "median_s": round(middle, 4), "best_s": round(min(seconds), 4),
                      "tokens_per_s": round(tokens / middle, 1), "tokens": tokens}))


if __name__ == "__main__":
    main()
