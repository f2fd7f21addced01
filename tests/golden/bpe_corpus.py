"""The training text of the tokenizer fixture (about 60 KB): written for it, by seeded templates."""

from __future__ import annotations

import random

NOUNS = """river lantern engine harbour teacher window orchard theorem violin mountain garden compiler
market letter winter kitchen signal island machine question morning library captain shadow recipe
village pencil bridge festival memory village sailor clock forest gradient matrix journey""".split()
VERBS = """carried followed measured forgot repaired described painted remembered answered crossed
counted opened wrote believed collected discovered tuned compared ignored built""".split()
ADJECTIVES = """quiet bright narrow patient hollow careful golden sudden ancient gentle restless
curious broken frozen simple distant electric unlikely warm stubborn""".split()
PLACES = ["behind the old mill", "in the north of the city", "under the railway bridge",
          "at the edge of the map", "near the lighthouse", "on the second floor",
          "between two hills", "far from the sea", "inside the glass house"]
CLAUSES = ["because nobody had asked", "although it was raining", "before the bell rang",
           "while the others slept", "as if nothing had happened", "until the lamps went out"]
SPOKEN = ["I don't think we'll make it", "you're right, it's late", "they've already gone, haven't they",
          "she'd rather stay", "we can't wait any longer", "I'm sure he'll understand",
          "that's what I said, isn't it", "DON'T TOUCH IT", "let's see what they've found"]
OTHERS = [
    "Der Fluss fließt langsam durch das alte Städtchen, und über die Brücke gehen müde Händler.",
    "La lumière du matin éclaire la fenêtre où l'élève rêve déjà de l'été prochain.",
    "El niño soñó con un pingüino que cantaba en la montaña, ¿quién lo habría creído?",
    "O coração da cidade não dorme: às três da manhã ainda há música nas ruas.",
    "Мальчик открыл окно и увидел, что за ночь выпал первый снег.",
    "Η θάλασσα ήταν ήρεμη και ο ήλιος έδυε πίσω από τα νησιά.",
    "春になると、川のそばの桜が一斉に咲きます。",
    "昨天晚上下了一场大雨,今天早晨空气很新鲜。",
    "봄이 오면 강가의 벚꽃이 한꺼번에 핍니다.",
    "كان البحر هادئا والسماء صافية في ذلك المساء.",
    "הילד פתח את החלון וראה את השלג הראשון.",
    "नदी के किनारे एक पुराना पेड़ खड़ा है।",
    "Dzięki, że przyszedłeś; łódka czeka już przy brzegu.",
    "Göz alabildiğine uzanan bahçede çiçekler açmıştı.",
]
CODE = [
    "for (int i = 0; i < count; ++i) {\n    total += values[i];\n}\n",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "if (error != nullptr) {\n  return Status::failed(error->message());\n}\n",
    "SELECT name, age FROM people WHERE age >= 18 ORDER BY name;\n",
    "{\"step\": 120, \"loss\": 2.7183, \"lr\": 3e-4}\n",
    "\tmake -j8 && ./run --steps=1000 --seed 42\r\n",
    "https://example.org/docs/index.html?page=2&sort=asc#top\n",
]
EMOJI = "😀 🎉 🚀 ❤️ 👍🏽 👨‍👩‍👧 🌍 ☕".split()


def sentence(rng: random.Random) -> str:
    subject = f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    target = f"{rng.choice(['a', 'every', 'the', 'some'])} {rng.choice(NOUNS)}"
    text = f"{subject} {rng.choice(VERBS)} {target} {rng.choice(PLACES)}"
    if rng.random() < 0.4:
        text += f", {rng.choice(CLAUSES)}"
    return text[0].upper() + text[1:] + rng.choice([".", ".", ".", "!", "?", "..."])


def numbers(rng: random.Random) -> str:
    return (f"On {rng.randint(1, 28)}/{rng.randint(1, 12)}/{rng.randint(1900, 2030)} the "
            f"{rng.choice(NOUNS)} cost ${rng.randint(1, 9999):,}.{rng.randint(0, 99):02d}, "
            f"up {rng.random() * 100:.1f}% from {rng.randint(10, 999)}.")


def paragraph(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.55:
        return " ".join(sentence(rng) for _ in range(rng.randint(2, 6))) + "\n"
    if kind < 0.65:
        return f'"{rng.choice(SPOKEN)}," said the {rng.choice(NOUNS)}. "{rng.choice(SPOKEN)}."\n'
    if kind < 0.75:
        return numbers(rng) + "  " + numbers(rng) + "\n"
    if kind < 0.88:
        return rng.choice(OTHERS) + "\n"
    if kind < 0.95:
        return rng.choice(CODE)
    return f"{rng.choice(SPOKEN)} {' '.join(rng.choices(EMOJI, k=rng.randint(1, 4)))}\n"


def corpus(size: int = 60_000) -> str:
    rng = random.Random("tandem corpus")
    parts, length = [], 0
    while length < size:
        part = paragraph(rng) + rng.choice(["", "", "\n", "\n\n", "   \n"])
        parts.append(part)
        length += len(part.encode())
    return "".join(parts)
