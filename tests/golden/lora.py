"""lora_NAME/ (adapters that PEFT wrote) and lora_NAME.safetensors: what PEFT computes with them on models of
other fixtures: loss, gradients of the adapter, twenty optimizer steps and the merged weights."""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from fixture import DATA, Fixture, normal
from llama import BATCH_LENGTHS, TRAIN, mean_loss
from ops import restarting_positions
from tiny_llama import packed

CASES = {
    "llama": {"base": "llama_tiny", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "llama_all": {"base": "llama_tiny", "r": 3, "lora_alpha": 12, "target_modules": "all-linear"},
    "llama_regex": {"base": "llama_tiny", "r": 2, "lora_alpha": 2,
                    "target_modules": r".*\.1\.(self_attn|mlp)\.(k|o|up|down)_proj"},
    "gpt2": {"base": "gpt2_tiny", "r": 4, "lora_alpha": 16, "target_modules": ["c_attn", "c_proj"],
             "fan_in_fan_out": True},
}


def randomize(model: torch.nn.Module, case: str) -> None:
    """B starts at zero, which would leave the gradient of A zero: numbers for both, in the order of names."""
    for name, parameter in sorted(model.named_parameters()):
        if "lora_" in name:
            parameter.data = normal(f"{case}/{name}", *parameter.shape, scale=0.1).to(parameter.dtype)


def plain(name: str) -> str:
    """As in the adapter's file, without base_model.model."""
    return name.removeprefix("base_model.model.").replace(".default.", ".")


def trained(model: torch.nn.Module):
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def train(out: Fixture, model: torch.nn.Module, batches: list[list[torch.Tensor]]) -> None:
    optimizer = torch.optim.AdamW([p for _, p in trained(model)], lr=TRAIN["lr"], betas=tuple(TRAIN["betas"]),
                                  eps=TRAIN["eps"], weight_decay=TRAIN["weight_decay"])
    losses, norms = [], []
    for step in range(TRAIN["steps"]):
        optimizer.zero_grad()
        loss = mean_loss(model, batches[step % len(batches)])
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in trained(model)], TRAIN["max_norm"]))
        optimizer.step()
        losses.append(loss.detach())
    out.add("train", losses=torch.stack(losses), grad_norms=torch.stack(norms))


def generate() -> None:
    for case, options in CASES.items():
        options = dict(options)
        base = options.pop("base")
        model = AutoModelForCausalLM.from_pretrained(DATA / base, attn_implementation="eager",
                                                     dtype=torch.float32)
        vocab = model.config.vocab_size
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
        randomize(model, case)
        model.peft_config["default"].base_model_name_or_path = base
        model.save_pretrained(DATA / f"lora_{case}")
        (DATA / f"lora_{case}" / "README.md").unlink(missing_ok=True)
        batches = [packed(f"lora/{i}", vocab, lengths) for i, lengths in enumerate(BATCH_LENGTHS)]
        out = Fixture(f"lora_{case}")
        out.note(base=base, r=options["r"], lora_alpha=options["lora_alpha"],
                 target_modules=options["target_modules"], train=TRAIN)
        for i, batch in enumerate(batches):
            cu_seqlens, _ = restarting_positions([len(ids) for ids in batch])
            out.add(f"train/batch{i}", tokens=torch.cat(batch).int(), cu_seqlens=cu_seqlens)
        model.zero_grad()
        loss = mean_loss(model, batches[0])
        loss.backward()
        out.add("", loss=loss.reshape(1))
        out.add("grad", **{plain(name): p.grad for name, p in trained(model)})
        with model.disable_adapter():
            out.add("", loss_without=mean_loss(model, batches[0]).reshape(1))
        train(out, model, batches)
        out.write()


if __name__ == "__main__":
    generate()
