"""trl_losses.safetensors, .json: SFT, reward and DPO losses from the compute_loss of TRL's own trainers."""

from __future__ import annotations

import tempfile

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, LlamaForSequenceClassification
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.trainer import dpo_trainer

from fixture import DATA, Fixture, normal
from tiny_llama import TINY, packed
from word_tokenizer import PAD, word_tokenizer, words

SCRATCH = tempfile.TemporaryDirectory()
WEIGHTS = DATA / "llama_tiny"
GRADIENTS = ("model.embed_tokens.weight", "model.layers.0.self_attn.k_proj.weight",
             "model.layers.2.mlp.down_proj.weight", "model.norm.weight")
REFERENCE = ("model.layers.0.self_attn.v_proj.weight", "model.layers.1.mlp.down_proj.weight",
             "model.norm.weight")
PROMPTS, CHOSEN, REJECTED = [4, 9, 2, 6], [7, 3, 12, 5], [5, 8, 4, 11]
BETA = 0.1
MARGINS = [0.5, -0.25, 1.0, 0.0]


def policy() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32,
                                            attn_implementation="eager").train()


def options(**more: object) -> dict[str, object]:
    """Plain fp32 on one CPU, nothing reported."""
    return dict(output_dir=SCRATCH.name, bf16=False, gradient_checkpointing=False, use_cpu=True,
                report_to="none", disable_tqdm=True, per_device_train_batch_size=4, **more)


def batch_of(trainer, indices: list[int] | None = None) -> dict[str, torch.Tensor]:
    """The samples that the trainer prepared, collated by the trainer's collator, in dataset order."""
    trainer.remove_callback(PrinterCallback)
    rows = trainer.train_dataset
    columns = [c for c in trainer_columns(trainer) if c in rows.column_names]
    return trainer.data_collator([{c: rows[i][c] for c in columns}
                                  for i in indices or range(len(rows))])


def trainer_columns(trainer) -> list[str]:
    trainer._set_signature_columns_if_needed()
    return trainer._signature_columns


def pack(batch: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    """Drops the right padding: tokens, cu_seqlens, and the named per-token tensors."""
    real = batch["attention_mask"].bool()
    cu_seqlens = torch.cat([torch.zeros(1, dtype=torch.long), real.sum(1).cumsum(0)])
    return {"tokens": batch["input_ids"][real].int(), "cu_seqlens": cu_seqlens.int(),
            **{name: batch[name][real].int() for name in names}}


def gradients(model: torch.nn.Module, loss: torch.Tensor, names: tuple[str, ...]):
    parameters = [model.get_parameter(name) for name in names]
    return dict(zip(names, torch.autograd.grad(loss, parameters)))


def pairs() -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    return (packed("trl/prompts", TINY["vocab"], PROMPTS),
            packed("trl/chosen", TINY["vocab"], CHOSEN),
            packed("trl/rejected", TINY["vocab"], REJECTED))


def sft(out: Fixture) -> None:
    prompts, completions, _ = pairs()
    dataset = Dataset.from_dict({"prompt": [words(ids) for ids in prompts],
                                 "completion": [" " + words(ids) for ids in completions]})
    trainer = SFTTrainer(policy(), train_dataset=dataset, processing_class=word_tokenizer(TINY["vocab"]),
                         args=SFTConfig(**options(completion_only_loss=True, shuffle_dataset=False)))
    batch = batch_of(trainer)
    loss = trainer.compute_loss(trainer.model, dict(batch))
    grads = gradients(trainer.model, loss, GRADIENTS)
    batch["completion_mask"] = batch["labels"] != -100
    out.add("sft", **pack(batch, "completion_mask"), loss=loss.reshape(1))
    out.add("sft/grad", **grads)
    out.note(sft={"loss_type": trainer.args.loss_type})


def reward(out: Fixture) -> None:
    prompts, chosen, rejected = pairs()
    head = normal("trl/score.weight", 1, TINY["hidden"], scale=0.3)
    out.add("reward", **{"score.weight": head})
    for case, center, with_margin in (("plain", None, False), ("center", 0.01, False),
                                      ("margin", None, True), ("center_margin", 0.01, True)):
        model = LlamaForSequenceClassification.from_pretrained(
            WEIGHTS, num_labels=1, pad_token_id=PAD, dtype=torch.float32, attn_implementation="eager").train()
        with torch.no_grad():
            model.score.weight.copy_(head)
        rows = {"chosen_ids": [torch.cat(pair).tolist() for pair in zip(prompts, chosen)],
                "rejected_ids": [torch.cat(pair).tolist() for pair in zip(prompts, rejected)]}
        if with_margin:
            rows["margin"] = MARGINS
        trainer = RewardTrainer(
            model, train_dataset=Dataset.from_dict(rows), processing_class=word_tokenizer(TINY["vocab"]),
            args=RewardConfig(**options(center_rewards_coefficient=center)))
        batch = batch_of(trainer)
        loss, outputs = trainer.compute_loss(trainer.model, dict(batch), return_outputs=True)
        names = ("score.weight", *GRADIENTS[1:])
        if case == "plain":
            out.add("reward", **pack(batch), rewards=outputs.logits[:, 0],
                    margin=torch.tensor(MARGINS))
        out.add(f"reward/{case}", loss=loss.reshape(1))
        out.add(f"reward/{case}/grad", **gradients(trainer.model, loss, names))
        out.note(**{f"reward_{case}": {"center_rewards_coefficient": center, "margin": with_margin}})


def perturbed_reference(out: Fixture) -> LlamaForCausalLM:
    """The policy's weights with three tensors moved; only those three are stored."""
    model = policy()
    with torch.no_grad():
        for name in REFERENCE:
            weight = model.get_parameter(name)
            weight.add_(normal(f"trl/reference/{name}", *weight.shape, scale=0.05).float())
            out.add("dpo/reference", **{name: weight})
    return model.eval()


class LogProbabilities:
    """Records the per-token log-probabilities that DPOTrainer computes: first policy, then reference."""

    def __init__(self) -> None:
        self.calls: list[torch.Tensor] = []
        self.original = dpo_trainer.selective_log_softmax

    def __enter__(self) -> LogProbabilities:
        def record(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            self.calls.append(self.original(logits, index))
            return self.calls[-1]

        dpo_trainer.selective_log_softmax = record
        return self

    def __exit__(self, *_: object) -> None:
        dpo_trainer.selective_log_softmax = self.original


def dpo_trainer_for(reference: LlamaForCausalLM, loss_type: str, smoothing: float) -> DPOTrainer:
    prompts, chosen, rejected = pairs()
    dataset = Dataset.from_dict({"prompt": [words(ids) for ids in prompts],
                                 "chosen": [" " + words(ids) for ids in chosen],
                                 "rejected": [" " + words(ids) for ids in rejected]})
    return DPOTrainer(policy(), reference, train_dataset=dataset,
                      processing_class=word_tokenizer(TINY["vocab"]),
                      args=DPOConfig(**options(beta=BETA, loss_type=[loss_type],
                                               label_smoothing=smoothing)))


def dpo_log_probabilities(out: Fixture, trainer: DPOTrainer) -> None:
    batch = batch_of(trainer)
    with LogProbabilities() as recorded:
        trainer.compute_loss(trainer.model, dict(batch))
    (chosen, rejected), (ref_chosen, ref_rejected) = (
        call.detach().sum(1).chunk(2) for call in recorded.calls)
    rewards = BETA * (chosen - ref_chosen), BETA * (rejected - ref_rejected)
    for name, value in (("logps/chosen", chosen), ("logps/rejected", rejected),
                        ("rewards/chosen", rewards[0]), ("rewards/rejected", rewards[1])):
        torch.testing.assert_close(value.mean().item(), trainer._metrics["train"][name][-1])
    out.add("dpo", **pack(batch, "completion_mask"), chosen_logps=chosen, rejected_logps=rejected,
            ref_chosen_logps=ref_chosen, ref_rejected_logps=ref_rejected, chosen_rewards=rewards[0],
            rejected_rewards=rewards[1])


def dpo(out: Fixture) -> None:
    """DPOTrainer's `sigmoid` takes no label smoothing in this version; its `robust` does, and so does
    `aot`, whose sorting is idle on one pair, which leaves exactly the conservative loss."""
    reference = perturbed_reference(out)
    for case, loss_type, smoothing, batches in (
        ("sigmoid", "sigmoid", 0.0, [None]),
        ("robust", "robust", 0.1, [None]),
        ("conservative", "aot", 0.1, [[i] for i in range(len(PROMPTS))]),
    ):
        trainer = dpo_trainer_for(reference, loss_type, smoothing)
        if case == "sigmoid":
            dpo_log_probabilities(out, trainer)
        loss = sum(trainer.compute_loss(trainer.model, dict(batch_of(trainer, indices)))
                   for indices in batches) / len(batches)
        out.add(f"dpo/{case}", loss=loss.reshape(1))
        out.add(f"dpo/{case}/grad", **gradients(trainer.model, loss, GRADIENTS))
        out.note(**{f"dpo_{case}": {"beta": BETA, "label_smoothing": smoothing,
                                    "trl_loss_type": loss_type}})


def generate() -> None:
    out = Fixture("trl_losses")
    for subject in (sft, reward, dpo):
        subject(out)
    out.write()
