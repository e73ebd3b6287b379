"""Writes what `transformers` makes of chat templates, as fixtures of the Rust tests.

Usage: template_fixtures.py OUT.json SOURCE ...
where SOURCE is NAME=tokenizer_config.json, NAME=FILE.gguf, or a wheel of the Python package `xinference`,
whose model list holds the templates of many families.

The templates' own licences allow use, not all of them redistribution: the output stays out of the repository
(see tests/fixtures/templates/README.md for those that are kept in it).
"""
import datetime
import json
import sys
import zipfile

import transformers.utils.chat_template_utils as reference

NOW = 1_735_689_599  # 2024-12-31 23:59:59 UTC


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc)


for name in ("datetime",):
    if hasattr(reference, name):
        setattr(reference, name, FixedDate)

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city, \"now\" <b>&</b> später",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "Nama kota"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "default": 1}, "ratio": {"type": "number", "default": 0.5}},
        "required": ["city"]}}}
SUM = {"type": "function", "function": {"name": "sum", "description": "Adds.", "parameters": {
    "type": "object", "properties": {"numbers": {"type": "array", "items": {"type": "number"}}}, "required": ["numbers"]}}}


def call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


CONVERSATIONS = {
    "plain": [user("Hello, who are you?")],
    "system": [system("You are terse."), user("What is 2+2?")],
    "turns": [user("Hi"), assistant("Hello! How can I help?"), user("Name three fruits."), assistant("Apple, pear, fig."),
              user("And in Indonesian?")],
    "system_turns": [system("  Padded.  \n"), user(" Spaces \n"), assistant("\n\nLines\n\n"), user("x")],
    "unicode": [system("Jawab dalam bahasa Indonesia."), user("你好 🙂 مرحبا नमस्ते \u200d \u00a0 \\n {{ x }} {% y %}")],
    "empty": [user(""), assistant(""), user("x")],
    "thinking": [user("q"), assistant("<think>\nhmm\n</think>\n\nanswer"), user("why?")],
    "ends_with_assistant": [user("q"), assistant("prefix")],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "part one"}, {"type": "text", "text": "part two"}]}],
    "two_systems": [system("a"), system("b"), user("c")],
    "markup": [user("<b>&amp;\"quoted\" 'single'</b>"), assistant("```json\n{\"a\": [1, 2]}\n```"), user("ok")],
    "long": [m for i in range(20) for m in (user(f"question {i}"), assistant(f"answer {i}"))] + [user("last")],
}
TOOL_CONVERSATIONS = {
    "tools": [user("Weather in Jakarta?")],
    "tools_system": [system("Use tools."), user("Weather in Jakarta?")],
    "tool_call": [user("Weather in Jakarta?"),
                  assistant(None, tool_calls=[call("abcdefghi", "get_weather", {"city": "Jakarta", "days": 2})]),
                  {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": "{\"temp\": 31.5}"}],
    "tool_answer": [user("Weather in Jakarta?"),
                    assistant("", tool_calls=[call("abcdefghi", "get_weather", {"city": "Yogyakarta é", "unit": "celsius"})]),
                    {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": "31 °C"},
                    assistant("It is 31 °C."), user("Thanks, and 1+2?")],
    "two_calls": [user("Both?"),
                  assistant("", tool_calls=[call("aaaaaaaaa", "get_weather", {"city": "A"}),
                                            call("bbbbbbbbb", "sum", {"numbers": [1, 2.0, 1e-7, True, None]})]),
                  {"role": "tool", "tool_call_id": "aaaaaaaaa", "name": "get_weather", "content": "warm"},
                  {"role": "tool", "tool_call_id": "bbbbbbbbb", "name": "sum", "content": "3"}],
    "string_arguments": [user("x"), assistant("", tool_calls=[call("abcdefghi", "sum", "{\"numbers\": [1]}")]),
                         {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"}],
}
EXTRAS = [{}, {"enable_thinking": False}, {"enable_thinking": True, "reasoning_effort": "low"}]


def cases(template, variables):
    out = []
    jobs = [(n, m, None, g, {}) for n, m in CONVERSATIONS.items() for g in (True, False)]
    jobs += [(n, m, [WEATHER, SUM], True, {}) for n, m in TOOL_CONVERSATIONS.items()]
    jobs += [("plain", CONVERSATIONS["plain"], None, True, e) for e in EXTRAS[1:]]
    for name, messages, tools, generate, extra in jobs:
        case = {"name": name, "messages": messages, "tools": tools or [], "add_generation_prompt": generate,
                "extra": extra}
        try:
            text = reference.render_jinja_template(
                [messages], tools=tools, documents=None, chat_template=template, add_generation_prompt=generate,
                **{**variables, **extra})
            text = text[0] if isinstance(text, tuple) else text
            case["expected"] = text[0]
        except Exception as e:
            case["error"] = f"{type(e).__name__}: {e}"[:200]
        out.append(case)
    return out


def token(value):
    return value["content"] if isinstance(value, dict) else value


def sources(arguments):
    for argument in arguments:
        if argument.endswith(".whl"):
            seen = set()
            with zipfile.ZipFile(argument) as wheel:
                for file in sorted(wheel.namelist()):
                    if not (file.startswith("xinference/model/llm/models/") and file.endswith(".json")):
                        continue
                    models = json.loads(wheel.read(file))
                    for model in models if isinstance(models, list) else [models]:
                        template = model.get("chat_template")
                        if not template or "{" not in template or template in seen:
                            continue
                        seen.add(template)
                        yield model["model_name"], template, {"bos_token": "<s>", "eos_token": "</s>"}
            continue
        name, file = argument.split("=", 1)
        if file.endswith(".gguf"):
            import gguf
            fields = gguf.GGUFReader(file).fields
            tokens = fields["tokenizer.ggml.tokens"]
            variables = {}
            for variable in ("bos", "eos"):
                id = fields.get(f"tokenizer.ggml.{variable}_token_id")
                if id is not None:
                    variables[f"{variable}_token"] = tokens.contents(id.contents())
            yield name, fields["tokenizer.chat_template"].contents(), variables
        else:
            config = json.load(open(file, encoding="utf-8"))
            if isinstance(config.get("chat_template"), str):
                yield name, config["chat_template"], {
                    key: token(config[key]) for key in ("bos_token", "eos_token") if config.get(key)}


def main():
    out = []
    for name, template, variables in sources(sys.argv[2:]):
        out.append({"name": name, "template": template, "variables": variables, "cases": cases(template, variables)})
        good = sum("expected" in case for case in out[-1]["cases"])
        print(f"{name}: {good} of {len(out[-1]['cases'])} conversations render")
    json.dump({"now": NOW, "templates": out}, open(sys.argv[1], "w", encoding="utf-8"), ensure_ascii=False)


if __name__ == "__main__":
    main()
