"""One small model of each family that transformers wrote, and what transformers computes with it.

All fixtures have one form, whatever the family, so that one test reads them all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from transformers import (BartConfig, BartForConditionalGeneration, BertConfig, BertForMaskedLM,
                          BertModel, GemmaConfig, GemmaForCausalLM, GPT2Config, GPT2LMHeadModel,
                          LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, PreTrainedModel, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, T5Config,
                          T5ForConditionalGeneration)

from fixture import DATA, Fixture, generator, normal
from ops import restarting_positions
from tiny_llama import packed, save

VOCAB = 61  # divides by nothing: padded under tensor parallelism
NO_TARGET = -1
TRAIN = {"steps": 20, "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1,
         "max_norm": 1.0, "batches": 2}
NEW_TOKENS = 12
MASK = 3

LLAMA = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, intermediate_size=40, max_position_embeddings=128,
             bos_token_id=1, eos_token_id=2)
GPT2 = dict(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=None,
            bos_token_id=1, eos_token_id=2)
T5 = dict(vocab_size=VOCAB, d_model=32, d_kv=6, d_ff=40, num_layers=2, num_decoder_layers=3,
          num_heads=4, relative_attention_num_buckets=8, relative_attention_max_distance=20,
          decoder_start_token_id=0)

# What config.json of transformers 4 had for the rope of the Llama-3 case.
LLAMA3_ROPE = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32}


LINEAR_ROPE = {"rope_type": "linear", "factor": 2.5}


@dataclass
class Case:
    """How one model is made; what it reads follows from its kind."""

    name: str
    model: type[PreTrainedModel]
    config: object
    kind: str = "decoder"  # encoder, encoder_decoder
    v4: dict[str, object] = field(default_factory=dict)  # what transformers 4 wrote otherwise
    drop: tuple[str, ...] = ()  # keys of config.json that transformers 4 did not write
    own_head: bool = False  # an output matrix of its own where transformers 5 makes a tied model


CASES = [
    Case("llama3_rope", LlamaForCausalLM,
         LlamaConfig(**LLAMA, tie_word_embeddings=True, head_dim=12,
                     rope_parameters={**LLAMA3_ROPE, "rope_theta": 500.0}),
         v4={"rope_theta": 500.0, "rope_scaling": LLAMA3_ROPE}, drop=("rope_parameters",)),
    Case("linear_rope", LlamaForCausalLM,
         LlamaConfig(**LLAMA, tie_word_embeddings=False,
                     rope_parameters={**LINEAR_ROPE, "rope_theta": 10000.0}),
         v4={"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
         drop=("rope_parameters",)),
    Case("mistral_tiny", MistralForCausalLM,
         MistralConfig(**LLAMA, tie_word_embeddings=False, sliding_window=7)),
    Case("qwen2_tiny", Qwen2ForCausalLM,
         Qwen2Config(**LLAMA, tie_word_embeddings=True, use_sliding_window=True, sliding_window=5,
                     max_window_layers=1), drop=("layer_types",)),
    Case("qwen3_tiny", Qwen3ForCausalLM,
         Qwen3Config(**LLAMA, tie_word_embeddings=False, head_dim=12)),
    # As the first files said it: "gelu" means the approximation, and ties go without saying.
    Case("gemma_tiny", GemmaForCausalLM, GemmaConfig(**LLAMA, head_dim=12),
         v4={"hidden_act": "gelu", "hidden_activation": None}, drop=("tie_word_embeddings",)),
    Case("gpt2_tiny", GPT2LMHeadModel, GPT2Config(**GPT2, tie_word_embeddings=True)),
    Case("gpt2_untied", GPT2LMHeadModel,
         GPT2Config(**{**GPT2, "n_inner": 40}, activation_function="relu",
                    tie_word_embeddings=False)),
    Case("bert_tiny", BertForMaskedLM,
         BertConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                    intermediate_size=40, max_position_embeddings=64, type_vocab_size=2),
         kind="encoder"),
    Case("t5_tiny", T5ForConditionalGeneration,
         T5Config(**T5, feed_forward_proj="relu", tie_word_embeddings=True),
         kind="encoder_decoder", drop=("scale_decoder_outputs",)),
    Case("t5_gated", T5ForConditionalGeneration,
         T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
         kind="encoder_decoder", v4={"tie_word_embeddings": False},
         drop=("scale_decoder_outputs",), own_head=True),
    Case("bart_tiny", BartForConditionalGeneration,
         BartConfig(vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=3,
                    encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=40,
                    decoder_ffn_dim=48, max_position_embeddings=64, scale_embedding=True,
                    forced_eos_token_id=None),
         kind="encoder_decoder"),
]


def fill(model: PreTrainedModel, seed: str) -> PreTrainedModel:
    """Weights large enough that no activation, logit or gradient is close to zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean, std = 0.0, parameter.shape[-1] ** -0.5
            if parameter.ndim == 1:
                is_bias = name.endswith("bias")
                mean, std = (0.0, 0.3) if is_bias else (1.0, 0.2)
            elif "relative_attention_bias" in name:
                std = 0.7
            elif name.endswith(("wpe.weight", "position_embeddings.weight", "embed_positions.weight",
                                "token_type_embeddings.weight")):
                std = 0.4
            elif name.endswith(("wte.weight", "word_embeddings.weight", "embed_tokens.weight",
                                "shared.weight")):
                std = 0.5
            parameter.copy_(normal(f"{seed}/{name}", *parameter.shape, scale=std, mean=mean))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(normal(
                f"{seed}/final_logits_bias", 1, model.config.vocab_size, scale=0.5))
    return model.float().eval()


@dataclass
class Sequence:
    """What a model reads of one example, and what it is to predict at each position."""

    tokens: torch.Tensor
    targets: torch.Tensor
    token_types: torch.Tensor | None = None
    encoder_tokens: torch.Tensor | None = None


def causal(ids: torch.Tensor) -> Sequence:
    return Sequence(ids, torch.cat([ids[1:], torch.tensor([NO_TARGET])]))


def masked(ids: torch.Tensor, name: str) -> Sequence:
    """About every third token is hidden; the first always, so that every sequence has a target."""
    hidden = torch.rand(len(ids), generator=generator(f"{name}/mask")) < 0.3
    hidden[0] = True
    types = (torch.arange(len(ids)) >= len(ids) // 2).long()
    return Sequence(torch.where(hidden, MASK, ids), torch.where(hidden, ids, NO_TARGET), types)


def translated(ids: torch.Tensor, name: str, start: int) -> Sequence:
    """The encoder reads another text, and the decoder its own, one token late."""
    length = 3 + len(ids) % 11
    source = packed(f"{name}/source", VOCAB, [length])[0]
    return Sequence(torch.cat([torch.tensor([start]), ids[:-1]]), ids, encoder_tokens=source)


def sequences(case: Case, name: str, lengths: list[int]) -> list[Sequence]:
    result = []
    for i, ids in enumerate(packed(name, VOCAB, lengths)):
        if case.kind == "decoder":
            result.append(causal(ids))
        elif case.kind == "encoder":
            result.append(masked(ids, f"{name}/{i}"))
        else:
            result.append(translated(ids, f"{name}/{i}", case.config.decoder_start_token_id))
    return result


def write_inputs(out: Fixture, prefix: str, batch: list[Sequence]) -> None:
    cu_seqlens, positions = restarting_positions([len(s.tokens) for s in batch])
    out.add(prefix, tokens=torch.cat([s.tokens for s in batch]).int(), cu_seqlens=cu_seqlens,
            positions=positions, targets=torch.cat([s.targets for s in batch]).int())
    if batch[0].token_types is not None:
        out.add(prefix, token_types=torch.cat([s.token_types for s in batch]).int())
    if batch[0].encoder_tokens is not None:
        borders, _ = restarting_positions([len(s.encoder_tokens) for s in batch])
        out.add(prefix, encoder_tokens=torch.cat([s.encoder_tokens for s in batch]).int(),
                encoder_cu_seqlens=borders)


def logits_of(model: PreTrainedModel, sequence: Sequence) -> torch.Tensor:
    """Each sequence alone through the model."""
    if sequence.encoder_tokens is not None:
        # The cache of transformers 5 counts a T5's encoder layers for the decoder.
        return model(input_ids=sequence.encoder_tokens[None], use_cache=False,
                     decoder_input_ids=sequence.tokens[None]).logits[0]
    if sequence.token_types is not None:
        return model(sequence.tokens[None], token_type_ids=sequence.token_types[None]).logits[0]
    return model(sequence.tokens[None]).logits[0]


def mean_loss(model: PreTrainedModel, batch: list[Sequence]) -> torch.Tensor:
    """Over all predicted tokens of the batch."""
    logits = torch.cat([logits_of(model, s) for s in batch])
    return F.cross_entropy(logits, torch.cat([s.targets for s in batch]), ignore_index=NO_TARGET)


def forward_and_gradients(out: Fixture, case: Case, model: PreTrainedModel) -> None:
    batch = sequences(case, "families", [5, 17, 29, 1 if case.kind != "decoder" else 2])
    write_inputs(out, "", batch)
    out.add("", logits=torch.cat([logits_of(model, s) for s in batch]))
    model.zero_grad()
    loss = mean_loss(model, batch)
    loss.backward()
    out.add("", loss=loss.reshape(1))
    out.add("grad", **{name: p.grad for name, p in model.named_parameters()})


def bare_encoder(out: Fixture, case: Case, model: PreTrainedModel) -> None:
    """The same encoder without its head, and with a pooler of its own."""
    bare = BertModel(case.config).eval()
    bare.load_state_dict(model.bert.state_dict(), strict=False)
    with torch.no_grad():
        for name, parameter in bare.pooler.dense.named_parameters():
            parameter.copy_(normal(f"pooler/{name}", *parameter.shape, scale=0.3))
    out.add("pooler.dense", **dict(bare.pooler.dense.named_parameters()))
    outputs = [bare(s.tokens[None], token_type_ids=s.token_types[None])
               for s in sequences(case, "families", [5, 17, 29, 1])]
    out.add("bare", hidden=torch.cat([output.last_hidden_state[0] for output in outputs]),
            pooled=torch.cat([output.pooler_output for output in outputs]))


def train(out: Fixture, case: Case, model: PreTrainedModel) -> None:
    lengths = [[9, 4, 16, 12, 7, 3], [5, 11, 8, 17, 6, 13]]
    batches = [sequences(case, f"families/train/{i}", each) for i, each in enumerate(lengths)]
    for i, batch in enumerate(batches):
        write_inputs(out, f"train/batch{i}", batch)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": TRAIN["weight_decay"]},
         {"params": others, "weight_decay": 0.0}],
        lr=TRAIN["lr"], betas=tuple(TRAIN["betas"]), eps=TRAIN["eps"])
    losses, norms = [], []
    for step in range(TRAIN["steps"]):
        optimizer.zero_grad()
        loss = mean_loss(model, batches[step % len(batches)])
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), TRAIN["max_norm"]))
        optimizer.step()
        losses.append(loss.detach())
    out.add("train", losses=torch.stack(losses), grad_norms=torch.stack(norms))


def generate_greedily(out: Fixture, case: Case, model: PreTrainedModel) -> None:
    model.generation_config.eos_token_id = None
    model.generation_config.forced_eos_token_id = None
    for i, prompt in enumerate(packed(f"{case.name}/generate", VOCAB, [1, 6, 13])):
        result = model.generate(prompt[None], max_new_tokens=NEW_TOKENS, do_sample=False, use_cache=case.kind == "decoder",
                                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                                pad_token_id=0, output_scores=True, return_dict_in_generate=True)
        best = torch.stack(result.scores)[:, 0].topk(2).values
        margin = (best[:, 0] - best[:, 1]).min().item()
        assert margin > 1e-3, f"{case.name} {i}: a near tie ({margin}) makes the test a coin toss"
        skipped = len(prompt) if case.kind == "decoder" else 1
        out.add("generate", **{f"prompt{i}": prompt.int(),
                               f"output{i}": result.sequences[0, skipped:].int()})


def save_v4_config(case: Case) -> None:
    """config_v4.json: the same model as transformers 4 wrote it, which must open as that model."""
    directory = DATA / case.name
    values = json.loads((directory / "config.json").read_text())
    values["torch_dtype"] = values.pop("dtype")
    values["transformers_version"] = "4.44.2"
    if "rope_parameters" in values and "rope_parameters" not in case.drop:
        values["rope_theta"] = values.pop("rope_parameters")["rope_theta"]
        values["rope_scaling"] = None
    for key in case.drop:
        values.pop(key, None)
    values.update(case.v4)
    text = json.dumps(dict(sorted(values.items())), indent=2)
    (directory / "config_v4.json").write_text(text + "\n")


def check_reload(case: Case, sequence: Sequence, expected: torch.Tensor) -> None:
    for name in ("config.json", "config_v4.json"):
        config = type(case.config).from_json_file(DATA / case.name / name)
        model = case.model.from_pretrained(DATA / case.name, config=config,
                                           attn_implementation="eager")
        torch.testing.assert_close(logits_of(model.eval(), sequence), expected)


def generate() -> None:
    for case in CASES:
        case.config._attn_implementation = "eager"
        model = case.model(case.config)
        if case.own_head:
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        fill(model, case.name)
        save(model, DATA / case.name)
        save_v4_config(case)
        out = Fixture(case.name)
        out.note(kind=case.kind, train=TRAIN, new_tokens=NEW_TOKENS)
        probe = sequences(case, "families/probe", [9])[0]
        check_reload(case, probe, logits_of(model, probe))
        forward_and_gradients(out, case, model)
        if case.kind == "encoder":
            bare_encoder(out, case, model)
        else:
            generate_greedily(out, case, model)
        train(out, case, model)
        out.write()
