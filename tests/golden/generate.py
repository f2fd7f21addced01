#!/usr/bin/env python3
"""Regenerates the golden data: `python tests/golden/generate.py [subject…]` (all when none is named).

Needs the packages of requirements.txt (Python 3.11). The committed data is what tests read; this
program is run by a developer only, when a fixture is added or a pinned version moves.
"""

from __future__ import annotations

import importlib
import sys

SUBJECTS = {
    "ops": "ops",
    "optim": "optim",
    "precision": "precision",
    "fp8": "fp8",
    "quant": "quant",
    "lora": "lora",
    "llama": "llama",
    "families": "families",
    "flops": "flops",
    "beams": "beams",
    "trl_losses": "trl_losses",
    "ppo": "ppo",
    "bpe": "bpe",
    "tokenizers": "hf_tokenizers",
    "library_tokenizers": "library_tokenizers",
    "trained_tokenizers": "trained_tokenizers",
    "gguf": "gguf_files",
    "chat_templates": "chat_templates",
    "classification": "classification",
    "embeddings": "embeddings",
    "original_templates": "original_templates",
    "trl_data": "trl_data",
    "parquet": "parquet_files",
    "sequence_to_sequence": "sequence_to_sequence",
}


def main(arguments: list[str]) -> int:
    unknown = [name for name in arguments if name not in SUBJECTS]
    if unknown:
        print(f"unknown subject {unknown[0]!r}; known: {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    for name in arguments or SUBJECTS:
        print(f"generating {name}", flush=True)
        importlib.import_module(SUBJECTS[name]).generate()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
