// OpenAI's own client for Node.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = process.env.TERANG_MODEL ?? "smollm2:135m";
const client = new OpenAI({
  baseURL: `${process.env.TERANG_URL}/v1`,
  apiKey: "none",
  maxRetries: 0,
});
const messages = [{ role: "user", content: "Name three fruits." }];
const parameters = {
  type: "object",
  properties: {
    city: { type: "string", enum: ["Jakarta", "Paris"] },
    days: { type: "integer", minimum: 1, maximum: 9 },
  },
  required: ["city", "days"],
  additionalProperties: false,
};

test("chat, and its stream says the same", async () => {
  const wanted = { model, messages, seed: 7, max_completion_tokens: 24 };
  const whole = await client.chat.completions.create(wanted);
  assert.equal(whole.object, "chat.completion");
  assert.ok(whole.choices[0].message.content.trim());
  assert.ok(whole.usage.completion_tokens <= 24);
  const stream = client.chat.completions.stream({
    ...wanted,
    stream_options: { include_usage: true },
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  assert.equal(text, whole.choices[0].message.content);
  const final = await stream.finalChatCompletion();
  assert.equal(final.usage.completion_tokens, whole.usage.completion_tokens);
});

test("tools run until the model has an answer", async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    model,
    messages: [{ role: "user", content: "What is the weather in Paris for 3 days?" }],
    temperature: 0,
    max_completion_tokens: 200,
    tool_choice: { type: "function", function: { name: "get_weather" } },
    tools: [
      {
        type: "function",
        function: {
          name: "get_weather",
          description: "The weather in a city.",
          parameters,
          strict: true,
          parse: JSON.parse,
          function: (input) => {
            asked.push(input);
            return "clear";
          },
        },
      },
    ],
  });
  const completion = await runner.finalChatCompletion();
  assert.equal(asked.length, 1);
  assert.ok(["Jakarta", "Paris"].includes(asked[0].city));
  assert.ok(asked[0].days >= 1 && asked[0].days <= 9);
  assert.ok(completion.choices[0].message);
});

test("structured output", async () => {
  const Fruit = z.object({ name: z.string(), colour: z.string(), sweet: z.boolean() });
  const answer = await client.chat.completions.parse({
    model,
    messages: [{ role: "user", content: "Describe one fruit." }],
    response_format: zodResponseFormat(Fruit, "fruit"),
    temperature: 0,
    max_completion_tokens: 200,
  });
  assert.equal(typeof answer.choices[0].message.parsed.sweet, "boolean");
  Fruit.parse(answer.choices[0].message.parsed);
});

test("completions and embeddings", async () => {
  const text = await client.completions.create({
    model,
    prompt: "The capital of France is",
    max_tokens: 4,
    temperature: 0,
  });
  assert.match(text.choices[0].text, /Paris/);
  const input = ["A cat sleeps.", "A kitten is sleeping."];
  const packed = await client.embeddings.create({ model, input });
  const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
  assert.equal(packed.data.length, 2);
  const [ours, theirs] = [packed.data[1].embedding, plain.data[1].embedding];
  assert.equal(ours.length, theirs.length);
  assert.ok(ours.every((value, at) => Math.abs(value - theirs[at]) < 1e-6));
});

test("errors have their classes", async () => {
  await assert.rejects(
    client.chat.completions.create({ model: "nobody", messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
  await assert.rejects(
    client.chat.completions.create({ model, messages, temperature: -1 }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
  );
});

test("a stream that is left ends", async () => {
  const stream = await client.chat.completions.create({
    model,
    messages,
    stream: true,
    max_completion_tokens: 512,
  });
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    break;
  }
  assert.ok(stream.controller.signal.aborted);
  const next = await client.chat.completions.create({ model, messages, max_completion_tokens: 2 });
  assert.ok(next.usage.completion_tokens <= 2);
});
