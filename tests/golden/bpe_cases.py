"""Strings that a byte-level BPE tokenizer gets wrong first."""

from __future__ import annotations

import random
import unicodedata

WRITTEN = """The quiet lantern carried a theorem.
don't DON'T Don't we'll they've I'm I'M it's IT'S she'd you're 's 't 're 've 'm 'll 'd ''s
'S 'T 'RE 'LL ’s don’t
12345 1,234.56 3e-4 0x1F 2²³ ½ Ⅷ ٣٤٥ १२३ 〇一二 ₁₂ ①②
abc123def 123abc a1b2c3 v1.2.3-rc4
Grüße, Ärger, naïve café coöperate façade Ångström œuvre straße ẞ
Привет, мир! Как дела? Ещё ёлка.
Ελληνικά κείμενα με τόνους· ά έ ή.
日本語のテキスト、カタカナ、ひらがな。漢字かな交じり文
中文字符测试,没有空格。繁體中文
한국어 문장을 시험합니다.
שלום עולם עִבְרִית
مرحبا بالعالم العَرَبِيَّة
नमस्ते दुनिया हिन्दी क्षत्रिय
สวัสดีชาวโลก ภาษาไทย
ქართული Հայերեն አማርኛ ᏣᎳᎩ
Tiếng Việt: Một ngày đẹp trời
ǅ ǈ ʰʲ ª º ﬁ ﬂ Ａｂｃ １２３ ｶﾀｶﾅ
😀😃😄 🎉 👍🏽👍🏿 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ ☕ ™ © €£¥
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𐍈 𓀀 🂡
e\u0301 a\u0308 n\u0303 \u0301 Z\u0351\u036b\u0343 x\u20dd
zero\u200bwidth \u200d \u200c \ufeff soft\u00adhyphen
nbsp\u00a0between \u00a0\u00a0two \u2003em \u3000ideographic\u3000 \u202f \u1680 \u0085next
line\u2028separator\u2029paragraph
tab\tseparated\t\tvalues \t mixed \t\t end\t
control \x00\x01\x02\x1b[31m\x7f\x80\x9f end
<|endoftext|> a<|endoftext|>b <|pad|><|endoftext|> < |endoftext|> <|endoftext|
<|ENDOFTEXT|> <|endoftext|><|endoftext|> x <|pad|> y
!!! ??? ... --- === *** ~~~ ### @@ $$ %% ^^ && (()) [[]] {{}} <<>> || \\\\ // '' "" ``
a.b,c;d:e!f?g-h_i=j+k*l/m%n^o&p|q~r
_underscore_ __init__ snake_case camelCase PascalCase SCREAMING_SNAKE
https://example.org/a/b?c=d&e=f#g user@example.org C:\\\\path\\\\file.txt
SELECT * FROM t WHERE a >= 10 AND b <> 'x';
if (a[i] != b->c) { return f(x, y); } // comment
{"key": [1, 2.5, null, true], "näme": "välue"}
½ + ¼ = ¾, 5 × 3 ÷ 2 ≈ 7.5, √2 ∈ ℝ, ∑∏∫ ∀x∃y""".split("\n")

WHITESPACE = ["", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", " \n ", "\t", "\t\t ", "\r\n", " \t\n\r",
              "a ", " a", "  a", "   a", "a  b", "a   b", "a\nb", "a\n\nb", "a \n b", "a\n b", "a \nb",
              "\n\n\na", "a\n\n\n", "  \n  a  \n  ", "\u00a0", "\u00a0a", "a\u00a0", " \u00a0a",
              "\u3000\u3000a", "  1", " 1  2", "  !", " !  ?", "  's", " 's", "a 's", "a  's", "\v\fa",
              "carriage\rreturn \r\n windows \r\n\r\n twice",
              "    def f(x):\n        return x\n", "a" + " " * 40 + "b", " " * 100, "\n" * 60]

RUNS = ["a" * 1000, "ab" * 400, "the " * 200, "the" * 200, "é" * 300, "漢" * 200, "😀" * 60, "0" * 500,
        "1234567890" * 30, "!" * 400, "=-" * 150, "-" * 333, " a" * 150, "a b" * 100, "\t" * 77,
        "word" * 250, "aA" * 100, "a1" * 120, "'" * 90, "'s" * 80, "\u0301" * 50, "e\u0301" * 80]

POOLS = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", " ", "  ", "\n", "\t",
         ".,;:!?-_'\"()[]{}<>/\\|@#$%^&*+=~`", "äöüßéèêñçåøæ", "абвгдежзиклмнопрстуя", "αβγδεζηθικλμ",
         "日本語漢字かなカナ", "한국어문장", "ابتثجحخ", "😀🎉🚀❤👍🌍", "\u00a0\u2003\u3000", "\u0301\u0308"]
WORDS = """the quiet lantern river don't we'll it's carried 2024 3.14 über été мир 春 😀 , . ! -- ... "yes"
(no) measured gradient\n\n \t <|endoftext|>""".split(" ")


def stable_characters() -> list[str]:
    """Characters whose class has not changed since Unicode 3.2, so that any table agrees on them."""
    old = unicodedata.ucd_3_2_0
    return [chr(c) for c in range(0x20, 0x110000)
            if old.category(chr(c)) not in ("Cn", "Cs", "Co")
            and old.category(chr(c))[0] == unicodedata.category(chr(c))[0]]


def generated(count: int) -> list[str]:
    rng = random.Random("tandem cases")
    stable = stable_characters()
    texts = []
    for i in range(count):
        if i % 3 == 0:
            texts.append("".join(rng.choice(rng.choice(POOLS)) for _ in range(rng.randint(1, 60))))
        elif i % 3 == 1:
            texts.append(rng.choice(["", " "]).join(rng.choices(WORDS, k=rng.randint(1, 12))))
        else:
            texts.append("".join(rng.choice(stable) + rng.choice(["", "", " ", "a", "1"])
                                 for _ in range(rng.randint(1, 24))))
    return texts


def written() -> list[str]:
    unescaped = [line.replace("\\\\", "\\") for line in WRITTEN]
    words = [word for line in unescaped[:6] for word in line.split(" ")]
    return list(dict.fromkeys([*WHITESPACE, *unescaped, *words, *RUNS]))
