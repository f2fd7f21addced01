"""beams.json: what transformers' generate writes from the small models by beam search and with processed scores."""

from __future__ import annotations

from itertools import product
from importlib.metadata import version

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedModel,
                          PreTrainedTokenizerFast)

from families import VOCAB
from fixture import DATA, write_json_rows
from tiny_llama import packed

FAMILIES = ["llama3_rope", "mistral_tiny", "qwen2_tiny", "qwen3_tiny", "gpt2_tiny", "gpt2_untied", "t5_tiny",
            "t5_gated", "bart_tiny"]
RECORDED = ("torch", "transformers")
PROMPTS = [1, 5, 11]
NEW_TOKENS = 12
OFTEN = 3  # tokens that end a text, so that several beams end in each case

# What each case changes; `ends`: some tokens that the model likes end a text.
SETTINGS: list[dict[str, object]] = [
    {"num_beams": 2},
    {"num_beams": 4, "ends": True},
    {"num_beams": 3, "ends": True, "early_stopping": True},
    {"num_beams": 3, "ends": True, "length_penalty": 2.0},
    {"num_beams": 3, "ends": True, "length_penalty": -0.5},
    {"num_beams": 3, "ends": True, "length_penalty": 1.5, "early_stopping": "never"},
    {"num_beams": 3, "ends": True, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3},
    {"num_beams": 2, "ends": True, "min_new_tokens": 6},
    {"num_beams": 1, "repetition_penalty": 1.4},
    {"num_beams": 1, "no_repeat_ngram_size": 2},
    {"num_beams": 1, "no_repeat_ngram_size": 1},
    {"num_beams": 1, "ends": True, "min_new_tokens": 7},
    {"num_beams": 1, "stops": True},
    {"num_beams": 3, "stops": True},
]
FORCED = [{"num_beams": 1, "forced_bos_token_id": 9, "forced_eos_token_id": 2},
          {"num_beams": 3, "ends": True, "forced_bos_token_id": 9, "forced_eos_token_id": 2}]

# The text of each token, for stop strings: one to three letters.
PIECES = ["".join(letters) for length in (1, 2, 3) for letters in product("abcde", repeat=length)][:VOCAB]


def letters_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(PIECES)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def load(name: str) -> PreTrainedModel:
    kind = AutoModelForSeq2SeqLM if name.startswith(("t5", "bart")) else AutoModelForCausalLM
    return kind.from_pretrained(DATA / name, attn_implementation="eager", dtype=torch.float32).eval()


def liked(model: PreTrainedModel, prompt: torch.Tensor) -> list[int]:
    """Tokens of the text that the model writes, from its fourth on: texts end here and there."""
    out = run(model, prompt, {"num_beams": 1}, [])[0][0]
    return sorted(set(out[3:]))[:OFTEN]


def text_of(tokens: list[int]) -> str:
    return "".join(PIECES[token] for token in tokens)


def stop_strings(model: PreTrainedModel, prompt: torch.Tensor) -> list[str]:
    """One that begins inside a token of the model's own text and ends inside another, and one that never comes."""
    tokens = run(model, prompt, {"num_beams": 1}, [])[0][0]
    begin = len(text_of(tokens[:5])) - 1
    return [text_of(tokens)[begin:begin + 4], "edcbaedcba"]


def run(model: PreTrainedModel, prompt: torch.Tensor, changes: dict[str, object],
        eos: list[int]) -> tuple[list[list[int]], list[float]]:
    decoder = not model.config.is_encoder_decoder
    beams = int(changes["num_beams"])
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, num_return_sequences=beams, pad_token_id=0,
        eos_token_id=eos or None, bos_token_id=1, decoder_start_token_id=model.config.decoder_start_token_id
        if not decoder else None, use_cache=decoder, return_dict_in_generate=True, output_scores=True,
        **{key: value for key, value in changes.items() if key not in ("ends", "stops")})
    model.generation_config = config
    out = model.generate(prompt[None], generation_config=config, attention_mask=torch.ones_like(prompt)[None],
                         tokenizer=letters_tokenizer() if "stop_strings" in changes else None)
    skipped = len(prompt) if decoder else 1
    texts = []
    for row in out.sequences[:, skipped:].tolist():
        stops = changes.get("stop_strings", [])
        ended = [i for i, token in enumerate(row)
                 if token in eos or any(stop in text_of(row[:i + 1]) for stop in stops)]
        texts.append(row[:ended[0] + 1] if ended else row)
    scores = out.sequences_scores.tolist() if beams > 1 else []
    return texts, scores


def case(name: str, model: PreTrainedModel, exact: PreTrainedModel, prompt: torch.Tensor,
         changes: dict[str, object]) -> dict[str, object]:
    eos = liked(model, prompt) if changes.get("ends") else []
    if changes.get("stops"):
        changes = {**changes, "stop_strings": stop_strings(model, prompt)}
    texts, scores = run(model, prompt, changes, eos)
    same, _ = run(exact, prompt, changes, eos)
    assert texts == same, f"{name} {changes}: single precision decides, which makes the test a coin toss"
    return {"model": name, "prompt": prompt.tolist(), "eos": eos, "texts": texts, "scores": scores,
            **{key: value for key, value in changes.items() if key not in ("ends", "stops")}}


def stops_across_the_prompt(made: dict[str, object]) -> bool:
    """transformers finds stop strings that begin in the prompt too."""
    stops = made.get("stop_strings", [])
    return bool(stops) and any(len(text) < NEW_TOKENS and not any(stop in text_of(text) for stop in stops)
                               for text in made["texts"])


def generate() -> None:
    cases = []
    for name in FAMILIES:
        model, exact = load(name), load(name).double()
        settings = SETTINGS + (FORCED if model.config.is_encoder_decoder else [])
        prompts = packed(f"{name}/beams", VOCAB, PROMPTS)
        for i, changes in enumerate(settings):
            for prompt in prompts if i < 2 else [prompts[1 + i % 2]]:
                made = case(name, model, exact, prompt.long(), changes)
                if not stops_across_the_prompt(made):
                    cases.append(made)
    write_json_rows(DATA / "beams.json", {"versions": {name: version(name) for name in RECORDED}, "new_tokens": NEW_TOKENS, "pieces": PIECES, "cases": cases})
