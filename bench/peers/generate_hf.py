#!/usr/bin/env python3
"""Generation throughput of transformers' generate: new tokens/s, batched, sampled, fixed lengths, KV cache."""

from __future__ import annotations

import torch

import peer


def main() -> None:
    parser = peer.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=3, help="timed calls of generate")
    parser.add_argument("--warmup", type=int, default=2, help="calls before timing starts")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64, help="prompt tokens")
    parser.add_argument("--new", type=int, default=128, help="new tokens")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, _, _ = peer.build(options.model, options.device)
    model.eval()
    if options.precision == "bf16":
        model.to(torch.bfloat16)
    cache = {}
    if options.compile:
        model.forward = torch.compile(model.forward)
        cache["cache_implementation"] = "static"
    prompts = torch.randint(3, model.config.vocab_size, (options.batch, options.prompt),
                            device=options.device)

    def run() -> None:
        model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=True, top_k=0,
                       min_new_tokens=options.new, max_new_tokens=options.new, pad_token_id=0, **cache)

    seconds = peer.timed(run, options.warmup, options.steps, options.device)
    peer.report("hf-generate", options, seconds, options.batch * options.new, batch=options.batch,
                prompt=options.prompt, new=options.new, parameters=model.num_parameters(),
                steady_peak_rss_mib=round(peer.steady_peak_mib()), peak_rss_mib=round(peer.peak_mib()),
                **peer.device_memory(options.device))


if __name__ == "__main__":
    main()
