"""Where the server is. It runs already: `tests/clients/run.sh` starts the real binary."""

import os

import pytest

# Clients that tell others about their use have no business in a test.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")


@pytest.fixture(scope="session")
def url():
    """The server's address, without a path."""
    return os.environ["TERANG_URL"]


@pytest.fixture(scope="session")
def base_url(url):
    """What programs for OpenAI's API are given."""
    return f"{url}/v1"


@pytest.fixture(scope="session")
def model():
    """The model's name."""
    return os.environ.get("TERANG_MODEL", "smollm2:135m")


WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Jakarta", "Paris"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.fixture(scope="session")
def weather_schema():
    """Arguments that leave a small model little to do wrong."""
    return WEATHER
