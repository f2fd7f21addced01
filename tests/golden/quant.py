"""quant.safetensors, quant.json: what bitsandbytes makes of random matrices (NF4 with double quantization, int8)
and its 8-bit AdamW.

bitsandbytes' fast CPU kernel for blockwise codes searches only roughly near zero. The numbers here are those of
its reference (backends/default, which its CUDA kernels follow): midpoints between neighbouring codes.
"""

from __future__ import annotations

from importlib.metadata import version

import bitsandbytes.backends.cpu.ops as cpu
import bitsandbytes.functional as F
import torch

from fixture import Fixture, normal

ADAM = {"lr": 1e-2, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "steps": 20}
BLOCK = 256


def blockwise(values: torch.Tensor, code: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """backends/default/ops.py, quantize_blockwise."""
    flat = values.reshape(-1).float()
    maxima = torch.stack([part.abs().max() for part in flat.split(block)])
    scale = (1.0 / maxima.clamp(min=1e-38)).repeat_interleave(block)[: flat.numel()]
    codes = torch.bucketize(torch.clamp(flat * scale, -1, 1), (code[:-1] + code[1:]) / 2)
    return codes.to(torch.uint8).reshape(values.shape), maxima


def nf4(out: Fixture, name: str, matrix: torch.Tensor) -> None:
    weight = matrix.float()
    packed, state = F.quantize_4bit(weight, blocksize=64, compress_statistics=False, quant_type="nf4")
    offset = state.absmax.mean()
    codes, groups = blockwise(state.absmax - offset, F.create_dynamic_map(), BLOCK)
    nested, nested_state = F.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    assert torch.equal(nested, packed) and nested_state.offset == offset
    assert torch.equal(nested_state.state2.absmax, groups)
    differing = (nested_state.absmax != codes).sum().item()
    print(f"{name}: {differing} of {codes.numel()} codes of scales differ from the fast CPU kernel's")
    scales = F.create_dynamic_map()[codes.long()] * groups.repeat_interleave(BLOCK)[: codes.numel()] + offset
    state.absmax = scales
    dequantized = F.dequantize_4bit(packed, state)
    x = normal(f"{name}/x", 5, weight.shape[1])
    dy = normal(f"{name}/dy", 5, weight.shape[0])
    out.add(name, weight=weight, packed=packed.reshape(weight.shape[0], -1), scales=codes, groups=groups,
            offset=offset.reshape(1), dequantized=dequantized, x=x, y=x @ dequantized.double().T, dy=dy,
            dx=dy @ dequantized.double())


def int8(out: Fixture, name: str, matrix: torch.Tensor) -> None:
    weight = matrix.half()
    codes, maxima, _ = F.int8_vectorwise_quant(weight.clone())
    dequantized = F.int8_vectorwise_dequant(codes, maxima)
    x = normal(f"{name}/x", 5, weight.shape[1])
    out.add(name, weight=weight.float(), codes=codes, maxima=maxima, dequantized=dequantized, x=x,
            y=x @ dequantized.double().T)


def adamw_8bit(out: Fixture) -> None:
    size = 3 * BLOCK + 77
    param = normal("adam8/param", size).float()
    grads = normal("adam8/grads", ADAM["steps"], size, scale=0.1).float()
    grads[2, :300] = 0.0
    cpu._quant_blockwise_fp32_direct = lambda values, code, maxima, codes, block: [
        target.copy_(result) for target, result in zip((codes, maxima), blockwise(values, code, block))]
    state = {"signed": F.create_dynamic_map(signed=True), "unsigned": F.create_dynamic_map(signed=False)}
    codes = [torch.full((size,), int(torch.searchsorted(state[kind], 0.0)), dtype=torch.uint8)
             for kind in ("signed", "unsigned")]
    maxima = [torch.zeros(-(-size // BLOCK)) for _ in codes]
    out.add("adam8", param=param, grads=grads, signed_map=state["signed"], unsigned_map=state["unsigned"])
    params = []
    for step, grad in enumerate(grads, 1):
        F.optimizer_update_8bit_blockwise(
            "adam", grad, param, codes[0], codes[1], *ADAM["betas"], 0.0, 0.0, ADAM["eps"], step, ADAM["lr"],
            state["signed"], state["unsigned"], maxima[0], maxima[1], ADAM["weight_decay"], gnorm_scale=1.0)
        params.append(param.clone())
    out.add("adam8", params=torch.stack(params), exp_avg_codes=codes[0], exp_avg_sq_codes=codes[1],
            exp_avg_maxima=maxima[0], exp_avg_sq_maxima=maxima[1])


def generate() -> None:
    out = Fixture("quant")
    out.note(bitsandbytes=version("bitsandbytes"), adam8=ADAM)
    nf4(out, "nf4", normal("nf4", 48, 192))
    many = normal("nf4_many", 40, 512)
    many[3, 64:128] = 0.0
    many[7] *= 30.0
    nf4(out, "nf4_many", many)
    int8(out, "int8", normal("int8", 24, 90))
    adamw_8bit(out)
    out.write()


if __name__ == "__main__":
    generate()
