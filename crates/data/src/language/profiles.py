#!/usr/bin/env python3
"""Writes profiles.txt from whatlang's source: profiles.py FOLDER_OF_WHATLANG/src > profiles.txt

A line is a language: its ISO 639-3 code, its alphabet, and its most frequent trigrams, the first of them the most
frequent, one behind the other with `_` for a blank.
"""

import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
print("# Languages of the Latin script, from whatlang 0.18 by profiles.py. MIT licence, copyright 2017 Serhii Potapov,")
print("# 2014 Titus Wormer, 2008 Kent S Johnson.")
alphabets = (source / "alphabets/latin.rs").read_text()
alphabets = dict(re.findall(r'const ([A-Z]{3}): &str =\s*"(.*?)";', alphabets))
profiles = (source / "trigrams/profiles.rs").read_text().split("pub static ")
latin = next(part for part in profiles if part.startswith("LATIN_LANGS"))
for name, body in re.findall(r"Lang::(\w+),(.*?)\]", latin, re.S):
    trigrams = re.findall(r"Trigram\('(.)', '(.)', '(.)'\)", body)
    assert len(trigrams) == len(set(trigrams)) == 300, name
    alphabet = alphabets[name.upper()]
    assert len(alphabet) == len(set(alphabet)), name
    print(name.lower(), alphabet, "".join(map("".join, trigrams)).replace(" ", "_"))
