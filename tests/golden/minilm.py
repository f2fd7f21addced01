#!/usr/bin/env python3
"""`minilm.py DIR`: minilm.safetensors, .json: what sentence-transformers makes of a dozen texts with the model in DIR
(data/models/all-MiniLM-L6-v2, fetched by tools/models/fetch.sh)."""

from __future__ import annotations

import sys
from importlib.metadata import version

import torch
from sentence_transformers import SentenceTransformer

from embedding_sentences import QUERY, SENTENCES
from fixture import Fixture


def main(directory: str) -> None:
    model = SentenceTransformer(directory, device="cpu")
    out = Fixture("minilm")
    out.add("", embeddings=torch.tensor(model.encode(SENTENCES)),
            query=torch.tensor(model.encode([QUERY])))
    out.note(sentences=SENTENCES, query=QUERY, sentence_transformers=version("sentence-transformers"))
    out.write()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: minilm.py DIR")
    main(sys.argv[1])
