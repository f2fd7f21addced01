"""embedding_tiny/, embeddings.safetensors, .json: what sentence-transformers makes of texts with a small BERT, and its
MultipleNegativesRankingLoss."""

from __future__ import annotations

import shutil
from importlib.metadata import version

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim, dot_score
from transformers import BertConfig, BertModel, BertTokenizerFast

from embedding_sentences import QUERY, SENTENCES
from families import fill
from fixture import DATA, Fixture
from ops import restarting_positions

TINY = DATA / "embedding_tiny"
VOCABULARY = DATA / "tokenizers" / "bert_files"
LONGEST = 32
POOLINGS = ("cls", "mean", "max", "lasttoken")
ANCHORS, POSITIVES, NEGATIVES = SENTENCES[0:4], SENTENCES[4:8], SENTENCES[8:12]
CASES = {  # texts of a sample, similarity, scale
    "pairs": ((ANCHORS, POSITIVES), cos_sim, 20.0),
    "triplets": ((ANCHORS, POSITIVES, NEGATIVES), cos_sim, 20.0),
    "dot": ((ANCHORS, POSITIVES), dot_score, 0.5),
}


def write_transformer() -> None:
    shutil.rmtree(TINY, ignore_errors=True)
    tokenizer = BertTokenizerFast.from_pretrained(VOCABULARY, model_max_length=LONGEST)
    model = BertModel(BertConfig(
        vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=48, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0))
    fill(model, "embedding_tiny").save_pretrained(TINY)
    tokenizer.save_pretrained(TINY)


def assembled(pooling: str, normalize: bool) -> SentenceTransformer:
    transformer = Transformer(str(TINY), max_seq_length=LONGEST)
    modules = [transformer, Pooling(24, pooling_mode=pooling)]
    return SentenceTransformer(modules=modules + ([Normalize()] if normalize else []), device="cpu")


def tokens_of(model: SentenceTransformer, texts: list[str]) -> dict[str, torch.Tensor]:
    rows = [model.tokenize([text])["input_ids"][0] for text in texts]
    cu_seqlens, _ = restarting_positions([len(ids) for ids in rows])
    return {"tokens": torch.cat(rows).int(), "cu_seqlens": cu_seqlens}


def embed(out: Fixture) -> None:
    for pooling in POOLINGS:
        for normalize in (False, True):
            model = assembled(pooling, normalize)
            name = f"{pooling}{'_normalized' if normalize else ''}"
            out.add("embeddings", **{name: torch.tensor(model.encode(SENTENCES))})
    model = assembled("mean", True)
    out.add("texts", **tokens_of(model, SENTENCES))
    model.save(str(TINY))
    for name in ("README.md", "config_sentence_transformers.json"):
        (TINY / name).unlink()
    for path in TINY.rglob("*.safetensors"):
        path.chmod(0o644)


def contrast(out: Fixture) -> None:
    for name, (columns, similarity, scale) in CASES.items():
        model = assembled("mean", False).train()
        loss_of = MultipleNegativesRankingLoss(model, scale=scale, similarity_fct=similarity)
        loss = loss_of([model.tokenize(texts) for texts in columns], None)
        loss.backward()
        samples = [text for sample in zip(*columns) for text in sample]
        out.add(name, loss=loss.reshape(1), **tokens_of(model, samples))
        out.add(f"{name}/grad", **{key: parameter.grad for key, parameter
                                   in model[0].auto_model.named_parameters()
                                   if parameter.grad is not None})
        out.note(**{name: {"texts_per_sample": len(columns), "scale": scale,
                           "cosine": similarity is cos_sim}})


def generate() -> None:
    write_transformer()
    out = Fixture("embeddings")
    out.note(sentences=SENTENCES, query=QUERY, sentence_transformers=version("sentence-transformers"))
    embed(out)
    contrast(out)
    out.write()
