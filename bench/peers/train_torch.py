#!/usr/bin/env python3
"""Training throughput of a Hugging Face model in PyTorch: median tokens/s of full optimizer steps on one process."""

from __future__ import annotations

import torch

import peer


def main() -> None:
    options = peer.training_arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    model, batch, seq = peer.build(options.model, options.device)
    batch, seq = options.batch or batch, options.seq or seq
    parameters = model.num_parameters()
    model.train()
    if options.compile == "layers":
        peer.compile_layers(model)
    step = peer.training_step(torch.compile(model) if options.compile == "model" else model,
                              options.precision, options.clip, options.device)
    tokens = torch.randint(3, model.config.vocab_size, (batch, seq), device=options.device)
    losses: list[float] = []
    seconds = peer.timed(lambda: losses.append(step(tokens)), options.warmup, options.steps,
                         options.device)
    peer.report("torch-train", options, seconds, batch * seq, batch=batch, seq=seq,
                parameters=parameters, first_loss=round(losses[0], 4), last_loss=round(losses[-1], 4),
                steady_peak_rss_mib=round(peer.steady_peak_mib()), peak_rss_mib=round(peer.peak_mib()),
                **peer.device_memory(options.device))


if __name__ == "__main__":
    main()
