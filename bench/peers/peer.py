"""What the PyTorch peers share: the models, the training step, timing, memory and the JSON line they print."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel

# Other work on the machine ruins a figure (OpenMP threads that spin for each other most of all), so every line says
# how busy the machine was before this program began.
LOAD_BEFORE = os.getloadavg()[0]

# Sizes that bench/run.sh gives to Tandem too: (config, batch, sequence length).
MODELS = {
    "llama-58m": (lambda: LlamaConfig(
        vocab_size=32000, hidden_size=512, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, intermediate_size=1536, max_position_embeddings=2048,
        tie_word_embeddings=False), 4, 512),
    "gpt-30m": (lambda: GPT2Config(
        vocab_size=50257, n_embd=384, n_layer=6, n_head=6, n_positions=1024, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0), 8, 256),
    "llama-30m": (lambda: LlamaConfig(
        vocab_size=50257, hidden_size=384, num_hidden_layers=6, num_attention_heads=6,
        num_key_value_heads=6, intermediate_size=1024, max_position_embeddings=1024,
        tie_word_embeddings=True), 8, 256),
}


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="llama-58m",
                        help=f"{', '.join(MODELS)}, or a directory with a Hugging Face config.json")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", choices=("layers", "model"), nargs="?", const="model",
                        help="torch.compile instead of eager: the model as one, or each layer and the "
                             "loss by itself, so that one layer is compiled for all of them")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    return parser


def training_arguments(description: str) -> argparse.ArgumentParser:
    parser = arguments(description)
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before timing starts")
    parser.add_argument("--batch", type=int, help="sequences per step over all ranks")
    parser.add_argument("--seq", type=int, help="tokens per sequence")
    parser.add_argument("--clip", type=float, default=1.0, help="gradient norm limit, 0 for none")
    return parser


def build(name: str, device: str = "cpu") -> tuple[PreTrainedModel, int, int]:
    """The model with random fp32 weights, made on `device`, and its usual batch and sequence length."""
    torch.manual_seed(0)
    if name in MODELS:
        make, batch, seq = MODELS[name]
        config = make()
    elif Path(name).is_dir():
        config, batch, seq = AutoConfig.from_pretrained(name), 4, 512
    else:
        raise SystemExit(f"unknown model {name!r}: neither one of {', '.join(MODELS)} nor a directory")
    with torch.device(device):  # a billion weights take the host half a minute
        return AutoModelForCausalLM.from_config(config).float(), batch, seq


def compile_layers(model: PreTrainedModel) -> None:
    """Each layer and the loss; what is between them (embedding, last norm, output matrix) stays as it is."""
    base = model.base_model
    for layer in base.h if hasattr(base, "h") else base.layers:
        layer.compile()
    model.loss_function = torch.compile(model.loss_function)


def autocast(precision: str, device: str) -> contextlib.AbstractContextManager:
    if precision == "bf16":
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def training_step(model: torch.nn.Module, precision: str, clip: float,
                  device: str = "cpu") -> Callable[[torch.Tensor], float]:
    """One optimizer step on token ids [batch, seq]; returns the loss. Fused AdamW, fp32 weights."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1,
                                  fused=True)

    def step(tokens: torch.Tensor) -> float:
        with autocast(precision, device):
            loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        if clip > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def device_memory(device: str) -> dict[str, int]:
    """What a GPU's memory took at most, for the JSON line; nothing for the CPU."""
    if torch.device(device).type != "cuda":
        return {}
    return {"peak_device_mib": torch.cuda.max_memory_allocated(device) >> 20}


def timed(run: Callable[[], object], warmup: int, times: int, device: str = "cpu") -> list[float]:
    """Seconds of each of `times` runs after `warmup` untimed ones, each until the device is done."""
    for _ in range(warmup):
        run()
    synchronize(device)
    forget_peak()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds


def forget_peak() -> None:
    """Restarts the kernel's peak-RSS mark, so that compilation does not count against steady memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def steady_peak_mib() -> float:
    """Peak resident memory since forget_peak (of the whole life where the kernel cannot forget)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return peak_mib()


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(peer: str, options: argparse.Namespace, seconds: list[float], tokens: int,
           **more: object) -> None:
    """Prints the one JSON line; `tokens` is how many one timed run processes."""
    median = statistics.median(seconds)
    print(json.dumps({
        "peer": peer, "model": options.model, "precision": options.precision,
        "compile": options.compile, "threads": options.threads, "device": options.device,
        "runs": len(seconds), "median_s": round(median, 4), "tokens_per_s": round(tokens / median, 1),
        "torch": torch.__version__, "transformers": transformers.__version__,
        "preload": os.environ.get("LD_PRELOAD", ""),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "load_before": round(LOAD_BEFORE, 2), **more}), flush=True)
