"""OpenAI's asynchronous client: many requests at once, each with its own answer."""

import asyncio

import openai


def test_together_as_alone(base_url, model):
    def wanted(seed):
        return {
            "model": model,
            "messages": [{"role": "user", "content": f"Tell me about the number {seed}."}],
            "seed": seed,
            "temperature": 1.0,
            "max_completion_tokens": 16,
        }

    async def text(client, seed):
        answer = ""
        async for chunk in await client.chat.completions.create(**wanted(seed), stream=True):
            answer += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        return answer

    async def ask():
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            together = await asyncio.gather(*(text(client, seed) for seed in range(12)))
            alone = [await text(client, seed) for seed in (0, 5, 11)]
            return together, alone

    together, alone = asyncio.run(ask())
    assert all(together) and len(set(together)) > 6
    assert [together[0], together[5], together[11]] == alone
