"""gguf/: files that the gguf library wrote: quantized tensors, small models, tokenizers."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy
import torch
from fixture import DATA, normal
from safetensors.numpy import save_file
from safetensors.torch import load_file
from sentencepiece import sentencepiece_model_pb2

FOLDER = DATA / "gguf"
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
ROWS, COLUMNS = 3, 512


def close(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random_blocks(name: str, count: int) -> numpy.ndarray:
    """Any bytes are quants; the half floats among them, which scale a block, are drawn anew to be finite and small."""
    kind = gguf.GGMLQuantizationType[name]
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = torch.randint(0, 256, (count, size), generator=torch.Generator().manual_seed(size)).numpy().astype(numpy.uint8)
    halves = {"Q6_K": [208], "Q4_0": [0], "Q8_0": [0]}.get(name, [0, 2])
    for i, at in enumerate(halves):
        scale = normal(f"gguf/{name}/{i}", count, scale=0.01).numpy().astype(numpy.float16)
        blocks[:, at:at + 2] = scale.view(numpy.uint8).reshape(count, 2)
    return blocks


def quants() -> None:
    """Blocks of random bytes, and what gguf's numpy code makes of them."""
    writer = gguf.GGUFWriter(FOLDER / "quants.gguf", "llama")
    expected = {}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        values = normal(f"gguf/{name}", ROWS, COLUMNS).numpy().astype(numpy.float32)
        if name in ("F32", "F16", "BF16"):
            if name == "F16":
                values[0, :4] = [1e-6, -3e-8, 65504, 6.1e-5]
            stored = gguf.quants.quantize(values, kind)
        else:
            elements, size = gguf.GGML_QUANT_SIZES[kind]
            stored = random_blocks(name, ROWS * COLUMNS // elements).reshape(ROWS, COLUMNS // elements * size)
        writer.add_tensor(name, stored, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(stored, kind).astype(numpy.float32).reshape(ROWS, COLUMNS)
    close(writer)
    save_file(expected, FOLDER / "quants.safetensors",
              metadata={"versions": json.dumps({name: version(name) for name in ("gguf", "numpy")})})
    (FOLDER / "quants.safetensors").chmod(0o644)


NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
         "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name: str) -> str:
    module, kind = name.rsplit(".", 1)
    if not module.startswith("model.layers."):
        return f"{NAMES[module]}.{kind}"
    layer, part = module.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def interleaved(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """llama.cpp's order of the rows of a Llama's queries and keys."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def llama3_divisors(config: dict) -> numpy.ndarray:
    rope = config["rope_parameters"]
    dim, context = config["head_dim"], rope["original_max_position_embeddings"]
    frequencies = 1.0 / rope["rope_theta"] ** (numpy.arange(0, dim, 2) / dim)
    turns = context * frequencies / (2 * numpy.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = numpy.clip((turns - low) / (high - low), 0, 1)
    return (1 / (kept + (1 - kept) / rope["factor"])).astype(numpy.float32)


def model(case: str, architecture: str, name: str) -> None:
    """A model of FAMILY/ as llama.cpp's converter writes it, in fp32."""
    config = json.loads((DATA / case / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    if config["rope_parameters"]["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config))
    for key, tensor in load_file(DATA / case / "model.safetensors").items():
        values = tensor.numpy()
        if architecture == "llama" and ".q_proj" in key:
            values = interleaved(values, heads)
        if architecture == "llama" and ".k_proj" in key:
            values = interleaved(values, kv_heads)
        writer.add_tensor(gguf_name(key), values)
    close(writer)


def vocabulary(name: str, architecture: str = "llama") -> gguf.GGUFWriter:
    return gguf.GGUFWriter(FOLDER / f"{name}.gguf", architecture)


def tokens_of(kind: str) -> tuple[dict, list[str]]:
    document = json.loads((DATA / "tokenizers" / kind / "tokenizer.json").read_text())
    ids = dict(document["model"]["vocab"]) | {token["content"]: token["id"] for token in document["added_tokens"]}
    return document, sorted(ids, key=ids.get)


def bpe() -> None:
    """The kind llama3."""
    document, tokens = tokens_of("llama3")
    special = {token["content"] for token in document["added_tokens"]}
    writer = vocabulary("bpe")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in document["model"]["merges"]])
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_add_bos_token(True)
    close(writer)


def spm() -> None:
    """The kind sp_bpe_bytes."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((DATA / "tokenizers" / "sp_bpe_bytes" / "tokenizer.model").read_bytes())
    writer = vocabulary("spm")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.piece for piece in model.pieces])
    writer.add_token_scores([piece.score for piece in model.pieces])
    writer.add_token_types([piece.type for piece in model.pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    close(writer)


def wordpiece() -> None:
    """The kind bert_files."""
    tokens = (DATA / "tokenizers" / "bert_files" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    control = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

    def marked(token: str) -> str:
        if token in control:
            return token
        return token[2:] if token.startswith("##") else "▁" + token

    writer = vocabulary("wordpiece", "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list([marked(token) for token in tokens])
    writer.add_token_types([gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL for token in tokens])
    writer.add_sep_token_id(tokens.index("[SEP]"))
    writer.add_pad_token_id(tokens.index("[PAD]"))
    close(writer)


def generate() -> None:
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    quants()
    model("llama3_rope", "llama", "llama3_rope")
    model("qwen3_tiny", "qwen3", "qwen3_tiny")
    bpe()
    spm()
    wordpiece()
