"""Writes chat.json: conversations rendered by transformers 5.23.0 from template sources.

    python make_chat_golden.py SmolLM2-135M-Instruct.Q4_1.gguf

The first source is the one in the file; the others say in a few words what the templates of the families do.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer

QWEN = r"""{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
{%- else %}{{- '<|im_start|>system\nYou are Qwen, a helpful assistant.<|im_end|>\n' }}{%- endif %}
{%- for m in messages %}{%- if not (loop.first and m.role == 'system') %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
CHATML = r"""{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
LLAMA3 = r"""{% for m in messages %}{% set c = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim
 + '<|eot_id|>' %}{% if loop.first %}{% set c = '<|begin_of_text|>' + c %}{% endif %}{{ c }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
LLAMA31 = r"""{{- '<|begin_of_text|>' }}{%- if messages[0]['role'] == 'system' %}{%- set s = messages[0]['content']|trim %}
{%- set messages = messages[1:] %}{%- else %}{%- set s = '' %}{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}{{- 'Cutting Knowledge Date: December 2023\n' }}
{{- 'Today Date: 26 Jul 2024\n\n' }}{{- s }}{{- '<|eot_id|>' }}
{%- for m in messages %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""
MISTRAL = r"""{{ '<s>' }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('roles must alternate') }}{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}
{%- else %}{{ m['content'] + '</s>' }}{% endif %}{% endfor %}"""
ZEPHYR = r"""{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '</s>\n' }}
{%- elif m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '</s>\n' }}
{%- elif m['role'] == 'assistant' %}{{ '<|assistant|>\n' + m['content'] + '</s>\n' }}{% else %}{{ raise_exception('role') }}
{%- endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"""

CONVERSATIONS = [
    [("user", "Hello")],
    [("system", "Be brief."), ("user", "  Hi \n"), ("assistant", "\nHello!"), ("user", "\n\n'Bye', 世界 🌍")],
    [("user", "a"), ("assistant", "b"), ("user", "c")],
    [("user", "a"), ("user", "a")],
    [("tool", "42")],
    [("system", ""), ("user", "")],
]


def main():
    path = sys.argv[1]
    tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path))
    cases = []
    for source in [tokenizer.chat_template, QWEN, CHATML, LLAMA3, LLAMA31, MISTRAL, ZEPHYR]:
        for conversation in CONVERSATIONS:
            messages = [{"role": role, "content": content} for role, content in conversation]
            try:
                text = tokenizer.apply_chat_template(
                    messages, chat_template=source, tokenize=False, add_generation_prompt=True)
            except Exception:  # the template refuses the conversation
                text = None
            cases.append({"source": source, "messages": messages, "text": text})
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "chat.json"), "w") as file:
        json.dump(cases, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
