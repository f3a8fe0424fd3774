"""Writes templates.json and template_cases.json: what transformers 5.23.0 with Jinja2 3.1.6 renders.

    python make_templates.py

templates.json has every template of `templates/` over the conversations below; template_cases.json has small templates, each for one
rule of the language. A null text stands for a template that refuses: an error in the reference, whatever its kind.
"""

import datetime
import json
import os

from transformers.utils import chat_template_utils

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime(2026, 3, 7, 15, 4, 5, tzinfo=datetime.timezone.utc)


class Clock(datetime.datetime):
    """A clock that stands, for strftime_now."""

    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock

BOS_EOS = {
    "llama2": ("<s>", "</s>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "mistral": ("<s>", "</s>"),
    "mixtral": ("<s>", "</s>"),
    "phi": ("<s>", "<|endoftext|>"),
    "gemma": ("<bos>", "<eos>"),
    "deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "zephyr": ("<s>", "</s>"),
    "qwen": ("", "<|im_end|>"),
    "chatml": ("", "<|im_end|>"),
    "smollm2": ("<|im_start|>", "<|im_end|>"),
    "hermes": ("<|begin_of_text|>", "<|im_end|>"),
}
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>",
    "<|end_header_id|>", "[INST]", "[/INST]", "[TOOL_CALLS]", "<start_of_turn>", "<end_of_turn>", "<bos>", "<|user|>", "<|end|>",
    "<|assistant|>", "<|system|>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<tool_call>", "<think>",
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a \"place\" — <now>",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City, e.g. 東京 or São Paulo"},
                "days": {"type": "integer"},
                "units": {"type": "string", "enum": ["metric", "imperial"]},
                "scale": {"type": "number", "default": 1.5, "minimum": 1e-7},
                "tags": {"type": ["string", "null"]},
            },
            "required": ["place"],
        },
    },
}
PING = {"type": "function", "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}}


def call(name, arguments, id="abcdef123"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = [
    {"messages": turns(("user", "Hello")), "add_generation_prompt": True},
    {"messages": turns(("user", "Hello")), "add_generation_prompt": False},
    {"messages": turns(("system", "Be brief."), ("user", "  Hi \n"), ("assistant", "\nHello!"), ("user", "\n\n'Bye', 世界 🌍\t"))},
    {"messages": turns(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")), "add_generation_prompt": False},
    {"messages": turns(("user", "a"), ("user", "a"))},
    {"messages": turns(("assistant", "first"), ("user", "\u3000e\u0301 \u00a0"))},
    {"messages": turns(("system", ""), ("user", ""))},
    {"messages": turns(("system", " ".join(SPECIAL)), ("user", "".join(SPECIAL)), ("assistant", "".join(SPECIAL[::-1])), ("user", "<|im_"))},
    {"messages": turns(("user", "Weather in Paris?")), "tools": [WEATHER, PING]},
    {"messages": turns(("system", "Use tools."), ("user", "Weather in <s>Paris</s>?")), "tools": [WEATHER]},
    {
        "messages": turns(("user", "Weather in Paris?"))
        + [
            {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"place": "Paris", "days": 2, "deep": [1.0, None, True, {}]})]},
            {"role": "tool", "content": '{"celsius": 21}', "tool_call_id": "abcdef123", "name": "get_weather"},
        ],
        "tools": [WEATHER],
    },
    {
        "messages": turns(("user", "Two cities, please."))
        + [
            {
                "role": "assistant", "content": "I look.",
                "tool_calls": [call("get_weather", {"place": "<|im_end|>"}), call("ping", {}, "x23456789")],
            },
            {"role": "tool", "content": "sunny <|im_end|>", "tool_call_id": "abcdef123"},
            {"role": "tool", "content": "[TOOL_CALLS]", "tool_call_id": "x23456789"},
        ]
        + turns(("assistant", "Sunny."), ("user", "Thanks")),
        "tools": [WEATHER, PING],
    },
    {
        "messages": turns(("user", "As text"))
        + [{"role": "assistant", "content": None, "tool_calls": [call("ping", '{"a": 1}'), call("ping", "{}")]}]
        + [{"role": "tool", "content": "pong", "tool_call_id": "short"}]
    },
    {"messages": turns(("user", "Think"), ("assistant", "<think>\nsecret\n</think>\n\nAnswer"), ("user", "More"))},
    {"messages": turns(("user", "Think")), "enable_thinking": False},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning_content": "\nbecause\n"}],
     "add_generation_prompt": False},
    {"messages": turns(("narrator", "Once"), ("user", "x"))},
    {"messages": turns(("user", "x"), ("system", "late"), ("user", "y"))},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": " parts "}, {"type": "text", "text": "<eos>"}]}]},
    {"messages": [{"role": "user"}]},
    {"messages": []},
]

DATA = {
    "s": "hello <b> World", "e": "", "n": 7, "z": 0, "f": 2.5, "t": True, "no": None, "li": [3, 1, 2, "x"], "nums": [5, 3, 9],
    "d": {"b": 1, "a": [1, {"k": "v"}], "items": "own", "C": None},
    "ms": [{"role": "user", "c": "A"}, {"role": "tool", "c": "B"}, {"role": "user", "c": "C"}],
    "u": "Straße éΩ ǆ 中文 🌍", "w": "  pad\t\n", "lines": "a\nb\r\nc\n\nd", "deep": {"x": {"y": [{"z": "end"}]}},
}


def blocks(text):
    return [line for line in text.strip().split("\n@@\n")]


def expressions(text):
    return ["{{ " + line + " }}" for line in text.strip().split("\n") if line]


CASES = expressions(open(os.path.join(HERE, "template_expressions.txt")).read()) + blocks(
    open(os.path.join(HERE, "template_blocks.txt")).read())


def render(source, variables):
    try:
        return chat_template_utils._compile_jinja_template(source).render(**variables)
    except Exception:  # the template refuses, or is none
        return None


def write(name, value):
    with open(os.path.join(HERE, name), "w") as file:
        json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def main():
    families = []
    for file in sorted(os.listdir(os.path.join(HERE, "templates"))):
        name, extension = os.path.splitext(file)
        if extension != ".jinja":
            continue
        with open(os.path.join(HERE, "templates", file)) as text:
            source = text.read()
        bos, eos = next(value for key, value in BOS_EOS.items() if name.startswith(key))
        texts = []
        for conversation in CONVERSATIONS:
            variables = {"add_generation_prompt": True, "tools": None, "documents": None, "bos_token": bos, "eos_token": eos}
            variables.update(conversation)
            texts.append(render(source, variables))
        families.append({"name": name, "bos": bos, "eos": eos, "texts": texts})
    write("templates.json", {"special": SPECIAL, "conversations": CONVERSATIONS, "families": families})
    cases = [{"source": source, "text": render(source, DATA)} for source in CASES]
    write("template_cases.json", {"data": DATA, "cases": cases})
    refused = sum(text is None for family in families for text in family["texts"])
    print(f"{len(families)} families, {len(families) * len(CONVERSATIONS)} renderings, {refused} of them refused; "
          f"{len(cases)} cases, {sum(case['text'] is None for case in cases)} of them refused")


if __name__ == "__main__":
    main()
