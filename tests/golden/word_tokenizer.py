"""A tokenizer in which token i is the word `ti`, so that TRL's text pipelines carry chosen token ids."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("<pad>", "<s>", "</s>")


def word_tokenizer(vocab: int, padding_side: str = "right") -> PreTrainedTokenizerFast:
    words = {**{name: i for i, name in enumerate(SPECIAL)},
             **{f"t{i}": i for i in range(len(SPECIAL), vocab)}}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>",
                                   eos_token="</s>", padding_side=padding_side)


def words(ids: Iterable[int]) -> str:
    """Text that the tokenizer turns back into ids."""
    return " ".join(f"t{int(i)}" for i in ids)
