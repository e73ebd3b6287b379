"""OpenAI's Responses API by its own client."""

import json

import httpx
import openai
import pytest


@pytest.fixture(scope="module")
def client(url, base_url):
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    if "/v1/responses" not in paths:
        pytest.skip("this server has no /v1/responses")
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def test_answer_and_next_turn(client, model):
    first = client.responses.create(
        model=model,
        instructions="Answer in few words.",
        input="Name three fruits.",
        max_output_tokens=24,
    )
    assert first.object == "response" and first.status in ("completed", "incomplete")
    assert first.output_text.strip() and 0 < first.usage.output_tokens <= 24
    assert client.responses.retrieve(first.id).output_text == first.output_text
    second = client.responses.create(
        model=model, previous_response_id=first.id, input="And one more?", max_output_tokens=16
    )
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_stream(client, model):
    text, kinds = "", []
    with client.responses.stream(
        model=model, input="Name three fruits.", max_output_tokens=24
    ) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
            # Not get_final_response(): it knows of completed answers alone, and one that has met
            # its limit of tokens is incomplete.
            if event.type in ("response.completed", "response.incomplete"):
                final = event.response
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert text and text == final.output_text


def test_tools(client, model, weather_schema):
    tool = {"type": "function", "name": "get_weather", "parameters": weather_schema, "strict": True}
    asked = {"role": "user", "content": "What is the weather in Paris for 3 days?"}
    answer = client.responses.create(
        model=model, input=[asked], tools=[tool], tool_choice="required"
    )
    calls = [item for item in answer.output if item.type == "function_call"]
    assert calls and calls[0].name == "get_weather"
    assert json.loads(calls[0].arguments).keys() == {"city", "days"}
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "clear"}
        for call in calls
    ]
    final = client.responses.create(
        model=model,
        input=[asked, *answer.output, *results],
        tools=[tool],
        tool_choice="none",
        max_output_tokens=24,
    )
    assert final.output_text


def test_structured_output(client, model, weather_schema):
    answer = client.responses.create(
        model=model,
        input="Which city, and for how many days?",
        text={
            "format": {
                "type": "json_schema",
                "name": "weather",
                "schema": weather_schema,
                "strict": True,
            }
        },
    )
    assert json.loads(answer.output_text).keys() == {"city", "days"}
