"""fp8.json, fp8.safetensors: products of linear layers in 8-bit floats, as PyTorch's casts and Transformer Engine's
published formulas have them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from fixture import DATA, Fixture, normal

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
FORMATS = (E4M3, E4M3, E5M2)  # of x, w, dy
FLT_MAX = torch.finfo(torch.float32).max
HISTORY = 4  # of the model's delayed scaling
ALIKE = 2  # steps in which no sum yet falls to another code than elsewhere


def scale_of(amax: torch.Tensor, dtype: torch.dtype, margin: int, previous: torch.Tensor) -> torch.Tensor:
    """transformer_engine.pytorch.fp8's default: sf = (fp8_max / amax) / 2^margin, where amax says anything."""
    # One tensor by another: a number by a tensor is the number times its reciprocal in torch.
    sf = torch.full_like(amax, torch.finfo(dtype).max) / amax / 2.0**margin
    sf = torch.where(amax > 0, sf, previous)
    sf = torch.where(torch.isfinite(amax), sf, previous)
    return torch.where(torch.isinf(sf), torch.full_like(sf, FLT_MAX), sf)


class Delayed:
    """Scales of one product. As in Transformer Engine an update's amax stands at 0 of the history, which rolls."""

    def __init__(self, length: int, margin: int, formats=FORMATS) -> None:
        self.margin, self.formats = margin, formats
        self.scales = torch.ones(len(formats))
        self.history = torch.zeros(length, len(formats))

    def see(self, operand: int, amax: torch.Tensor) -> None:
        self.history[0, operand] = torch.maximum(self.history[0, operand], amax)

    def update(self) -> None:
        most = self.history.amax(dim=0)
        for i, dtype in enumerate(self.formats):
            self.scales[i] = scale_of(most[i], dtype, self.margin, self.scales[i])
        self.history = torch.roll(self.history, -1, 0)
        self.history[0] = 0


class Current:
    """Scales of one product, from the operands themselves."""

    def __init__(self) -> None:
        self.scales = torch.ones(3)

    def see(self, operand: int, amax: torch.Tensor) -> None:
        self.scales[operand] = scale_of(amax, FORMATS[operand], 0, torch.ones(()))

    def update(self) -> None:
        pass


def codes_of(x: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    largest = torch.finfo(dtype).max
    return (x.float() * scale).clamp(-largest, largest).to(dtype)


def coded(scaling, operand: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The codes of an operand, and what they are multiplied by afterwards."""
    amax = x.float().abs().amax()
    if isinstance(scaling, Current):
        scaling.see(operand, amax)
    scale = scaling.scales[operand].clone()
    if isinstance(scaling, Delayed):
        scaling.see(operand, amax)
    return codes_of(x, scale, FORMATS[operand]), 1.0 / scale


def product(a: torch.Tensor, a_inverse: torch.Tensor, b: torch.Tensor, b_inverse: torch.Tensor,
            dtype: torch.dtype) -> torch.Tensor:
    """a · bᵀ: fp32 or fp64 sums of the numbers that the codes are, then the scales."""
    return (a.to(dtype) @ b.to(dtype).T) * (a_inverse * b_inverse).to(dtype)


class Linear8(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, scaling, dtype):
        (cx, ix), (cw, iw) = coded(scaling, 0, x), coded(scaling, 1, w)
        ctx.save_for_backward(cx, ix, cw, iw)
        ctx.scaling, ctx.dtype = scaling, dtype
        return product(cx, ix, cw, iw, dtype)

    @staticmethod
    def backward(ctx, dy):
        cx, ix, cw, iw = ctx.saved_tensors
        cdy, idy = coded(ctx.scaling, 2, dy)
        dx = product(cdy, idy, cw.float().T, iw, ctx.dtype)
        dw = product(cdy.float().T, idy, cx.float().T, ix, ctx.dtype)
        return dx, dw, None, None


def bf16(name: str, *shape: int, scale: float) -> torch.Tensor:
    return normal(name, *shape, scale=scale).bfloat16().float()


def linear(out: Fixture, name: str, sizes: tuple[int, int, int], scaling) -> None:
    """One layer, in fp64 from codes. Sizes that 16 divides are multiplied by torch._scaled_mm too."""
    n, inner, outer = sizes
    x, w = bf16(f"{name}/x", n, inner, scale=3.0), bf16(f"{name}/w", outer, inner, scale=0.1)
    dy = bf16(f"{name}/dy", n, outer, scale=0.002)
    parts = {}
    for i, (part, values) in enumerate((("x", x), ("w", w), ("dy", dy))):
        codes, inverse = coded(scaling, i, values)
        parts[part] = (codes, inverse)
        out.add(name, **{part: values, f"{part}_codes": codes.view(torch.uint8),
                         f"{part}_scale": scaling.scales[i].reshape(1).clone()})
    (cx, ix), (cw, iw), (cdy, idy) = parts.values()
    y = product(cx, ix, cw, iw, torch.float64)
    out.add(name, y=y, dx=product(cdy, idy, cw.float().T, iw, torch.float64),
            dw=product(cdy.float().T, idy, cx.float().T, ix, torch.float64))
    if all(size % 16 == 0 for size in sizes):
        scaled = torch._scaled_mm(cx, cw.T, scale_a=ix, scale_b=iw, out_dtype=torch.bfloat16)
        torch.testing.assert_close(scaled.double(), y, rtol=2**-8, atol=1e-6)
        out.add(name, scaled_mm=scaled)


def delayed_scales(out: Fixture) -> None:
    """Scales after each of many updates, with all that may happen to a magnitude on the way."""
    inf, nan = math.inf, math.nan
    amaxes = [0.0, 3.0, 0.5, 1e-3, 1e-3, 1e-3, 1e-3, 7.5, inf, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, nan, 1.0,
              1.0, 1.0, 1.0, 1e-44, 1e-44, 1e-44, 1e-44, 450.0, 1e6]
    cases = []
    for length, margin in ((1, 0), (4, 0), (4, 2), (16, 1)):
        scaling = Delayed(length, margin, (E4M3, E5M2))
        rows = []
        for amax in amaxes:
            for operand in range(2):
                scaling.see(operand, torch.tensor(amax))
            scaling.update()
            rows.append(scaling.scales.view(torch.int32).tolist())
        cases.append({"amax_history_len": length, "margin": margin, "scale_bits": rows})
    bits = torch.tensor(amaxes).view(torch.int32).tolist()
    out.note(delayed={"amax_bits": bits, "cases": cases})


class Llama8:
    """llama_tiny with its products in fp8: q, k and v are one, gate and up are one, texts are one matrix."""

    def __init__(self, model: LlamaForCausalLM, make_scaling) -> None:
        self.model, self.config = model, model.config
        self.scalings = [[make_scaling() for _ in range(4)] for _ in model.model.layers]

    def linear(self, layer: int, which: int, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return Linear8.apply(x, torch.cat(weights), self.scalings[layer][which], torch.float32)

    def attend(self, qkv: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        heads, kv = self.config.num_attention_heads, self.config.num_key_value_heads
        width = self.config.hidden_size // heads
        inverse = 1.0 / self.config.rope_parameters["rope_theta"] ** (torch.arange(0, width, 2) / width)
        results = []
        for text in qkv.split(lengths):
            q, k, v = text.view(len(text), -1, width).transpose(0, 1).split([heads, kv, kv])
            angles = torch.outer(torch.arange(len(text)).float(), inverse).repeat(1, 2)
            def turned(t):
                low, high = t.chunk(2, -1)
                return t * angles.cos() + torch.cat([-high, low], -1) * angles.sin()
            y = F.scaled_dot_product_attention(turned(q), turned(k).repeat_interleave(heads // kv, 0),
                                               v.repeat_interleave(heads // kv, 0), is_causal=True)
            results.append(y.transpose(0, 1).reshape(len(text), -1))
        return torch.cat(results)

    def loss(self, texts: list[torch.Tensor]) -> torch.Tensor:
        body, lengths = self.model.model, [len(t) for t in texts]
        h = body.embed_tokens(torch.cat(texts))
        for i, layer in enumerate(body.layers):
            a, m = layer.self_attn, layer.mlp
            qkv = self.linear(i, 0, layer.input_layernorm(h), a.q_proj.weight, a.k_proj.weight, a.v_proj.weight)
            h = h + self.linear(i, 1, self.attend(qkv, lengths), a.o_proj.weight)
            gate, up = self.linear(i, 2, layer.post_attention_layernorm(h), m.gate_proj.weight,
                                   m.up_proj.weight).chunk(2, -1)
            h = h + self.linear(i, 3, F.silu(gate) * up, m.down_proj.weight)
        logits = self.model.lm_head(body.norm(h))
        sums = [F.cross_entropy(l[:-1], t[1:], reduction="sum") for l, t in zip(logits.split(lengths), texts)]
        return sum(sums) / sum(n - 1 for n in lengths)

    def update(self) -> None:
        for layer in self.scalings:
            for scaling in layer:
                scaling.update()


def batches_of_llama_tiny() -> list[list[torch.Tensor]]:
    from llama import BATCH_LENGTHS
    from tiny_llama import TINY, packed
    return [packed(f"train/{i}", TINY["vocab"], lengths) for i, lengths in enumerate(BATCH_LENGTHS)]


def train(out: Fixture, name: str, make_scaling) -> None:
    """llama_tiny's twenty steps (llama.py), whose files the tests have."""
    from llama import TRAIN
    model = LlamaForCausalLM.from_pretrained(DATA / "llama_tiny", attn_implementation="eager").float()
    llama, batches = Llama8(model, make_scaling), batches_of_llama_tiny()
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": TRAIN["weight_decay"]},
         {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0}],
        lr=TRAIN["lr"], betas=tuple(TRAIN["betas"]), eps=TRAIN["eps"])
    losses, norms = [], []
    for step in range(TRAIN["steps"]):
        optimizer.zero_grad()
        loss = llama.loss(batches[step % len(batches)])
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), TRAIN["max_norm"]))
        optimizer.step()
        llama.update()
        losses.append(loss.detach())
        if step + 1 == ALIKE:
            out.add(f"train/{name}", scales=torch.stack([s.scales for layer in llama.scalings for s in layer]))
    out.add(f"train/{name}", losses=torch.stack(losses), grad_norms=torch.stack(norms))


def generate() -> None:
    out = Fixture("fp8")
    linear(out, "current", (32, 48, 64), Current())
    linear(out, "current_ragged", (21, 40, 24), Current())
    scaling = Delayed(1, 0)
    scaling.scales = torch.tensor([100.0, 900.0, 3e6])  # x saturates
    linear(out, "delayed", (32, 48, 64), scaling)
    out.add("delayed", amaxes=scaling.history[0].clone())
    delayed_scales(out)
    out.note(history=HISTORY, alike=ALIKE)
    train(out, "delayed", lambda: Delayed(HISTORY, 0))
    train(out, "current", Current)
    out.write()
