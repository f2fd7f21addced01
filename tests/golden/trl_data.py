"""What TRL makes of records: token ids and labels of SFT, prompts and answers of preferences.

TRL's own _prepare_dataset runs, on tokenizers of data/tokenizers with chat templates of its forms.
Record i of a case becomes rows[i]; a case has one form of record, as a TRL data set has.
"""

from __future__ import annotations

import random
from types import SimpleNamespace

from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import DPOTrainer, SFTTrainer
from trl.data_utils import extract_prompt

from fixture import DATA, versions, write_json_rows

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# The same with the assistant's parts marked.
CHATML_MARKED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}{{ '\\n' }}{% else %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Llama 2's, whose borders lie inside of what the tokenizer sees as words.
LLAMA2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% else %}{% generation %} {{ message['content'] }}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
)
# No special tokens at all: what the assistant says runs into what surrounds it.
RUN_ON = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}=>{% generation %}{{ message['content'] }}"
    "{% endgeneration %}.{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>"]

WORDS = "the cat Möbius 3.14 sat\n on  a mat, isn't it? 東京 def f(x): 😀 \n\n naïve -- won't 1234567 end.".split(" ")


def text(seed: int, length: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(length)).strip() or "x"


def messages(seed: int, turns: int, system: bool = False) -> list[dict[str, str]]:
    found = [{"role": "system", "content": text(seed + 7, 4)}] if system else []
    for turn in range(turns):
        role = "assistant" if turn % 2 else "user"
        found.append({"role": role, "content": text(seed * 31 + turn, 2 + (seed + turn * 5) % 9)})
    return found


def tokenizer(kind: str, template: str) -> PreTrainedTokenizerFast:
    roles = {"bos_token": "<s>", "eos_token": "</s>"} if kind == "llama2" else {"eos_token": "<|im_end|>"}
    made = PreTrainedTokenizerFast(tokenizer_file=str(DATA / "tokenizers" / kind / "tokenizer.json"))
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.add_special_tokens(roles)
    made.chat_template = template
    return made


def sft(tok: PreTrainedTokenizerFast, records: list[dict], max_length: int, **masks: bool) -> list[dict]:
    """One data set per record, so that what TRL drops leaves a row of its own: null."""
    rows = []
    for record in records:
        trainer = SimpleNamespace(
            _tokenizer=tok, chat_template=None, completion_only_loss=masks["completion_only_loss"]
        )
        args = SimpleNamespace(
            dataset_num_proc=None, dataset_text_field="text", max_length=max_length, truncation_mode="keep_start",
            assistant_only_loss=masks["assistant_only_loss"], use_liger_kernel=False, shuffle_dataset=False,
        )
        made = SFTTrainer._prepare_dataset(
            trainer, Dataset.from_list([record]), tok, args, False, None, "train"
        )
        rows.append({"input_ids": made[0]["input_ids"], "labels": made[0]["labels"]} if len(made) else None)
    return rows


def preferences(tok: PreTrainedTokenizerFast, records: list[dict]) -> list[dict]:
    rows = []
    for record in records:
        args = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
        made = DPOTrainer._prepare_dataset(
            SimpleNamespace(_tokenizer=tok), Dataset.from_list([record]), tok, args, "train"
        )
        rows.append({key: made[0][key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")})
    return rows


def sft_cases() -> list[dict]:
    chats = [messages(seed, 2 + 2 * (seed % 3), seed % 2 == 0) for seed in range(12)]
    no_system = [messages(seed, 2 + 2 * (seed % 3)) for seed in range(12)]
    asked = [{"messages": chat} for chat in chats]
    parts = [{"prompt": chat[:-1], "completion": chat[-1:]} for chat in chats]
    # Byte-level BPE never makes a token across the space that the completion begins with.
    plain = [{"prompt": text(seed, 5).strip(), "completion": " " + text(seed + 99, 4).strip()} for seed in range(12)]
    texts = [{"text": text(seed, 9)} for seed in range(12)]
    cases = []

    def add(name: str, kind: str, template: str, records: list[dict], max_length: int = 10_000, **masks: bool) -> None:
        masks = {"completion_only_loss": True, "assistant_only_loss": False} | masks
        rows = sft(tokenizer(kind, template), records, max_length, **masks)
        cases.append({"name": name, "tokenizer": kind, "template": template, "max_length": max_length, **masks,
                      "records": records, "rows": rows})

    add("chatml_all", "qwen2", CHATML, asked)
    add("chatml_marked", "qwen2", CHATML_MARKED, asked, assistant_only_loss=True)
    add("chatml_marked_short", "qwen2", CHATML_MARKED, asked, max_length=56, assistant_only_loss=True)
    add("chatml_llama3", "llama3", CHATML_MARKED, asked, assistant_only_loss=True)
    add("chatml_parts", "qwen2", CHATML, parts)
    add("chatml_parts_whole", "qwen2", CHATML, parts, completion_only_loss=False)
    add("chatml_parts_marked", "qwen2", CHATML_MARKED, parts, assistant_only_loss=True)
    add("llama2_all", "llama2", LLAMA2, [{"messages": chat} for chat in no_system])
    add("llama2_marked", "llama2", LLAMA2, [{"messages": chat} for chat in no_system], assistant_only_loss=True)
    # transformers leaves out the last tokens of a part whose last character is several tokens; we do not.
    ended = [{"messages": [m | {"content": m["content"] + " end"} for m in chat]} for chat in no_system]
    add("run_on_qwen2", "qwen2", RUN_ON, ended, assistant_only_loss=True)
    add("run_on_gpt2", "digits_gpt2", RUN_ON, ended, assistant_only_loss=True)
    add("plain", "qwen2", CHATML, plain)
    add("plain_whole", "qwen2", CHATML, plain, completion_only_loss=False)
    add("text", "qwen2", CHATML, texts)
    add("text_llama2", "llama2", LLAMA2, texts)
    add("text_short", "qwen2", CHATML, texts, max_length=7)
    return cases


def preference_cases() -> list[dict]:
    def answers(seed: int) -> dict:
        chat = messages(seed, 2 + 2 * (seed % 2), seed % 3 == 0)
        other = [{"role": "assistant", "content": text(seed + 500, 5)}]
        return {"chosen": chat, "rejected": chat[:-1] + other}

    implicit = [answers(seed) for seed in range(8)]
    explicit = [{"prompt": r["chosen"][:-1], "chosen": r["chosen"][-1:], "rejected": r["rejected"][-1:]} for r in implicit]
    plain = [{"prompt": text(seed, 5).strip(), "chosen": " " + text(seed + 50, 3), "rejected": " " + text(seed + 60, 4)}
             for seed in range(8)]
    return [
        {"name": name, "tokenizer": "qwen2", "template": CHATML, "records": records,
         "rows": preferences(tokenizer("qwen2", CHATML), records)}
        for name, records in (("implicit", implicit), ("explicit", explicit), ("plain", plain))
    ]


def extraction_cases() -> list[dict]:
    pairs = [
        ("The sky is blue.", "The sky is green."), ("Same start", "Same start and more"), ("Same", "Same"),
        ("ab", "cd"), ("naïve é", "naïve è"), ("東京は大きい", "東京は小さい"), ("one two", "one  two"), ("a b", "a c"),
        ("Tell me: yes", "Tell me:  no"), ("x", "x"), ("😀 good", "😀 bad"),
    ]
    lists = [(r["chosen"], r["rejected"]) for r in ({"chosen": messages(s, 4), "rejected": messages(s, 3) + [
        {"role": "assistant", "content": "other"}]} for s in range(4))]
    lists.append((messages(3, 4), messages(3, 4)))
    lists.append((messages(3, 2), messages(3, 4)))
    return [{"chosen": c, "rejected": r, **{f"{k}_left" if k != "prompt" else k: v
             for k, v in extract_prompt({"chosen": c, "rejected": r}).items()}} for c, r in pairs + lists]


def generate() -> None:
    write_json_rows(DATA / "trl_data.json", {
        "versions": versions(), "special_tokens": SPECIAL,
        "sft": sft_cases(), "preferences": preference_cases(), "extract_prompt": extraction_cases(),
    })
