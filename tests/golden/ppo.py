"""ppo.safetensors, ppo.json, ppo/ROLE: one update of TRL's PPOTrainer, its quantities captured as it runs.

The trainer is not re-implemented: its `train` runs unchanged, and a wrapper around `accelerator.backward` reads the
local variables of that frame. Two runs differ in whiten_rewards only, and therefore share their rollouts.
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, LlamaForSequenceClassification, set_seed
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

from fixture import DATA, Fixture, normal
from tiny_llama import config, fill, packed, save
from word_tokenizer import EOS, PAD, word_tokenizer

SIZES = dict(vocab=64, hidden=32, layers=2, heads=4, kv_heads=2, ffn=48, eps=1e-5, theta=1e4,
             tied=False)
PROMPT_LENGTHS = [3, 8, 5, 6, 4, 7, 3, 8, 5, 5, 6, 4, 7, 8, 3, 6]
SEED = 7
OPTIONS = dict(
    learning_rate=2e-3, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-5, weight_decay=0.0,
    per_device_train_batch_size=16, gradient_accumulation_steps=1, num_mini_batches=2,
    num_ppo_epochs=2, total_episodes=16, response_length=12, stop_token="eos", temperature=0.8,
    missing_eos_penalty=1.0, kl_coef=0.2, kl_estimator="k1", cliprange=0.2, cliprange_value=0.2,
    vf_coef=0.1, gamma=0.98, lam=0.95, local_rollout_forward_batch_size=16, seed=SEED)
ROLLOUT = ("queries", "responses", "postprocessed_responses", "sequence_lengths", "padding_mask",
           "padding_mask_p1", "logprobs", "ref_logprobs", "values", "kl", "non_score_reward")
TARGETS = ("scores", "rewards", "advantages", "returns")
STEP = ("pg_loss", "vf_loss", "loss", "ratio", "new_logprobs", "vpred", "vpredclipped")
STATS = {"approxkl": "approxkl_stats", "pg_clipfrac": "pg_clipfrac_stats",
         "vf_clipfrac": "vf_clipfrac_stats", "entropy": "entropy_stats", "mean_ratio": "ratio_stats"}
SELECTED = ("policy.model.embed_tokens.weight", "policy.model.layers.0.self_attn.k_proj.weight",
            "policy.lm_head.weight", "value_model.model.layers.1.mlp.down_proj.weight",
            "value_model.score.weight")


def steer(model: torch.nn.Module) -> torch.nn.Module:
    """A common component in every embedding, so that the head can make padding rare and EOS likely."""
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] += 3.0
        if hasattr(model, "lm_head"):
            model.lm_head.weight[PAD, 0] = -8.0
            model.lm_head.weight[EOS, 0] = 0.7
    return model


def roles() -> dict[str, torch.nn.Module]:
    """The policy has moved away from the reference; value and reward have heads that matter."""
    reference = steer(fill(LlamaForCausalLM(config(**SIZES, pad_token_id=PAD)), "ppo/reference"))
    policy = LlamaForCausalLM(config(**SIZES, pad_token_id=PAD))
    policy.load_state_dict(reference.state_dict())
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            weight.add_(normal(f"ppo/policy/{name}", *weight.shape, scale=0.05).float())
    made = {"policy": policy, "reference": reference}
    for role in ("value", "reward"):
        classifier = LlamaForSequenceClassification(config(**SIZES, pad_token_id=PAD, num_labels=1))
        made[role] = steer(fill(classifier, f"ppo/{role}"))
    return made


class Capture:
    """What train() holds in its local variables at every backward, and what it whitens and scores."""

    def __init__(self, trainer: PPOTrainer) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.gradients: list[dict[str, torch.Tensor]] = []
        self.whitened: list[torch.Tensor] = []
        self.raw_scores: list[torch.Tensor] = []
        self.trainer = trainer
        self.backward = trainer.accelerator.backward
        self.whiten, self.reward = ppo_trainer.masked_whiten, ppo_trainer.get_reward

    def __enter__(self) -> Capture:
        self.trainer.accelerator.backward = self.on_backward
        ppo_trainer.masked_whiten = self.on_whiten
        ppo_trainer.get_reward = self.on_reward
        return self

    def __exit__(self, *_: object) -> None:
        ppo_trainer.masked_whiten, ppo_trainer.get_reward = self.whiten, self.reward

    def on_whiten(self, values: torch.Tensor, mask: torch.Tensor, shift_mean: bool = True):
        self.whitened.append(values.clone())
        return self.whiten(values, mask, shift_mean)

    def on_reward(self, *arguments):
        result = self.reward(*arguments)
        self.raw_scores.append(result[1].clone())
        return result

    def on_backward(self, loss: torch.Tensor) -> None:
        local = sys._getframe(1).f_locals
        outputs = [local["new_logprobs"], local["vpred"]]
        dlogprobs, dvpred = torch.autograd.grad(loss, outputs, retain_graph=True)
        step = {name: local[name].detach().clone() for name in STEP}
        step |= {"indices": torch.as_tensor(local["micro_batch_inds"]),
                 "dlogprobs": dlogprobs, "dvpred": dvpred,
                 "token_entropy": torch.distributions.Categorical(logits=local["logits"]).entropy()}
        self.steps.append(step)
        self.backward(loss)
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        self.gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
        if len(self.steps) == 1:
            self.rollout = {name: local[name].detach().clone() for name in ROLLOUT + TARGETS}
        self.stats = {name: local[source] for name, source in STATS.items()}


def run(models: dict[str, torch.nn.Module], whiten_rewards: bool) -> tuple[Capture, PPOTrainer]:
    set_seed(SEED)
    np.random.seed(SEED)
    prompts = packed("ppo/prompts", SIZES["vocab"], PROMPT_LENGTHS)
    with tempfile.TemporaryDirectory() as scratch:
        args = PPOConfig(output_dir=scratch, bf16=False, gradient_checkpointing=False, use_cpu=True,
                         report_to="none", disable_tqdm=True, save_strategy="no", logging_steps=1,
                         num_sample_generations=0, whiten_rewards=whiten_rewards, **OPTIONS)
        trainer = PPOTrainer(
            args=args, processing_class=word_tokenizer(SIZES["vocab"], padding_side="left"),
            model=models["policy"], ref_model=models["reference"], reward_model=models["reward"],
            value_model=models["value"],
            train_dataset=Dataset.from_dict({"input_ids": [ids.tolist() for ids in prompts]}))
        with Capture(trainer) as capture:
            trainer.train()
    return capture, trainer


def check(capture: Capture) -> None:
    """The fixture must exercise what it is for: early and missing EOS, clipping, ratios off 1."""
    rollout, stats = capture.rollout, capture.stats
    ended = (rollout["responses"] == EOS).any(1)
    assert 3 <= ended.sum() <= 13, f"{ended.sum()} of 16 responses ended"
    lengths = rollout["sequence_lengths"] + 1
    before_end = torch.arange(rollout["responses"].shape[1]) < lengths[:, None]
    assert not (rollout["responses"][before_end] == PAD).any(), "a padding token was sampled"
    for step, entropy in zip(capture.steps, stats["entropy"].flatten()):
        torch.testing.assert_close(step["token_entropy"].mean(), entropy)
    torch.testing.assert_close(capture.steps[0]["ratio"], torch.ones(8, 12), atol=1e-5, rtol=0)
    for name in ("pg_clipfrac", "vf_clipfrac"):
        assert stats[name][1].min() > 0.02, f"{name}: {stats[name]}"


def write_run(out: Fixture, name: str, capture: Capture, trainer: PPOTrainer) -> None:
    out.add(name, **{key: capture.rollout[key] for key in TARGETS},
            advantages_before_whitening=capture.whitened[-1])
    if len(capture.whitened) == 2:
        out.add(name, rewards_before_whitening=capture.whitened[0])
    for i, (step, gradients) in enumerate(zip(capture.steps, capture.gradients)):
        prefix = f"{name}/step{i}"
        scalars = {key: step.pop(key).reshape(1) for key in ("loss", "pg_loss", "vf_loss")}
        scalars |= {key: stat.flatten()[i].reshape(1) for key, stat in capture.stats.items()}
        step["indices"] = step["indices"].int()
        out.add(prefix, **step, **scalars)
        kept = gradients if name == "plain" and i == 0 else SELECTED
        if i in (0, 2):
            out.add(f"{prefix}/grad", **{key: gradients[key] for key in kept})
    model = trainer.accelerator.unwrap_model(trainer.model)
    out.add(f"{name}/final", **{key: model.get_parameter(key) for key in SELECTED})
    logged = next(entry for entry in trainer.state.log_history if "objective/kl" in entry)
    out.note(**{f"{name}_metrics": {key: value for key, value in logged.items() if "/" in key}})


def generate() -> None:
    out = Fixture("ppo")
    out.note(sizes=SIZES, pad_token_id=PAD, eos_token_id=EOS, options=OPTIONS)
    for role, model in roles().items():
        save(model, DATA / "ppo" / role)
    runs = {"plain": run(roles(), False), "whitened": run(roles(), True)}
    first, second = (capture.rollout for capture, _ in runs.values())
    for key in ROLLOUT:
        assert torch.equal(first[key], second[key]), f"{key}: the two runs should share rollouts"
    integers = ("queries", "responses", "postprocessed_responses", "sequence_lengths")
    out.add("rollout", **{key: first[key].int() if key in integers else first[key]
                          for key in ROLLOUT})
    capture = runs["plain"][0]
    out.add("rollout", scores_before_penalty=capture.raw_scores[1],
            prompt_lengths=(first["queries"] != PAD).sum(1).int(),
            response_lengths=(first["sequence_lengths"] + 1).int())
    for name, (capture, trainer) in runs.items():
        check(capture)
        write_run(out, name, capture, trainer)
    out.write()
