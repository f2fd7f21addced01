"""Small Llama models with weights keyed by tensor name, and packed batches of random tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils import logging

from fixture import generator, normal

logging.disable_progress_bar()

TINY = dict(vocab=104, hidden=64, layers=3, heads=4, kv_heads=2, ffn=96, eps=1e-5, theta=1e4,
            tied=False)
TINY_TIED = dict(vocab=104, hidden=32, layers=2, heads=4, kv_heads=4, ffn=48, eps=1e-6, theta=5e5,
                 tied=True)


def config(vocab: int, hidden: int, layers: int, heads: int, kv_heads: int, ffn: int, eps: float,
           theta: float, tied: bool, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, intermediate_size=ffn, rms_norm_eps=eps,
        rope_parameters={"rope_type": "default", "rope_theta": theta}, tie_word_embeddings=tied,
        max_position_embeddings=256, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
        **more)


def fill(model: PreTrainedModel, seed: str, scale: float = 1.0) -> PreTrainedModel:
    """Weights large enough that no activation, logit or gradient is close to zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.ndim == 1
            std = 0.2 if is_norm else scale * parameter.shape[-1] ** -0.5
            if "embed_tokens" in name:
                std = 0.3 if model.config.tie_word_embeddings else 0.8
            parameter.copy_(normal(f"{seed}/{name}", *parameter.shape, scale=std,
                                   mean=1.0 if is_norm else 0.0))
    return model.float().eval()


def causal_lm(seed: str, **sizes: object) -> LlamaForCausalLM:
    return fill(LlamaForCausalLM(config(**sizes)), seed)


def save(model: PreTrainedModel, directory: Path) -> None:
    """Hugging Face directory: config.json and model.safetensors."""
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    for path in directory.iterdir():
        path.chmod(0o644)


def save_v4_config(directory: Path) -> None:
    """config_v4.json: the same model in the key names that transformers 4 wrote."""
    values = json.loads((directory / "config.json").read_text())
    values["rope_theta"] = values.pop("rope_parameters")["rope_theta"]
    values["rope_scaling"] = None
    values["torch_dtype"] = values.pop("dtype")
    values["transformers_version"] = "4.44.2"
    text = json.dumps(dict(sorted(values.items())), indent=2)
    (directory / "config_v4.json").write_text(text + "\n")


def packed(name: str, vocab: int, lengths: list[int]) -> list[torch.Tensor]:
    """Random token ids [length] (int64) of each sequence, never a special id below 3."""
    rng = generator(name)
    return [torch.randint(3, vocab, (length,), generator=rng) for length in lengths]
