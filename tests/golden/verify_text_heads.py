#!/usr/bin/env python3
"""`verify_text_heads.py TRAINER EMBEDDER CLASSIFIER LABELS`: do an embedding model and a classifier that Tandem trained
open in sentence-transformers and transformers, as the same models?

Embeddings of the texts in LABELS (JSONL with `text` and `label`) must equal those of `TRAINER embed` to 1e-4; every weight
of the classifier must be found and none left over. Prints the share of texts whose label it finds, to compare with the
validation accuracy of the run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

TOLERANCE = 1e-4


def embedding_difference(trainer: str, directory: str, labels: str, texts: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "out.safetensors")
        subprocess.run([trainer, "embed", "--model", directory, "--input", labels, "--output", output],
                       check=True, stdout=subprocess.DEVNULL)
        ours = load_file(output)["embeddings"]
    theirs = torch.tensor(SentenceTransformer(directory, device="cpu").encode(texts))
    return (ours - theirs).abs().max().item()


def accuracy(directory: str, rows: list[dict[str, str]]) -> tuple[float, list[str]]:
    model, found = AutoModelForSequenceClassification.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    longest = model.config.max_position_embeddings
    right = 0
    with torch.no_grad():
        for row in rows:
            ids = tokenizer(row["text"], truncation=True, max_length=longest, return_tensors="pt")
            best = model.eval()(input_ids=ids["input_ids"]).logits[0].argmax().item()
            right += model.config.id2label[best] == row["label"]
    return right / len(rows), [f"{kind}: {sorted(names)}" for kind, names in found.items() if names]


def main(trainer: str, embedder: str, classifier: str, labels: str) -> int:
    rows = [json.loads(line) for line in Path(labels).read_text().splitlines()]
    difference = embedding_difference(trainer, embedder, labels, [row["text"] for row in rows])
    print(f"largest difference of {len(rows)} embeddings {difference:.3g}")
    share, problems = accuracy(classifier, rows)
    print(f"accuracy {share:.6f}")
    if not difference <= TOLERANCE:
        problems.append(f"embeddings differ by {difference:.3g}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: verify_text_heads.py TRAINER EMBEDDER CLASSIFIER LABELS.jsonl")
    sys.exit(main(*sys.argv[1:]))
