"""What the clients ask: texts cut from a book, each beginning elsewhere, so that no cache helps where
none is meant to."""

import random
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1] / "data" / "rust-book.txt"

PROMPT_TOKENS = 128
ANSWER_TOKENS = 64
CHAT_TOKENS = 2000
MIXED_REQUESTS = 2000

QUESTIONS = [
    "What does the text say about ownership?", "Name one thing that the text warns about.",
    "Which word comes up most often?", "Is this about a compiler or a language?",
    "What would you ask its author?", "How would you call this chapter?",
]


class Book:
    """The book as a model's tokens."""

    def __init__(self, server):
        self.server = server
        body = {"prompt": BOOK.read_text(), "add_special_tokens": False}
        self.tokens = server.post("/tokenize", body)["tokens"]

    def text(self, begin, count):
        tokens = self.tokens[begin:begin + count]
        return self.server.post("/detokenize", {"tokens": tokens})["prompt"]

    def texts(self, how_many, count):
        """So many texts of so many tokens. They may overlap, but no two begin alike."""
        step = (len(self.tokens) - count) // how_many
        return [self.text(index * step, count) for index in range(how_many)]


def completion(prompt, answer_tokens=ANSWER_TOKENS, **more):
    """A streamed answer of just so many tokens, the same in every run."""
    return {"path": "/v1/completions", "body": {
        "model": "model", "prompt": prompt, "max_tokens": answer_tokens, "ignore_eos": True,
        "temperature": 0, "stream": True, "stream_options": {"include_usage": True}, **more}}


def chat(messages, answer_tokens=ANSWER_TOKENS, **more):
    return {"path": "/v1/chat/completions", "body": {
        "model": "model", "messages": messages, "max_tokens": answer_tokens, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True}, **more}}


def said(role, text):
    return {"role": role, "content": text}


def mixed(book):
    """What a day brings: mostly short requests, some long, some abandoned."""
    chance = random.Random(1)
    texts = book.texts(200, PROMPT_TOKENS)
    long_texts = book.texts(20, CHAT_TOKENS // 2)
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
                                               "pages": {"type": "integer"}},
              "required": ["name", "pages"], "additionalProperties": False}

    def one():
        # What comes before the text makes each prompt new to the cache.
        text = f"{chance.randrange(10**6)}. {chance.choice(texts)}"
        short = [said("user", text[:200])]
        kind = chance.random()
        if kind < 0.4:
            return completion(text)
        if kind < 0.6:
            return chat(short, 32, temperature=1, seed=chance.randrange(2**31))
        if kind < 0.7:
            return completion(f"{chance.randrange(10**6)}. {chance.choice(long_texts)}", 16)
        if kind < 0.8:
            return {**completion(text), "leave_after": 5}
        if kind < 0.85:
            return {"path": "/v1/completions", "body": {
                "model": "model", "prompt": text, "max_tokens": 24, "n": 2, "seed": 1}}
        if kind < 0.9:
            form = {"type": "json_schema",
                    "json_schema": {"name": "book", "strict": True, "schema": schema}}
            return chat(short, 48, response_format=form)
        if kind < 0.95:
            return {"path": "/v1/embeddings", "body": {"model": "model", "input": text}}
        return {"path": "/tokenize", "body": {"prompt": text}}

    return [one() for _ in range(MIXED_REQUESTS)]
