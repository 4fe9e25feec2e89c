// The small texts that travel with a model: its tokenizer, how it is called, how it is to generate. They are carried, and changed by
// nobody; a tokenizer that was made here gets the file that has Transformers take it as it is.

/** Carried from folder to folder. */
export const carriedTexts = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "generation_config.json",
] as const;

const roles: readonly (readonly [role: string, tokens: readonly string[]])[] = [
  ["unk_token", ["[UNK]", "<unk>"]],
  ["pad_token", ["[PAD]", "<pad>"]],
  ["cls_token", ["[CLS]"]],
  ["sep_token", ["[SEP]"]],
  ["mask_token", ["[MASK]"]],
  ["eos_token", ["<|im_end|>", "<|endoftext|>", "</s>"]],
];

/** `tokenizer_config.json` for a `tokenizer.json`; special tokens by their usual names have their roles. */
export function tokenizerConfig(tokenizer: string): string {
  const { added_tokens: added = [] } = JSON.parse(tokenizer) as {
    readonly added_tokens?: readonly { content: string }[];
  };
  const known = new Set(added.map(({ content }) => content));
  const special = roles.flatMap(([role, tokens]) => {
    const token = tokens.find((one) => known.has(one));
    return token === undefined ? [] : [[role, token] as const];
  });
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    ...Object.fromEntries(special),
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
