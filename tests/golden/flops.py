"""flops.json: what torch.utils.flop_counter counts in a forward and backward of small models."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from fixture import Fixture

SEQUENCES, LENGTH = 8, 16
MODELS = {
    "llama": (LlamaForCausalLM,
              LlamaConfig(vocab_size=400, hidden_size=64, intermediate_size=128,
                          num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                          max_position_embeddings=128, tie_word_embeddings=True,
                          attn_implementation="sdpa")),
    "gpt2": (GPT2LMHeadModel,
             GPT2Config(vocab_size=400, n_embd=64, n_inner=128, n_layer=2, n_head=4,
                        n_positions=128, attn_pdrop=0.0,
                        attn_implementation="sdpa")),
}


def generate() -> None:
    out = Fixture("flops")
    out.note(sequences=SEQUENCES, length=LENGTH)
    for name, (family, config) in MODELS.items():
        model = family(config)
        ids = torch.zeros(SEQUENCES, LENGTH, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            model(ids, labels=ids).loss.backward()
        counts = {str(op).removeprefix("aten."): n
                  for op, n in counter.get_flop_counts()["Global"].items()}
        # Every query with every key, also where the model is causal.
        attention = sum(n for op, n in counts.items() if "attention" in op)
        out.note(**{name: {"matmul": counter.get_total_flops() - attention,
                           "attention": attention}})
    out.write()
