"""The texts that embeddings.py and minilm.py embed."""

LONG = "a long text is cut where the model says " * 40

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A woman is playing violin.",
    "Two men pushed carts through the woods.",
    "A cheetah is running behind its prey.",
    "The new movie is awesome!",
    "The dog plays in the garden",
    "Ein Café in Zürich – naïve façade, 東京.",
    "1234.56 % of $99 isn't [UNK] or [SEP]?",
    "x",
    LONG,
]
QUERY = "Somebody has a meal."  # closest to the first
