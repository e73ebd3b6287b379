"""LiteLLM, which many tools speak through."""

import json

import litellm
import pytest

MESSAGES = [{"role": "user", "content": "Name three fruits."}]


@pytest.fixture(scope="module")
def place(base_url, model):
    return {"model": f"openai/{model}", "api_base": base_url, "api_key": "none", "num_retries": 0}


def test_chat_and_stream(place):
    wanted = {"messages": MESSAGES, "temperature": 0, "max_tokens": 24}
    whole = litellm.completion(**place, **wanted)
    text = whole.choices[0].message.content
    assert text.strip() and whole.usage.completion_tokens <= 24
    streamed = litellm.completion(**place, **wanted, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == text


def test_tools(place, weather_schema):
    function = {"name": "get_weather", "parameters": weather_schema}
    answer = litellm.completion(
        **place,
        messages=MESSAGES,
        tools=[{"type": "function", "function": function}],
        tool_choice="required",
        temperature=0,
        max_tokens=256,
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert json.loads(message.tool_calls[0].function.arguments).keys() == {"city", "days"}
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "clear"} for call in message.tool_calls
    ]
    final = litellm.completion(**place, messages=[*MESSAGES, message, *results], max_tokens=16)
    assert final.choices[0].message.content.strip()


def test_structured_output(place, weather_schema):
    answer = litellm.completion(
        **place,
        messages=MESSAGES,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "weather", "schema": weather_schema, "strict": True},
        },
        max_tokens=100,
    )
    assert json.loads(answer.choices[0].message.content).keys() == {"city", "days"}


def test_embeddings(place):
    answer = litellm.embedding(**place, input=["A cat.", "A dog."], encoding_format="float")
    assert len(answer.data) == 2
    assert len(answer.data[0]["embedding"]) == len(answer.data[1]["embedding"]) > 100


def test_anthropic_route(url, model):
    answer = litellm.completion(
        model=f"anthropic/{model}",
        api_base=url,
        api_key="none",
        messages=MESSAGES,
        max_tokens=16,
    )
    assert answer.choices[0].message.content.strip()


def test_errors(place):
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**place, "model": "openai/nobody"}, messages=MESSAGES)
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**place, messages=MESSAGES, temperature=-1)
