"""precision.json, precision.safetensors: torch.amp.GradScaler's scales, torch's casts to 8-bit floats."""

from __future__ import annotations

import torch

from fixture import Fixture

FORMATS = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def loss_scales(out: Fixture) -> None:
    """GradScaler over gradients that overflow where `overflows` has a 1."""
    cases = {}
    for name, options, overflows in (
        ("usual", dict(init_scale=65536.0, growth_interval=3), "1000110000000100010"),
        ("other_factors", dict(init_scale=1000.0, growth_factor=1.5, backoff_factor=0.3,
                               growth_interval=2), "001001110000000"),
        ("largest", dict(init_scale=2.0**126, growth_interval=1), "000100"),
    ):
        scaler = torch.amp.GradScaler("cpu", **options)
        scaler.scale(torch.ones(1))
        param = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([param], lr=1.0)
        scales, updates = [], []
        for overflow in overflows:
            gradient = float("inf") if overflow == "1" else scaler.get_scale()
            param.grad = torch.full((1,), gradient)
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
            updates.append(-param.item())
        cases[name] = {"options": options, "overflows": overflows, "scales": scales,
                       "updates": updates}
    out.note(loss_scales=cases)


def neighbours(values: torch.Tensor) -> torch.Tensor:
    """The fp32 halfway between neighbouring values, and the next fp32 on both sides."""
    middle = (values[1:] + values[:-1]) / 2
    infinity = torch.full_like(middle, float("inf"))
    return torch.cat([middle, torch.nextafter(middle, infinity), torch.nextafter(middle, -infinity)])


def casts(out: Fixture) -> None:
    """Every bf16 number there is, and what lies around the borders of rounding; too large ones saturate."""
    every_bf16 = (torch.arange(1 << 16, dtype=torch.int32) << 16).view(torch.float32)
    for name, dtype in FORMATS.items():
        largest = torch.finfo(dtype).max
        decoded = torch.arange(256, dtype=torch.uint8).view(dtype).float()
        finite = decoded[decoded.isfinite()].sort().values.unique()
        borders = neighbours(finite)
        cast = lambda x: x.clamp(-largest, largest).to(dtype).view(torch.uint8)
        out.add(name, decoded=decoded, codes=cast(every_bf16), borders=borders,
                border_codes=cast(borders))
        out.note(**{name: {"max": largest}})


def generate() -> None:
    out = Fixture("precision")
    loss_scales(out)
    casts(out)
    out.write()
