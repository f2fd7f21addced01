#!/usr/bin/env python3
"""`verify_hf_dir.py DIR GOLDEN`: does a directory written by Tandem open in transformers as the same model?

GOLDEN is a safetensors file with `tokens`, `cu_seqlens` and `logits` (as llama_tiny.safetensors). Every weight
must be found and none left over, and the logits must agree to 1e-4 of their largest value. With `--tokens-only`
as a third argument, GOLDEN needs no logits: the directory is opened and run, and its mean loss printed.
"""

from __future__ import annotations

import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4


def main(directory: str, golden: str, *options: str) -> int:
    data = load_file(golden)
    model, found = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = [f"{kind}: {sorted(names)}" for kind, names in found.items() if names]
    sequences = data["tokens"].long().split(data["cu_seqlens"].diff().tolist())
    with torch.no_grad():
        outputs = [model(ids[None], labels=ids[None]) for ids in sequences]
    weights = torch.tensor([len(ids) - 1.0 for ids in sequences])
    losses = torch.stack([output.loss for output in outputs])
    print(f"mean loss {(losses * weights).sum() / weights.sum():.6f}")
    if "--tokens-only" not in options:
        logits = torch.cat([output.logits[0] for output in outputs])
        error = (logits - data["logits"]).abs().max() / data["logits"].abs().max()
        print(f"largest logit difference {error:.3g} of the largest logit")
        if not error <= TOLERANCE:
            problems.append(f"logits differ by {error:.3g}, more than {TOLERANCE}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: verify_hf_dir.py DIR GOLDEN.safetensors [--tokens-only]")
    sys.exit(main(*sys.argv[1:]))
