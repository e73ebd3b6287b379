"""Pydantic AI's agents."""

import asyncio

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


@pytest.fixture
def chat(base_url, model):
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=base_url, api_key="none"))


SETTINGS = {"temperature": 0.0, "max_tokens": 128, "parallel_tool_calls": False}


def test_chat_and_history(chat):
    agent = Agent(chat, instructions="Answer in few words.", model_settings=SETTINGS)
    first = agent.run_sync("Name three fruits.")
    assert first.output.strip()
    second = agent.run_sync("And one more?", message_history=first.all_messages())
    assert second.output.strip()
    assert second.usage.input_tokens > first.usage.input_tokens


def test_stream(chat):
    agent = Agent(chat, model_settings=SETTINGS)

    async def ask():
        async with agent.run_stream("Name three fruits.") as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return pieces

    pieces = asyncio.run(ask())
    assert len(pieces) > 2 and "".join(pieces).strip()


class Country(BaseModel):
    """A country."""

    name: str = Field(max_length=30)
    islands: bool


def test_structured_output(chat):
    native = Agent(chat, output_type=NativeOutput(Country, strict=True), model_settings=SETTINGS)
    found = native.run_sync("Describe Indonesia.").output
    assert isinstance(found, Country) and found.name
    # By default an output type is a tool that must be called.
    called = Agent(chat, output_type=Country, model_settings=SETTINGS)
    assert isinstance(called.run_sync("Describe Indonesia.").output, Country)


def test_tools(chat):
    asked = []

    class Report(BaseModel):
        """The end of the work."""

        sky: str = Field(max_length=20)

    async def once(_, definition):
        return None if asked else definition

    agent = Agent(chat, output_type=Report, model_settings=SETTINGS)

    @agent.tool_plain(prepare=once, strict=True)
    def get_weather(days: int) -> str:
        """The weather of the next days."""
        asked.append(days)
        return "clear"

    # Either tool satisfies `required`: with some seed the weather is asked for first.
    for seed in range(8):
        result = agent.run_sync(
            "Call get_weather for 3 days.",
            model_settings={"temperature": 1.0, "max_tokens": 400, "seed": seed},
            usage_limits=UsageLimits(request_limit=4),
        )
        assert isinstance(result.output, Report)
        if asked:
            break
    assert asked, "no seed led to a call"


def test_errors(chat):
    with pytest.raises(ModelHTTPError) as error:
        Agent(chat).run_sync("Hello", model_settings={"temperature": -1.0})
    assert error.value.status_code == 400
