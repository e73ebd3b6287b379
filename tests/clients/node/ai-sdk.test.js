// Vercel's AI SDK, by its provider for servers that speak OpenAI's API and by the one for OpenAI.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const name = process.env.TERANG_MODEL ?? "smollm2:135m";
const baseURL = `${process.env.TERANG_URL}/v1`;
const compatible = createOpenAICompatible({
  name: "terang",
  baseURL,
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const official = createOpenAI({ baseURL, apiKey: "none" });
const providers = { compatible: compatible(name), official: official.chat(name) };
const settings = { temperature: 0, maxOutputTokens: 200, maxRetries: 0 };

for (const [provider, model] of Object.entries(providers)) {
  test(`${provider}: text, and its stream says the same`, async () => {
    const wanted = { ...settings, model, prompt: "Name three fruits.", maxOutputTokens: 24 };
    const whole = await generateText(wanted);
    assert.ok(whole.text.trim());
    assert.ok(whole.usage.outputTokens > 0 && whole.usage.outputTokens <= 24);
    const streamed = streamText(wanted);
    let text = "";
    for await (const piece of streamed.textStream) text += piece;
    assert.equal(text, whole.text);
    assert.equal((await streamed.usage).outputTokens, whole.usage.outputTokens);
    assert.equal(await streamed.finishReason, whole.finishReason);
  });

  test(`${provider}: tools are called and results are read`, async () => {
    const asked = [];
    const get_weather = tool({
      description: "The weather in a city.",
      inputSchema: z.object({ city: z.enum(["Jakarta", "Paris"]), days: z.int().min(1).max(9) }),
      execute: async (input) => {
        asked.push(input);
        return { sky: "clear" };
      },
    });
    const result = await generateText({
      ...settings,
      model,
      prompt: "What is the weather in Paris for the next 3 days?",
      tools: { get_weather },
      toolChoice: "required",
      stopWhen: stepCountIs(2),
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
    });
    assert.ok(asked.length >= 1);
    assert.ok(["Jakarta", "Paris"].includes(asked[0].city));
    assert.equal(result.steps.length, 2);
    assert.equal(result.steps[0].finishReason, "tool-calls");
    assert.ok(result.text.trim());
    const streamed = streamText({
      ...settings,
      model,
      prompt: "What is the weather in Jakarta?",
      tools: { get_weather },
      toolChoice: { type: "tool", toolName: "get_weather" },
    });
    const calls = await streamed.toolCalls;
    assert.equal(calls.length, 1);
    assert.equal(calls[0].toolName, "get_weather");
  });

  test(`${provider}: structured output`, async () => {
    const schema = z.object({ name: z.string().max(30), islands: z.boolean() });
    const result = await generateText({
      ...settings,
      model,
      prompt: "Describe Indonesia.",
      output: Output.object({ schema }),
    });
    assert.equal(typeof result.output.islands, "boolean");
  });

  test(`${provider}: errors`, async () => {
    await assert.rejects(
      generateText({ ...settings, model, prompt: "Hello", temperature: -1 }),
      (error) => APICallError.isInstance(error) && error.statusCode === 400 && !error.isRetryable,
    );
  });
}

test("embeddings", async () => {
  const models = [compatible.embeddingModel(name), official.embedding(name)];
  for (const model of models) {
    const { embeddings } = await embedMany({ model, values: ["A cat.", "A dog."], maxRetries: 0 });
    assert.equal(embeddings.length, 2);
    assert.ok(embeddings[0].length > 100);
    assert.notDeepEqual(embeddings[0], embeddings[1]);
  }
});
