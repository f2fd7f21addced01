"""ops.safetensors, ops.json: every fused operation, forward and backward, in fp64 rounded to fp32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention

from fixture import Fixture, generator, leaf, normal

EPS = 1e-5
THETA = 10000.0


def linear(out: Fixture) -> None:
    for name, tokens, inputs, outputs, has_bias in (
        ("linear", 7, 24, 40, False),
        ("linear_bias", 7, 24, 40, True),
        ("linear_ragged", 33, 51, 67, True),
    ):
        x = leaf(normal(f"{name}/x", tokens, inputs))
        weight = leaf(normal(f"{name}/weight", outputs, inputs, scale=0.2))
        bias = leaf(normal(f"{name}/bias", outputs, scale=0.5)) if has_bias else None
        dy = normal(f"{name}/dy", tokens, outputs)
        y = F.linear(x, weight, bias)
        y.backward(dy)
        out.add(name, x=x, weight=weight, y=y, dy=dy, dx=x.grad, dweight=weight.grad)
        if has_bias:
            out.add(name, bias=bias, dbias=bias.grad)


def rms_norm(out: Fixture) -> None:
    for name, tokens, hidden in (("rms_norm", 5, 64), ("rms_norm_ragged", 9, 51)):
        x = leaf(normal(f"{name}/x", tokens, hidden, scale=2.0, mean=0.3))
        weight = leaf(normal(f"{name}/weight", hidden, scale=0.3, mean=1.0))
        dy = normal(f"{name}/dy", tokens, hidden)
        y = F.rms_norm(x, (hidden,), weight, EPS)
        y.backward(dy)
        out.add(name, x=x, weight=weight, y=y, dy=dy, dx=x.grad, dweight=weight.grad)


def add_rms_norm(out: Fixture) -> None:
    for name, tokens, hidden in (("add_rms_norm", 5, 64), ("add_rms_norm_ragged", 9, 51)):
        x = leaf(normal(f"{name}/x", tokens, hidden))
        r = leaf(normal(f"{name}/r", tokens, hidden))
        weight = leaf(normal(f"{name}/weight", hidden, scale=0.3, mean=1.0))
        dh, dy = normal(f"{name}/dh", tokens, hidden), normal(f"{name}/dy", tokens, hidden)
        h = x + r
        y = F.rms_norm(h, (hidden,), weight, EPS)
        torch.autograd.backward([h, y], [dh, dy])
        out.add(name, x=x, r=r, weight=weight, h=h, y=y, dh=dh, dy=dy)
        out.add(name, dx=x.grad, dr=r.grad, dweight=weight.grad)


def layer_norm(out: Fixture) -> None:
    for name, tokens, hidden in (("layer_norm", 5, 64), ("layer_norm_ragged", 9, 51)):
        x = leaf(normal(f"{name}/x", tokens, hidden, scale=2.0, mean=0.7))
        weight = leaf(normal(f"{name}/weight", hidden, scale=0.3, mean=1.0))
        bias = leaf(normal(f"{name}/bias", hidden))
        dy = normal(f"{name}/dy", tokens, hidden)
        y = F.layer_norm(x, (hidden,), weight, bias, EPS)
        y.backward(dy)
        out.add(name, x=x, weight=weight, bias=bias, y=y, dy=dy)
        out.add(name, dx=x.grad, dweight=weight.grad, dbias=bias.grad)


def restarting_positions(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """cu_seqlens [sequences + 1] and positions [tokens], both int32, of sequences packed in a row."""
    cu_seqlens = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    positions = torch.cat([torch.arange(length) for length in lengths]).to(torch.int32)
    return cu_seqlens, positions


def rotary_tables(positions: torch.Tensor, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [tokens, head_dim] in fp64, checked against the fp32 ones of transformers."""
    inverse = THETA ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = positions.double()[:, None] * inverse
    angle = torch.cat([angle, angle], dim=-1)
    config = LlamaConfig(
        hidden_size=head_dim,
        num_attention_heads=1,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
    )
    cos, _ = LlamaRotaryEmbedding(config)(torch.zeros(1), positions[None].long())
    torch.testing.assert_close(cos[0].double(), angle.cos(), atol=2e-5, rtol=0)
    return angle.cos(), angle.sin()


def rope(out: Fixture) -> None:
    for name, q_heads, kv_heads, head_dim, lengths in (
        ("rope", 4, 2, 16, [1, 5, 19]),
        ("rope_d64", 3, 1, 64, [3, 4]),
    ):
        cu_seqlens, positions = restarting_positions(lengths)
        tokens, heads = sum(lengths), q_heads + 2 * kv_heads
        x = leaf(normal(f"{name}/x", tokens, heads, head_dim))
        dy = normal(f"{name}/dy", tokens, heads, head_dim)
        cos, sin = rotary_tables(positions, head_dim)
        q, k, v = x.split([q_heads, kv_heads, kv_heads], dim=1)
        q, k = apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1)
        y = torch.cat([q, k, v], dim=1)
        y.backward(dy)
        out.add(name, x=x, cu_seqlens=cu_seqlens, positions=positions, y=y, dy=dy, dx=x.grad)
        out.note(**{name: {"q_heads": q_heads, "kv_heads": kv_heads, "theta": THETA}})


def activations(out: Fixture) -> None:
    tokens, ffn = 6, 37
    x = leaf(normal("swiglu/x", tokens, 2 * ffn, scale=2.0))
    dy = normal("swiglu/dy", tokens, ffn)
    gate, up = x.chunk(2, dim=-1)
    y = F.silu(gate) * up
    y.backward(dy)
    out.add("swiglu", x=x, y=y, dy=dy, dx=x.grad)

    for name, approximate in (("gelu_tanh", "tanh"), ("gelu_erf", "none")):
        x = leaf(normal(f"{name}/x", tokens, ffn, scale=2.0))
        dy = normal(f"{name}/dy", tokens, ffn)
        y = F.gelu(x, approximate=approximate)
        y.backward(dy)
        out.add(name, x=x, y=y, dy=dy, dx=x.grad)


def more_activations(out: Fixture) -> None:
    tokens, ffn = 5, 21
    for name, approximate in (("geglu_tanh", "tanh"), ("geglu_erf", "none")):
        x = leaf(normal(f"{name}/x", tokens, 2 * ffn, scale=2.0))
        dy = normal(f"{name}/dy", tokens, ffn)
        gate, up = x.chunk(2, dim=-1)
        y = F.gelu(gate, approximate=approximate) * up
        y.backward(dy)
        out.add(name, x=x, y=y, dy=dy, dx=x.grad)
    for name, function in (("relu", F.relu), ("tanh", torch.tanh)):
        x = leaf(normal(f"{name}/x", tokens, ffn, scale=2.0))
        dy = normal(f"{name}/dy", tokens, ffn)
        y = function(x)
        y.backward(dy)
        out.add(name, x=x, y=y, dy=dy, dx=x.grad)


def biased_attention(out: Fixture) -> None:
    """A number by distance is added to each score, as in T5: bias[zero + query - key, head]."""
    for name, heads, head_dim, lengths, causal in (
        ("attention_bias_full", 3, 8, [1, 7, 40], False),
        ("attention_bias_causal", 4, 12, [5, 33], True),
    ):
        cu_seqlens, _ = restarting_positions(lengths)
        longest = max(lengths)
        qkv = leaf(normal(f"{name}/qkv", sum(lengths), 3 * heads, head_dim))
        bias = leaf(normal(f"{name}/bias", 2 * longest - 1, heads))
        dy = normal(f"{name}/dy", sum(lengths), heads, head_dim)
        parts = []
        for part in qkv.split(lengths):
            q, k, v = (each.transpose(0, 1) for each in part.split(heads, dim=1))
            place = torch.arange(len(part))
            added = bias[longest - 1 + place[:, None] - place[None, :]].permute(2, 0, 1)
            if causal:
                added = added.masked_fill(torch.ones(added.shape[1:]).triu(1).bool(), float("-inf"))
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=1.0)
            parts.append(y.transpose(0, 1))
        y = torch.cat(parts)
        y.backward(dy)
        out.add(name, qkv=qkv, cu_seqlens=cu_seqlens, bias=bias, y=y, dy=dy, dqkv=qkv.grad,
                dbias=bias.grad)
        out.note(**{name: {"q_heads": heads, "kv_heads": heads, "causal": causal, "scale": 1.0,
                           "zero": longest - 1}})


def cross_attention(out: Fixture) -> None:
    heads, head_dim, queries, keys = 3, 8, [4, 1, 20], [9, 3, 2]
    name = "cross_attention"
    cu_seqlens, _ = restarting_positions(queries)
    cu_seqlens_k, _ = restarting_positions(keys)
    q = leaf(normal(f"{name}/q", sum(queries), heads, head_dim))
    kv = leaf(normal(f"{name}/kv", sum(keys), 2 * heads, head_dim))
    dy = normal(f"{name}/dy", sum(queries), heads, head_dim)
    parts = []
    for own, other in zip(q.split(queries), kv.split(keys)):
        k, v = (each.transpose(0, 1) for each in other.split(heads, dim=1))
        parts.append(F.scaled_dot_product_attention(own.transpose(0, 1), k, v).transpose(0, 1))
    y = torch.cat(parts)
    y.backward(dy)
    out.add(name, q=q, kv=kv, cu_seqlens=cu_seqlens, cu_seqlens_k=cu_seqlens_k, y=y, dy=dy,
            dq=q.grad, dkv=kv.grad)


def head_norm(out: Fixture) -> None:
    """Queries and keys of each head normalised by themselves, as in Qwen3."""
    name, tokens, q_heads, kv_heads, head_dim = "head_norm", 6, 4, 2, 10
    qkv = leaf(normal(f"{name}/qkv", tokens, q_heads + 2 * kv_heads, head_dim))
    q_weight = leaf(normal(f"{name}/q_weight", head_dim, scale=0.3, mean=1.0))
    k_weight = leaf(normal(f"{name}/k_weight", head_dim, scale=0.3, mean=1.0))
    dy = normal(f"{name}/dy", *qkv.shape)
    q, k, v = qkv.split([q_heads, kv_heads, kv_heads], dim=1)
    y = torch.cat([F.rms_norm(q, (head_dim,), q_weight, EPS),
                   F.rms_norm(k, (head_dim,), k_weight, EPS), v], dim=1)
    y.backward(dy)
    out.add(name, qkv=qkv, q_weight=q_weight, k_weight=k_weight, y=y, dy=dy, dqkv=qkv.grad,
            dq_weight=q_weight.grad, dk_weight=k_weight.grad)
    out.note(**{name: {"q_heads": q_heads, "kv_heads": kv_heads}})


def vocabulary_bias(out: Fixture) -> None:
    """linear_cross_entropy with a bias, which BERT's output has."""
    name, tokens, hidden, vocab = "linear_cross_entropy_bias", 11, 24, 37
    h = leaf(normal(f"{name}/hidden", tokens, hidden))
    weight = leaf(normal(f"{name}/weight", vocab, hidden, scale=0.3))
    bias = leaf(normal(f"{name}/bias", vocab))
    targets = torch.randint(vocab, (tokens,), generator=generator(f"{name}/targets"))
    logp = F.log_softmax(F.linear(h, weight, bias), dim=-1).gather(-1, targets[:, None])[:, 0]
    loss = -logp.mean()
    loss.backward()
    out.add(name, hidden=h, weight=weight, bias=bias, targets=targets.to(torch.int32), logp=logp,
            loss=loss.reshape(1), dhidden=h.grad, dweight=weight.grad, dbias=bias.grad)


def t5_buckets(out: Fixture) -> None:
    """The row of T5's table for key - query = -150 … 150."""
    distances = torch.arange(-150, 151)
    for name, bidirectional, buckets, longest in (
        ("t5_buckets_both", True, 32, 128), ("t5_buckets_causal", False, 32, 128),
        ("t5_buckets_few", True, 8, 20), ("t5_buckets_few_causal", False, 8, 20),
    ):
        rows = T5Attention._relative_position_bucket(distances, bidirectional, buckets, longest)
        out.add(name, rows=rows.int())
        out.note(**{name: {"bidirectional": bidirectional, "buckets": buckets,
                           "max_distance": longest, "first": -150}})


def attend(qkv: torch.Tensor, q_heads: int, kv_heads: int, causal: bool):
    """One sequence: qkv [length, q_heads + 2 * kv_heads, head_dim] to output and log-sum-exp."""
    q, k, v = (part.transpose(0, 1) for part in qkv.split([q_heads, kv_heads, kv_heads], dim=1))
    k, v = (part.repeat_interleave(q_heads // kv_heads, dim=0) for part in (k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if causal:
        hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    return y.transpose(0, 1), scores.logsumexp(-1).transpose(0, 1)


def attention(out: Fixture) -> None:
    for name, q_heads, kv_heads, head_dim, lengths, causal in (
        ("attention_gqa_causal", 4, 2, 16, [1, 7, 33, 70], True),
        ("attention_gqa_full", 4, 2, 16, [1, 7, 19], False),
        ("attention_mha_causal", 3, 3, 16, [5, 1, 21], True),
        ("attention_d64_causal", 2, 1, 64, [35, 9], True),
    ):
        cu_seqlens, _ = restarting_positions(lengths)
        tokens, heads = sum(lengths), q_heads + 2 * kv_heads
        qkv = leaf(normal(f"{name}/qkv", tokens, heads, head_dim))
        dy = normal(f"{name}/dy", tokens, q_heads, head_dim)
        parts = [attend(part, q_heads, kv_heads, causal) for part in qkv.split(lengths)]
        y, lse = (torch.cat(pieces) for pieces in zip(*parts))
        y.backward(dy)
        out.add(name, qkv=qkv, cu_seqlens=cu_seqlens, y=y, lse=lse, dy=dy, dqkv=qkv.grad)
        out.note(**{name: {"q_heads": q_heads, "kv_heads": kv_heads, "causal": causal,
                           "scale": head_dim**-0.5}})


def embedding(out: Fixture) -> None:
    vocab, hidden, tokens = 19, 12, 40
    ids = torch.randint(vocab, (tokens,), generator=generator("embedding/ids"), dtype=torch.int32)
    weight = leaf(normal("embedding/weight", vocab, hidden))
    dy = normal("embedding/dy", tokens, hidden)
    y = F.embedding(ids, weight)
    y.backward(dy)
    out.add("embedding", ids=ids, weight=weight, y=y, dy=dy, dweight=weight.grad)


def linear_cross_entropy(out: Fixture) -> None:
    """Two scalars of the same logits: a weighted negative log-likelihood, and a mix of log-probability
    and entropy as PPO needs it. The temperature divides the logits before the softmax."""
    for name, tokens, hidden, vocab, temperature in (
        ("linear_cross_entropy", 11, 24, 37, 1.0),
        ("linear_cross_entropy_ragged", 41, 32, 301, 1.0),
        ("linear_cross_entropy_temperature", 11, 24, 37, 0.7),
    ):
        h = leaf(normal(f"{name}/hidden", tokens, hidden))
        weight = leaf(normal(f"{name}/weight", vocab, hidden, scale=0.3))
        targets = torch.randint(vocab, (tokens,), generator=generator(f"{name}/targets"))
        weights = torch.rand(tokens, generator=generator(f"{name}/token_weights")).double()
        weights[::4] = 0.0
        log_softmax = F.log_softmax(h @ weight.T / temperature, dim=-1)
        logp = log_softmax.gather(-1, targets[:, None])[:, 0]
        entropy = -(log_softmax.exp() * log_softmax).sum(-1)
        loss = -(weights * logp).sum()
        dhidden, dweight = torch.autograd.grad(loss, [h, weight], retain_graph=True)
        dlogp, dentropy = normal(f"{name}/dlogp", tokens), normal(f"{name}/dentropy", tokens)
        mixed = torch.autograd.grad([logp, entropy], [h, weight], [dlogp, dentropy])
        out.add(name, hidden=h, weight=weight, targets=targets.to(torch.int32),
                token_weights=weights, logp=logp, entropy=entropy, loss=loss.reshape(1),
                dhidden=dhidden, dweight=dweight, dlogp=dlogp, dentropy=dentropy,
                dhidden_mixed=mixed[0], dweight_mixed=mixed[1])
        out.note(**{name: {"temperature": temperature}})


def generate() -> None:
    out = Fixture("ops")
    out.note(norm_eps=EPS)
    for subject in (linear, rms_norm, add_rms_norm, layer_norm, rope, activations, attention,
                    embedding, linear_cross_entropy, more_activations, biased_attention,
                    cross_attention, head_norm, vocabulary_bias, t5_buckets):
        subject(out)
    out.write()
