"""Conversations by Transformers: what published chat templates write, its tokens, and which of them are the assistant's."""

import json

import transformers
from common import versions, write
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# As published: Qwen1.5 (with generation marks, as TRL writes them), Meta-Llama-3-8B-Instruct, gemma-2-2b-it, Mistral-7B-Instruct-v0.1.
TEMPLATES = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
}
ENDS = {"chatml": (None, "<|im_end|>"), "llama3": ("<|begin_of_text|>", "<|eot_id|>"), "gemma": ("<bos>", "<end_of_turn>"), "mistral": ("<s>", "</s>")}
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<s>", "</s>"]
CONVERSATIONS = [
    [("user", "What is 2 + 2?"), ("assistant", "It is 4.")],
    [("user", "你好"), ("assistant", "Hello there!"), ("user", "Once more, please.\nTwo lines."), ("assistant", "你好 🔥, again")],
]
SYSTEM = ("system", "Be brief.")


def tokenizer(texts):
    one = Tokenizer(models.BPE())
    one.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    one.decoder = decoders.ByteLevel()
    one.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    return one


def main():
    made = tokenizer([content for conversation in CONVERSATIONS for _, content in conversation] + ["user assistant system"] * 3)
    cases = []
    for name, template in TEMPLATES.items():
        bos, eos = ENDS[name]
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token=bos, eos_token=eos, chat_template=template)
        with_system = [[SYSTEM, *one] for one in CONVERSATIONS[:1]] if name in ("chatml", "llama3") else []
        for conversation in CONVERSATIONS + with_system:
            messages = [{"role": role, "content": content} for role, content in conversation]
            apply = lambda given, **options: fast.apply_chat_template(given, **options)
            encoded = apply(messages, return_dict=True, return_assistant_tokens_mask=name == "chatml")
            cases.append(
                {
                    "template": name,
                    "messages": messages,
                    "text": apply(messages, tokenize=False),
                    "ids": encoded["input_ids"],
                    "prompt": apply(messages[:-1], add_generation_prompt=True, return_dict=True)["input_ids"],
                    **({"trained": encoded["assistant_masks"]} if name == "chatml" else {}),
                }
            )
    templates = {name: {"source": source, "bos": ENDS[name][0], "eos": ENDS[name][1]} for name, source in TEMPLATES.items()}
    write("chat.json", {"versions": versions("transformers", "tokenizers"), "templates": templates, "tokenizer": json.loads(made.to_str()), "cases": cases})


main()
