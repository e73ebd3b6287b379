"""Anthropic's own Python client."""

import anthropic
import pytest

# The client's own types have no temperature any more; the API has.
SURE = {"extra_body": {"temperature": 0}}
MESSAGES = [{"role": "user", "content": "Name three fruits."}]


@pytest.fixture(scope="module")
def client(url):
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def tools(weather_schema):
    return [
        {
            "name": "get_weather",
            "description": "The weather in a city.",
            "input_schema": weather_schema,
        }
    ]


def test_message(client, model):
    answer = client.messages.create(
        model=model, system="Answer in few words.", messages=MESSAGES, max_tokens=24
    )
    assert answer.type == "message" and answer.role == "assistant" and answer.model == model
    (block,) = answer.content
    assert block.type == "text" and block.text.strip()
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert 0 < answer.usage.output_tokens <= 24
    counted = client.messages.count_tokens(
        model=model, system="Answer in few words.", messages=MESSAGES
    )
    read = answer.usage.input_tokens + answer.usage.cache_read_input_tokens
    assert counted.input_tokens == read


def test_stream_says_what_the_whole_answer_says(client, model):
    wanted = {"model": model, "messages": MESSAGES, "max_tokens": 24, **SURE}
    whole = client.messages.create(**wanted)
    with client.messages.stream(**wanted) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text and text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_stop_sequence(client, model):
    answer = client.messages.create(
        model=model, messages=MESSAGES, max_tokens=64, stop_sequences=["."], **SURE
    )
    assert answer.stop_reason == "stop_sequence" and answer.stop_sequence == "."
    assert "." not in answer.content[0].text


def test_tools_are_called_and_results_are_read(client, model, tools):
    asked = {"role": "user", "content": "What is the weather in Paris for the next 3 days?"}
    with client.messages.stream(
        model=model,
        messages=[asked],
        tools=tools,
        tool_choice={"type": "any"},
        max_tokens=256,
        **SURE,
    ) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_message()
    assert "input_json" in kinds and answer.stop_reason == "tool_use"
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert calls[0].name == "get_weather"
    assert calls[0].input["city"] in ("Jakarta", "Paris") and 1 <= calls[0].input["days"] <= 9
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": "clear"} for call in calls
    ]
    final = client.messages.create(
        model=model,
        messages=[
            asked,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ],
        tools=tools,
        tool_choice={"type": "none"},
        max_tokens=32,
    )
    assert final.content[0].type == "text" and final.content[0].text.strip()


def test_errors_have_their_classes(client, model):
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.create(model="nobody", messages=MESSAGES, max_tokens=8)
    assert error.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError) as error:
        client.messages.create(
            model=model, messages=MESSAGES, max_tokens=8, extra_body={"magic": 1}
        )
    assert error.value.body["type"] == "error"
    assert error.value.body["error"]["type"] == "invalid_request_error"
    assert "magic" in error.value.body["error"]["message"]
