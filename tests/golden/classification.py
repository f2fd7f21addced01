"""classification.safetensors, .json: what transformers' *ForSequenceClassification compute on the weights of families.py."""

from __future__ import annotations

import torch
from transformers import (BertForSequenceClassification, GPT2ForSequenceClassification,
                          LlamaForSequenceClassification, PreTrainedModel)

from families import VOCAB
from fixture import DATA, Fixture, normal
from ops import restarting_positions
from tiny_llama import packed

MODELS = {"bert_tiny": BertForSequenceClassification,
          "llama3_rope": LlamaForSequenceClassification,
          "gpt2_tiny": GPT2ForSequenceClassification}
PAD = 0
LENGTHS = [5, 17, 3, 11]
LABELS = {
    "single_label_classification": torch.tensor([2, 0, 1, 2]),
    "multi_label_classification": torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 1], [1, 0, 0]]),
    "regression": torch.tensor([[0.5], [-1.25], [3.0], [0.0]]),
}


def texts() -> list[torch.Tensor]:
    """No token is the padding, by which a decoder finds its last token."""
    return [torch.where(ids == PAD, 7, ids) for ids in packed("classification", VOCAB, LENGTHS)]


def padded(sequences: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PAD)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def head_of(name: str) -> tuple[str, ...]:
    return ("pooler", "classifier") if name.startswith("bert") else ("score",)


def classifier(name: str, problem: str, labels: int) -> PreTrainedModel:
    model = MODELS[name].from_pretrained(
        DATA / name, num_labels=labels, problem_type=problem, pad_token_id=PAD,
        dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if any(part in parameter_name for part in head_of(name)):
                parameter.copy_(normal(f"classification/{name}/{parameter_name}",
                                       *parameter.shape, scale=0.3))
    return model


def one_case(out: Fixture, name: str, problem: str, sequences: list[torch.Tensor]) -> None:
    labels = LABELS[problem]
    count = 1 if problem == "regression" else 3
    model = classifier(name, problem, count)
    result = model(**padded(sequences), labels=labels)
    alone = torch.cat([model(ids[None]).logits for ids in sequences])
    torch.testing.assert_close(alone, result.logits)  # padding changes nothing
    result.loss.backward()
    prefix = f"{name}/{problem}"
    out.add(prefix, logits=result.logits, loss=result.loss.reshape(1))
    gradients = dict(model.named_parameters())
    out.add(f"{prefix}/head", **{key: value for key, value in gradients.items()
                                 if any(part in key for part in head_of(name))})
    out.add(f"{prefix}/grad", **{key: value.grad for key, value in gradients.items()})


def generate() -> None:
    out = Fixture("classification")
    sequences = texts()
    cu_seqlens, _ = restarting_positions(LENGTHS)
    out.add("", tokens=torch.cat(sequences).int(), cu_seqlens=cu_seqlens)
    out.add("labels", **{problem: values.float() for problem, values in LABELS.items()})
    for name in MODELS:
        for problem in LABELS:
            one_case(out, name, problem, sequences)
    out.note(pad_token_id=PAD)
    out.write()
