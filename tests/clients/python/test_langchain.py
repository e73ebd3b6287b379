"""LangChain by `langchain-openai`."""

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field


@pytest.fixture(scope="module")
def chat(base_url, model):
    return ChatOpenAI(
        base_url=base_url,
        api_key="none",
        model=model,
        temperature=0,
        max_tokens=128,
        max_retries=0,
        # The default asks for it where the base URL is OpenAI's own alone.
        stream_usage=True,
    )


def test_chat_and_stream(chat):
    whole = chat.invoke("Name three fruits.")
    assert whole.content.strip() and whole.usage_metadata["output_tokens"] > 0
    chunks = list(chat.stream("Name three fruits."))
    assert len(chunks) > 2
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert total.content == whole.content
    assert total.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def test_tools(chat):
    bound = chat.bind_tools([multiply], tool_choice="any", strict=True)
    asked = HumanMessage("What is 6 times 7?")
    answer = bound.invoke([asked])
    assert answer.tool_calls and not answer.invalid_tool_calls
    results = [multiply.invoke(call) for call in answer.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    first = answer.tool_calls[0]["args"]
    assert results[0].content == str(first["a"] * first["b"])
    final = chat.bind_tools([multiply], tool_choice="none").invoke([asked, answer, *results])
    assert final.content.strip() and not final.tool_calls


class Country(BaseModel):
    """A country."""

    name: str = Field(max_length=30)
    islands: bool


def test_structured_output(chat):
    for method in ("json_schema", "function_calling"):
        found = chat.with_structured_output(Country, method=method).invoke("Describe Indonesia.")
        assert isinstance(found, Country) and found.name


def test_embeddings(base_url, model):
    # Cutting texts by OpenAI's own tokenizer would fetch it from the network.
    embeddings = OpenAIEmbeddings(
        base_url=base_url, api_key="none", model=model, check_embedding_ctx_length=False
    )
    cat, kitten, rates = embeddings.embed_documents(
        ["A cat sleeps.", "A kitten is sleeping.", "Interest rates rose by a quarter point."]
    )

    def near(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(cat, kitten) > near(cat, rates)
    query = embeddings.embed_query("A cat sleeps.")
    assert max(abs(x - y) for x, y in zip(query, cat, strict=True)) < 1e-4


def test_errors(chat):
    with pytest.raises(openai.BadRequestError):
        chat.bind(presence_penalty=99).invoke("Hello")
