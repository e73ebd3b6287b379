"""Schemathesis makes requests from the document that the server hands out: whatever they hold, the
server never answers that something is wrong with itself.

Time and size are bounded: few examples, answers of few tokens. The seed is fixed, so that what failed
once fails again.
"""

import time

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

# In all; each operation has its share.
SECONDS = 120
EXAMPLES = 25
# Requests that are right but long to answer prove nothing more.
TOKENS_MAX = 2
LENGTHS = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
# What may be answered with a status of 500 and more: the server is busy, and says until when.
BUSY = 503


def shorten(path, body, model):
    """Keeps valid requests cheap, and lets most of them reach the model."""
    if not isinstance(body, dict):
        return
    if isinstance(body.get("model"), str):
        body["model"] = model
    if path in LENGTHS:
        for name in LENGTHS.values():
            body.pop(name, None)
        body[LENGTHS[path]] = TOKENS_MAX


def attack(operation, mode, model, until):
    counts = {}

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        if time.monotonic() > until:
            return
        if mode == GenerationMode.POSITIVE:
            shorten(operation.path, case.body, model)
        response = case.call(timeout=60)
        status = response.status_code
        counts[status] = counts.get(status, 0) + 1
        assert status < 500 or status == BUSY, (
            f"{status} {response.text}\n{case.as_curl_command()}"
        )
        if status == BUSY:
            assert "Retry-After" in {name.title() for name in response.headers}
        if status >= 400:
            assert response.json()["error"]["message"], response.text

    try:
        ask()
    except Unsatisfiable:
        assert mode == GenerationMode.NEGATIVE, "an operation that takes nothing takes nothing wrong"
    return counts


def test_no_request_breaks_the_server(url, model):
    assert httpx.get(f"{url}/openapi.json").json()["openapi"].startswith("3.1")
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    paths = {operation.path for operation in operations}
    assert {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages"} <= paths
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    answered = 0
    for operation in operations:
        for mode in modes:
            until = time.monotonic() + SECONDS / len(operations) / len(modes)
            counts = attack(operation, mode, model, until)
            answered += sum(counts.values())
            print(operation.label, mode.value, counts)
    assert answered > 10 * len(operations)
    assert httpx.get(f"{url}/health/ready").status_code == 200
