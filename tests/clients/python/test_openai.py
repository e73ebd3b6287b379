"""OpenAI's own Python client."""

import json
import math

import openai
import pytest
from pydantic import BaseModel, ConfigDict

MESSAGES = [{"role": "user", "content": "Name three fruits."}]


@pytest.fixture(scope="module")
def client(base_url):
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def tools(weather_schema):
    function = {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": weather_schema,
        "strict": True,
    }
    return [{"type": "function", "function": function}]


def test_models(client, model):
    assert model in [entry.id for entry in client.models.list()]
    assert client.models.retrieve(model).id == model


def test_chat(client, model):
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, seed=7, max_completion_tokens=24
    )
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.model == model
    assert choice.message.role == "assistant" and choice.message.content.strip()
    assert choice.finish_reason in ("stop", "length")
    assert 0 < answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    again = client.chat.completions.create(
        model=model, messages=MESSAGES, seed=7, max_completion_tokens=24
    )
    assert again.choices[0].message.content == choice.message.content


def test_stream_says_what_the_whole_answer_says(client, model):
    wanted = {"model": model, "messages": MESSAGES, "seed": 7, "max_completion_tokens": 24}
    whole = client.chat.completions.create(**wanted)
    text, reasons, usage = "", [], None
    for chunk in client.chat.completions.create(
        **wanted, stream=True, stream_options={"include_usage": True}
    ):
        assert chunk.object == "chat.completion.chunk"
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    assert text == whole.choices[0].message.content
    assert reasons == [whole.choices[0].finish_reason]
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_several_answers_stops_and_logprobs(client, model):
    answer = client.chat.completions.create(
        model=model,
        messages=MESSAGES,
        n=3,
        seed=1,
        # The model's own is so low that three answers may well be the same.
        temperature=1,
        max_completion_tokens=12,
        logprobs=True,
        top_logprobs=2,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    for choice in answer.choices:
        tokens = choice.logprobs.content
        assert 0 < len(tokens) <= 12
        for token in tokens:
            assert token.logprob <= 0 and len(token.top_logprobs) == 2
            assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
        shown = b"".join(bytes(token.bytes) for token in tokens).decode(errors="ignore")
        assert shown.startswith(choice.message.content)
    stopped = client.chat.completions.create(
        model=model, messages=MESSAGES, temperature=0, max_completion_tokens=48, stop=["."]
    )
    assert "." not in stopped.choices[0].message.content


def test_tools_are_called_and_results_are_read(client, model, tools):
    messages = [{"role": "user", "content": "What is the weather in Paris for the next 3 days?"}]
    answer = client.chat.completions.create(
        model=model, messages=messages, tools=tools, tool_choice="required", seed=3
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    call = message.tool_calls[0]
    assert call.type == "function" and call.function.name == "get_weather" and call.id
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] in ("Jakarta", "Paris") and 1 <= arguments["days"] <= 9
    messages.append(message)
    for call in message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear"}'})
    wanted = {"model": model, "tools": tools, "tool_choice": "none", "max_completion_tokens": 32}
    final = client.chat.completions.create(messages=messages, **wanted)
    assert final.choices[0].message.content and not final.choices[0].message.tool_calls
    without = client.chat.completions.create(messages=messages[:1], **wanted)
    assert final.usage.prompt_tokens > without.usage.prompt_tokens


def test_a_named_tool_is_called_in_a_stream(client, model, tools):
    with client.chat.completions.stream(
        model=model,
        messages=MESSAGES,
        tools=tools,
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        seed=5,
    ) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in events
    assert events.count("tool_calls.function.arguments.done") == 1
    (call,) = final.choices[0].message.tool_calls
    assert call.function.parsed_arguments.keys() == {"city", "days"}


class Fruit(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    colour: str
    sweet: bool


def test_structured_output(client, model):
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "Describe one fruit."}],
        response_format=Fruit,
        temperature=0,
        max_completion_tokens=200,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(answer.choices[0].message.parsed, Fruit)
    # A model that has said so much may be asked further, with all that the client keeps of it.
    further = client.chat.completions.create(
        model=model,
        messages=[*MESSAGES, answer.choices[0].message, *MESSAGES],
        response_format={"type": "json_object"},
        temperature=0,
        max_completion_tokens=64,
    )
    assert further.choices[0].message.content.startswith("{")


def test_completions(client, model):
    prompt = "The capital of France is"
    text = client.completions.create(model=model, prompt=prompt, max_tokens=4, temperature=0)
    assert "Paris" in text.choices[0].text and text.object == "text_completion"
    streamed = client.completions.create(
        model=model, prompt=prompt, max_tokens=4, temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in streamed) == text.choices[0].text
    echoed = client.completions.create(
        model=model, prompt=[prompt, "One two"], max_tokens=1, echo=True, logprobs=1, temperature=0
    )
    assert [choice.index for choice in echoed.choices] == [0, 1]
    first = echoed.choices[0]
    assert first.text.startswith(prompt)
    logprobs = first.logprobs
    assert "".join(logprobs.tokens) == first.text
    assert logprobs.token_logprobs[0] is None
    assert all(logprob < 0 for logprob in logprobs.token_logprobs[1:])
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert first.text[offset : offset + len(token)] == token


def test_embeddings(client, model):
    texts = ["A cat sleeps.", "A kitten is sleeping.", "Interest rates rose by a quarter point."]
    # The client asks for base64 unless told otherwise.
    packed = client.embeddings.create(model=model, input=texts)
    plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
    vectors = [entry.embedding for entry in packed.data]
    assert [entry.index for entry in packed.data] == [0, 1, 2]
    for ours, other in zip(vectors, (entry.embedding for entry in plain.data), strict=True):
        assert max(abs(a - b) for a, b in zip(ours, other, strict=True)) < 1e-6
        assert math.isclose(sum(a * a for a in ours), 1, rel_tol=1e-3)

    def near(a, b):
        return sum(x * y for x, y in zip(vectors[a], vectors[b], strict=True))

    assert near(0, 1) > near(0, 2)
    assert packed.usage.prompt_tokens > 10


def test_errors_have_their_classes(client, model):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert error.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=model, messages=MESSAGES, temperature=-1)
    assert error.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=model, messages=MESSAGES, extra_body={"magic": 1})
    assert "magic" in error.value.message
    long = [{"role": "user", "content": "fruit " * 20_000}]
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=model, messages=long)
    assert error.value.code == "context_length_exceeded"
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=model, messages=MESSAGES, response_format=schema)


def test_a_client_that_leaves_is_no_trouble(client, model):
    stream = client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, max_completion_tokens=512
    )
    next(iter(stream))
    stream.close()
    answer = client.chat.completions.create(
        model=model, messages=MESSAGES, max_completion_tokens=4, timeout=60
    )
    assert answer.choices[0].message.content
