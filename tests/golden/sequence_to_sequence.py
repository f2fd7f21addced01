"""Fine-tuning of encoder-decoders: what transformers makes of prompts and completions, and the loss and gradients of its
models on them (those of families.py, fp64 from their fp32 weights)."""

from __future__ import annotations

import string

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from fixture import DATA, Fixture, write_json

RECORDS = [
    {"prompt": "translate the cat", "completion": "die katze"},
    {"prompt": "a", "completion": "long answers go on and on"},
    {"prompt": "where is the hat of the bat", "completion": "x"},
    {"prompt": "one, two", "completion": "eins zwei"},
]
MAX_LENGTH = 20


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """Characters behind the special tokens of the family, in its order."""
    special = ["<pad>", "</s>", "<unk>"] if kind == "t5" else ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(token, 0.0) for token in special]
    pieces += [(c, -3.0 - i / 10) for i, c in enumerate("▁" + string.ascii_lowercase + ",")]
    made = Tokenizer(models.Unigram(pieces, unk_id=special.index("<unk>"), byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.add_special_tokens(special)
    around = "$A </s>" if kind == "t5" else "<s> $A </s>"
    ids = [(token, special.index(token)) for token in ("<s>", "</s>") if token in special]
    made.post_processor = processors.TemplateProcessing(single=around, special_tokens=ids)
    roles = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    if kind == "bart":
        roles["bos_token"] = "<s>"
    return PreTrainedTokenizerFast(tokenizer_object=made, **roles)


def generate_kind(kind: str) -> None:
    folder = DATA / "sequence_to_sequence" / kind
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(kind)
    tok.backend_tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder / "tokenizer_config.json", roles | ({"bos_token": "<s>"} if kind == "bart" else {}))
    rows = [tok(r["prompt"], text_target=r["completion"], max_length=MAX_LENGTH, truncation=True) for r in RECORDS]
    inputs = tok.pad({"input_ids": [row["input_ids"] for row in rows]}, return_tensors="pt")
    width = max(len(row["labels"]) for row in rows)
    labels = torch.tensor([row["labels"] + [-100] * (width - len(row["labels"])) for row in rows])
    model = AutoModelForSeq2SeqLM.from_pretrained(DATA / f"{kind}_tiny", dtype=torch.float32).double().eval()
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    out = Fixture(f"sequence_to_sequence_{kind}")
    out.add("", loss=loss.reshape(1))
    wanted = ("shared", "encoder", "decoder.block.1", "decoder.layers.1")
    for name, parameter in model.named_parameters():
        if name.removeprefix("model.").startswith(wanted) and parameter.grad is not None:
            out.add("grad", **{name: parameter.grad})
    out.note(max_length=MAX_LENGTH, records=RECORDS, input_ids=[row["input_ids"] for row in rows],
             labels=[row["labels"] for row in rows])
    out.write()


def generate() -> None:
    for kind in ("t5", "bart"):
        generate_kind(kind)
