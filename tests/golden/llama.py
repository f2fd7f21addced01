"""llama_tiny/ and llama_tiny_tied/ (directories that transformers wrote) and what it computes on them."""

from __future__ import annotations

import torch
from transformers import LlamaForCausalLM

from fixture import DATA, Fixture
from ops import restarting_positions
from tiny_llama import TINY, TINY_TIED, causal_lm, packed, save, save_v4_config

LENGTHS = [5, 17, 29]
TRAIN = {"steps": 20, "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1,
         "max_norm": 1.0, "batches": 4}
BATCH_LENGTHS = [[9, 4, 16, 24, 7, 12, 20, 3], [5, 22, 11, 8, 17, 6, 13, 24],
                 [14, 14, 2, 19, 10, 23, 4, 9], [21, 6, 15, 18, 3, 24, 8, 5]]
FINAL = ("model.layers.1.self_attn.q_proj.weight", "model.norm.weight")
NEW_TOKENS = 16


def mean_loss(model: LlamaForCausalLM, sequences: list[torch.Tensor]) -> torch.Tensor:
    """Each sequence alone through the model; the mean is over the predicted tokens of all."""
    sums = [model(ids[None], labels=ids[None]).loss * (len(ids) - 1) for ids in sequences]
    return sum(sums) / sum(len(ids) - 1 for ids in sequences)


def forward_and_gradients(out: Fixture, model: LlamaForCausalLM, sequences: list[torch.Tensor]):
    cu_seqlens, positions = restarting_positions([len(ids) for ids in sequences])
    outputs = [model(ids[None], output_hidden_states=True) for ids in sequences]
    hidden = [torch.cat([layer[0] for layer in layers])
              for layers in zip(*(output.hidden_states for output in outputs))]
    out.add("", tokens=torch.cat(sequences).int(), cu_seqlens=cu_seqlens, positions=positions,
            logits=torch.cat([output.logits[0] for output in outputs]))
    out.add("hidden", **{str(i): layer for i, layer in enumerate(hidden)})
    model.zero_grad()
    loss = mean_loss(model, sequences)
    loss.backward()
    each = [mean_loss(model, [ids]) for ids in sequences]
    out.add("", loss=loss.reshape(1), sequence_losses=torch.stack(each))
    out.add("grad", **{name: p.grad for name, p in model.named_parameters()})


def train(out: Fixture, model: LlamaForCausalLM) -> None:
    batches = [packed(f"train/{i}", TINY["vocab"], lengths)
               for i, lengths in enumerate(BATCH_LENGTHS)]
    for i, batch in enumerate(batches):
        cu_seqlens, _ = restarting_positions([len(ids) for ids in batch])
        out.add(f"train/batch{i}", tokens=torch.cat(batch).int(), cu_seqlens=cu_seqlens)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    norms = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": TRAIN["weight_decay"]},
         {"params": norms, "weight_decay": 0.0}],
        lr=TRAIN["lr"], betas=tuple(TRAIN["betas"]), eps=TRAIN["eps"])
    losses, norms_before_clip = [], []
    for step in range(TRAIN["steps"]):
        optimizer.zero_grad()
        loss = mean_loss(model, batches[step % len(batches)])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), TRAIN["max_norm"])
        optimizer.step()
        losses.append(loss.detach())
        norms_before_clip.append(norm)
    out.add("train", losses=torch.stack(losses), grad_norms=torch.stack(norms_before_clip))
    out.add("train/final", **{name: model.get_parameter(name) for name in FINAL})


def generate_greedily(out: Fixture, model: LlamaForCausalLM) -> None:
    model.generation_config.eos_token_id = None
    for i, prompt in enumerate(packed("generate", TINY["vocab"], [1, 6, 13])):
        result = model.generate(prompt[None], max_new_tokens=NEW_TOKENS, do_sample=False,
                                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                                pad_token_id=0, output_scores=True, return_dict_in_generate=True)
        best = torch.stack(result.scores)[:, 0].topk(2).values
        margin = (best[:, 0] - best[:, 1]).min().item()
        assert margin > 1e-3, f"prompt {i}: a near tie ({margin}) would make the test a coin toss"
        out.add("generate", **{f"prompt{i}": prompt.int(),
                               f"output{i}": result.sequences[0, len(prompt):].int()})


def check_reload(directory, tokens: torch.Tensor, expected: torch.Tensor) -> None:
    """Both config.json and its transformers-4 spelling must give the model that was saved."""
    for config in ("config.json", "config_v4.json"):
        if (directory / config).exists():
            from transformers import LlamaConfig
            model = LlamaForCausalLM.from_pretrained(
                directory, config=LlamaConfig.from_json_file(directory / config),
                attn_implementation="eager")
            torch.testing.assert_close(model(tokens[None]).logits, expected)


def generate() -> None:
    model = causal_lm("llama_tiny", **TINY)
    save(model, DATA / "llama_tiny")
    save_v4_config(DATA / "llama_tiny")
    sequences = packed("sequences", TINY["vocab"], LENGTHS)
    check_reload(DATA / "llama_tiny", sequences[2], model(sequences[2][None]).logits)
    out = Fixture("llama_tiny")
    out.note(sizes=TINY, train=TRAIN, new_tokens=NEW_TOKENS)
    forward_and_gradients(out, model, sequences)
    generate_greedily(out, model)
    train(out, model)
    out.write()

    tied = causal_lm("llama_tiny_tied", **TINY_TIED)
    save(tied, DATA / "llama_tiny_tied")
    out = Fixture("llama_tiny_tied")
    out.note(sizes=TINY_TIED)
    forward_and_gradients(out, tied, sequences)
    out.write()
