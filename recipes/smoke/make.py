"""Writes text.txt and chats.jsonl beside itself: sentences and conversations in English and Indonesian about
small sums, colours and animals, always the same ones. `python3 recipes/smoke/make.py`"""

import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent
DRAW = random.Random(20)
NUMBERS = {
    "en": "zero one two three four five six seven eight nine ten".split(),
    "id": "nol satu dua tiga empat lima enam tujuh delapan sembilan sepuluh".split(),
}
ANIMALS = [
    ("cat", "kucing", "milk", "susu"), ("dog", "anjing", "bones", "tulang"), ("cow", "sapi", "grass", "rumput"),
    ("bird", "burung", "seeds", "biji"), ("horse", "kuda", "hay", "jerami"), ("rabbit", "kelinci", "carrots", "wortel"),
]
THINGS = [
    ("sky", "langit", "blue", "biru"), ("grass", "rumput", "green", "hijau"), ("milk", "susu", "white", "putih"),
    ("night", "malam", "black", "hitam"), ("rose", "mawar", "red", "merah"), ("lemon", "lemon", "yellow", "kuning"),
]


def fact():
    """A question, its answer, and the answer as a sentence, in one of the two languages."""
    kind, language = DRAW.randrange(3), DRAW.choice(["en", "id"])
    if kind == 0:
        a, b = DRAW.randrange(6), DRAW.randrange(5)
        words = NUMBERS[language]
        if language == "en":
            return f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}, {words[a + b]}."
        return f"Berapa {a} tambah {b}?", f"{a} tambah {b} adalah {a + b}, {words[a + b]}."
    if kind == 1:
        en, id_, food, makanan = DRAW.choice(ANIMALS)
        if language == "en":
            return f"What does a {en} like?", f"A {en} likes {food}."
        return f"Apa yang disukai {id_}?", f"Seekor {id_} suka {makanan}."
    en, id_, colour, warna = DRAW.choice(THINGS)
    if language == "en":
        return f"What colour is the {en}?", f"The {en} is {colour}."
    return f"Apa warna {id_}?", f"Warna {id_} adalah {warna}."


with open(HERE / "text.txt", "w") as out:
    for _ in range(400):
        out.write(" ".join(fact()[1] for _ in range(DRAW.randrange(2, 6))) + "\n\n")
with open(HERE / "chats.jsonl", "w") as out:
    for _ in range(300):
        turns = []
        for _ in range(DRAW.randrange(1, 3)):
            question, answer = fact()
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        out.write(json.dumps({"messages": turns}) + "\n")
