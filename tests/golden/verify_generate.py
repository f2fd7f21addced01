#!/usr/bin/env python3
"""`verify_generate.py TRAINER [DIR…]`: does `trainer generate` write what transformers generates?

Both programs continue the same prompts in fp32, greedily with and without a cache and by beam search, from directories that Tandem wrote or, where none is named,
from random small models of several families that transformers saves with the tokenizer of data/bpe.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (AutoModelForCausalLM, BartConfig, BartForConditionalGeneration, GPT2Config, GPT2LMHeadModel,
                          LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration)

from families import fill
from fixture import DATA

PROMPTS = ["The house", "a small river and"]
NEW_TOKENS = 16
VOCAB = 600
EOS = 0

MODELS = {
    "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=64, n_layer=2, n_head=4,
                                       n_positions=128, bos_token_id=EOS, eos_token_id=EOS)),
    "t5": T5ForConditionalGeneration(T5Config(vocab_size=VOCAB, d_model=64, d_kv=16, d_ff=96,
                                              num_layers=2, num_heads=4, pad_token_id=1,
                                              eos_token_id=EOS, decoder_start_token_id=1)),
    "bart": BartForConditionalGeneration(BartConfig(
        vocab_size=VOCAB, d_model=64, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=96,
        decoder_ffn_dim=96, encoder_attention_heads=4, decoder_attention_heads=4,
        max_position_embeddings=128, pad_token_id=1, bos_token_id=2, eos_token_id=EOS,
        decoder_start_token_id=2, forced_eos_token_id=None)),
    "llama": LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, hidden_size=64, intermediate_size=96,
                                          num_hidden_layers=2, num_attention_heads=4,
                                          num_key_value_heads=2, bos_token_id=EOS,
                                          eos_token_id=EOS)),
}


# How texts are generated: options of `trainer generate` and of transformers.
WAYS = [(["--temperature", "0"], {}), (["--temperature", "0", "--no-cache"], {}),
        (["--num-beams", "3"], {"num_beams": 3}), (["--num-beams", "3", "--no-cache"], {"num_beams": 3})]


def expected_text(model: torch.nn.Module, tokenizer: Tokenizer, prompt: str, way: dict[str, object]) -> str:
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    model.generation_config.forced_eos_token_id = None
    out = model.generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=EOS,
                         pad_token_id=1, attention_mask=torch.ones_like(ids), **way)[0]
    if model.config.is_encoder_decoder:
        return tokenizer.decode(out[1:].tolist())
    return prompt + tokenizer.decode(out[ids.shape[1]:].tolist())


def compare(trainer: str, name: str, directory: str, model: torch.nn.Module) -> bool:
    tokenizer = Tokenizer.from_file(str(Path(directory) / "tokenizer.json"))
    wrong = False
    for prompt, (options, way) in product(PROMPTS, WAYS):
        expected = expected_text(model, tokenizer, prompt, way)
        actual = subprocess.run(
            [trainer, "generate", "--model", directory, "--prompt", prompt, *options,
             "--max-new-tokens", str(NEW_TOKENS), "--precision", "fp32"],
            check=True, capture_output=True, text=True).stdout.removesuffix("\n\n")
        print(f"{name} {' '.join(options)}: {'equal' if actual == expected else 'DIFFERENT'}: {actual!r}")
        if actual != expected:
            print(f"  transformers: {expected!r}")
            wrong = True
    return wrong


def main(trainer: str, *directories: str) -> int:
    wrong = []
    for directory in directories:
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        wrong.append(compare(trainer, directory, directory, model))
    for name, model in MODELS.items() if not directories else ():
        fill(model, name)
        with tempfile.TemporaryDirectory() as directory:
            model.save_pretrained(directory)
            shutil.copy(DATA / "bpe" / "tokenizer.json", Path(directory) / "tokenizer.json")
            wrong.append(compare(trainer, name, directory, model))
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: verify_generate.py TRAINER [DIR…]")
    sys.exit(main(*sys.argv[1:]))
