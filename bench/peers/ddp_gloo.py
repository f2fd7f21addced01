#!/usr/bin/env python3
"""Data-parallel training throughput: PyTorch DDP over gloo, several processes on one machine, the batch shared out."""

from __future__ import annotations

import argparse
import os
import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

import peer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def worker(rank: int, options: argparse.Namespace, port: int) -> None:
    torch.set_num_threads(options.threads)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank,
                            world_size=options.ranks)
    model, batch, seq = peer.build(options.model)
    batch, seq = options.batch or batch, options.seq or seq
    if batch % options.ranks:
        raise SystemExit(f"batch {batch} does not divide among {options.ranks} ranks")
    parameters = model.num_parameters()
    model.train()
    replica = DistributedDataParallel(model, gradient_as_bucket_view=True)
    step = peer.training_step(torch.compile(replica) if options.compile else replica,
                              options.precision, options.clip)
    torch.manual_seed(1 + rank)
    tokens = torch.randint(3, model.config.vocab_size, (batch // options.ranks, seq))
    losses: list[float] = []
    seconds = peer.timed(lambda: losses.append(step(tokens)), options.warmup, options.steps)
    memory = torch.tensor([peer.steady_peak_mib(), peer.peak_mib()])
    dist.all_reduce(memory)
    if rank == 0:
        steady, peak = (round(value) for value in memory.tolist())
        peer.report("torch-ddp-gloo", options, seconds, batch * seq, ranks=options.ranks, batch=batch,
                    seq=seq, parameters=parameters, first_loss=round(losses[0], 4),
                    last_loss=round(losses[-1], 4), steady_peak_rss_mib=steady, peak_rss_mib=peak)
    dist.destroy_process_group()


def main() -> None:
    parser = peer.training_arguments(__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    mp.spawn(worker, (options, free_port()), nprocs=options.ranks)


if __name__ == "__main__":
    main()
