extension ChatTemplate.Format {
    /// The template of the format, in the language that models' own are in.
    var source: String {
        switch self {
        case .chatml:
            """
            {%- for message in messages %}
                {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
            {%- endfor %}
            {%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
            """
        case .llama3:
            """
            {{- '<|begin_of_text|>' }}
            {%- for message in messages %}
                {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' ~ message.content | trim ~ '<|eot_id|>' }}
            {%- endfor %}
            {%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}
            """
        case .mistral:
            """
            {{- '<s>' }}
            {%- for message in messages %}
                {%- if message.role != ('user' if loop.index0 % 2 == 0 else 'assistant') %}
                    {{- raise_exception('message ' ~ loop.index0 ~ ' is of role ' ~ message.role
                        ~ ', but mistral-instruct takes user and assistant in turns, beginning with user') }}
                {%- endif %}
                {{- '[INST] ' ~ message.content ~ ' [/INST]' if message.role == 'user' else message.content ~ '</s>' }}
            {%- endfor %}
            """
        case .zephyr:
            """
            {%- for message in messages %}
                {%- if message.role not in ['system', 'user', 'assistant'] %}
                    {{- raise_exception('message ' ~ loop.index0 ~ ' is of role ' ~ message.role
                        ~ ', but zephyr takes system, user and assistant only') }}
                {%- endif %}
                {{- '<|' ~ message.role ~ '|>\\n' ~ message.content ~ '</s>\\n' }}
            {%- endfor %}
            {%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}
            """
        }
    }
}
