"""optim.safetensors, optim.json: AdamW, gradient clipping and learning-rate schedules."""

from __future__ import annotations

import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from fixture import Fixture, leaf, normal

STEPS, SIZE = 5, 37


def adamw(out: Fixture) -> None:
    for name, options in (
        ("adamw", dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)),
        ("adamw_no_decay", dict(lr=3e-3, betas=(0.9, 0.999), eps=1e-5, weight_decay=0.0)),
    ):
        param = leaf(normal(f"{name}/param", SIZE))
        grads = normal(f"{name}/grads", STEPS, SIZE, scale=0.1)
        grads[2, :5] = 0.0
        optimizer = torch.optim.AdamW([param], **options)
        before, after, first, second = param.detach().clone(), [], [], []
        for grad in grads:
            param.grad = grad.clone()
            optimizer.step()
            state = optimizer.state[param]
            after.append(param.detach().clone())
            first.append(state["exp_avg"].clone())
            second.append(state["exp_avg_sq"].clone())
        out.add(name, param=before, grads=grads, params=torch.stack(after),
                exp_avg=torch.stack(first), exp_avg_sq=torch.stack(second))
        out.note(**{name: {**options, "betas": list(options["betas"]), "steps": STEPS}})


def clip(out: Fixture) -> None:
    for name, scale in (("clip_above", 1.0), ("clip_below", 0.01)):
        grads = [normal(f"{name}/grad{i}", *shape, scale=scale)
                 for i, shape in enumerate([(11,), (4, 6), (3, 5)])]
        params = [leaf(torch.zeros_like(grad)) for grad in grads]
        for param, grad in zip(params, grads):
            param.grad = grad.clone()
        norm = torch.nn.utils.clip_grad_norm_(params, max_norm=1.0)
        out.add(name, norm=norm.reshape(1))
        for i, (grad, param) in enumerate(zip(grads, params)):
            out.add(name, **{f"grad{i}": grad, f"clipped{i}": param.grad})
        out.note(**{name: {"max_norm": 1.0}})


def schedules(out: Fixture) -> None:
    warmup, total, lr, min_lr = 5, 24, 2e-3, 2e-4
    makers = {
        "constant": lambda o: get_constant_schedule_with_warmup(o, warmup),
        "linear": lambda o: get_linear_schedule_with_warmup(o, warmup, total),
        "cosine": lambda o: get_cosine_schedule_with_warmup(o, warmup, total),
        "cosine_with_min_lr": lambda o: get_cosine_with_min_lr_schedule_with_warmup(
            o, warmup, total, min_lr=min_lr),
        "cosine_no_warmup": lambda o: get_cosine_schedule_with_warmup(o, 0, total),
    }
    lists = {}
    for name, make in makers.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
        schedule = make(optimizer)
        lists[name] = []
        for _ in range(total + 2):
            lists[name].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    out.note(schedules={"lr": lr, "min_lr": min_lr, "warmup_steps": warmup, "total_steps": total,
                        "lists": lists})


def generate() -> None:
    out = Fixture("optim")
    for subject in (adamw, clip, schedules):
        subject(out)
    out.write()
