#!/usr/bin/env python3
"""verify_adapter.py ADAPTER MERGED: opens a directory that Tandem wrote for an adapter with PEFT, on the base model
that it names, and compares its logits with those of MERGED, which `trainer export ADAPTER MERGED` wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


def logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(tokens).logits


def main(adapter: str, merged: str) -> int:
    base = json.loads((Path(adapter) / "adapter_config.json").read_text())["base_model_name_or_path"]
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokens = torch.randint(3, plain.config.vocab_size, (2, 24), generator=torch.Generator().manual_seed(1))
    before = logits(plain, tokens)
    adapted = logits(PeftModel.from_pretrained(plain, adapter), tokens)
    expected = logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32), tokens)
    moved = (adapted - before).abs().max().item()
    error = (adapted - expected).abs().max().item()
    print(f"the adapter moves logits by up to {moved:.4g}; merged they differ by {error:.4g}")
    return 0 if moved > 1e-3 and error < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
