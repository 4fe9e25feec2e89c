// Rows of instruction data as conversations: the layouts in which they are published. Knows no template and no token.
import { fail } from "../base/index.ts";

export const chatRoles = ["system", "user", "assistant", "tool"] as const;
export interface ChatMessage {
  readonly role: (typeof chatRoles)[number];
  readonly content: string;
}
export type Conversation = readonly ChatMessage[];

/**
 * `messages`: `{messages: [{role, content}]}`. `sharegpt`: `{conversations: [{from, value}], system?}`. `alpaca`: `{instruction, input?,
 * output, system?, history?}`. `prompt`: a prompt and its completion in two columns, texts or lists of messages.
 */
export const chatLayouts = ["messages", "sharegpt", "alpaca", "prompt"] as const;
export type ChatLayout = (typeof chatLayouts)[number];

export interface ChatRowOptions {
  /** Left out, told by the row's columns. */
  readonly rows?: ChatLayout | undefined;
  /** Columns of the layout `prompt`; default `prompt` and `completion`. */
  readonly prompt?: string | undefined;
  readonly completion?: string | undefined;
  /** Said before every conversation that has no system message of its own. */
  readonly system?: string | undefined;
}

type Row = { readonly [column: string]: unknown };

/** The conversation of one row. Errors with `data/chat-row`, which names `where`. */
export function readConversation(row: unknown, where: string, options: ChatRowOptions = {}): Conversation {
  if (!isRow(row)) return refuse(where, "an object", row);
  const { prompt = "prompt", completion = "completion", system } = options;
  if ("chosen" in row && "rejected" in row && !(completion in row))
    fail("data/chat-row", "the row says which of two answers is preferred, and is no conversation", {
      where,
      expected: "a conversation",
      got: Object.keys(row).join(", "),
      fix: "set loss: dpo to learn from preferences (docs/preferences.md), or data.chat.completion: chosen to learn what is preferred alone",
    });
  const layout =
    options.rows ??
    layoutOf(row, prompt) ??
    refuse(
      where,
      `columns of one layout: messages, conversations, instruction and output, or ${prompt} and ${completion}`,
      Object.keys(row).join(", "),
    );
  const readers: { readonly [layout in ChatLayout]: () => ChatMessage[] } = {
    messages: () => messagesOf(row.messages, `${where}, messages`),
    sharegpt: () => [...systemOf(row, where), ...messagesOf(row.conversations, `${where}, conversations`)],
    alpaca: () => alpaca(row, where),
    prompt: () => [...sideOf(row, prompt, "user", where), ...sideOf(row, completion, "assistant", where)],
  };
  const messages = readers[layout]();
  if (!messages.some(({ role }) => role === "assistant"))
    refuse(where, "at least one message of the assistant", messages.map(({ role }) => role).join(", ") || "none");
  const isTold = system === undefined || messages[0]!.role === "system";
  return isTold ? messages : [{ role: "system", content: system }, ...messages];
}

function layoutOf(row: Row, prompt: string): ChatLayout | undefined {
  if (prompt in row) return "prompt";
  if ("messages" in row) return "messages";
  if ("conversations" in row) return "sharegpt";
  return "instruction" in row ? "alpaca" : undefined;
}

/** Names that published data has for the roles. */
const roleNames: { readonly [name: string]: ChatMessage["role"] } = {
  human: "user",
  gpt: "assistant",
  model: "assistant",
  observation: "tool",
  ...Object.fromEntries(chatRoles.map((role) => [role, role])),
};

function messagesOf(value: unknown, where: string): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0) return refuse(where, "a list of messages", value);
  return value.map((one: unknown, at) => {
    const place = `${where}[${at}]`;
    if (!isRow(one)) return refuse(place, "{ role, content }, or { from, value }", one);
    const name = one.role ?? one.from;
    const role = typeof name === "string" && Object.hasOwn(roleNames, name) ? roleNames[name]! : undefined;
    if (role === undefined) return refuse(place, `a role: ${Object.keys(roleNames).join(", ")}`, name);
    return { role, content: textOf(one.content ?? one.value, place) };
  });
}

function systemOf(row: Row, where: string): ChatMessage[] {
  const { system } = row;
  if (system === undefined || system === null || system === "") return [];
  return [{ role: "system", content: textOf(system, `${where}, system`) }];
}

function alpaca(row: Row, where: string): ChatMessage[] {
  const { instruction, input, output, history = [] } = row;
  const before = Array.isArray(history) ? history : refuse(where, "history as pairs of texts", history);
  const turn = (asked: unknown, answered: unknown): ChatMessage[] => [
    { role: "user", content: textOf(asked, `${where}, instruction`) },
    { role: "assistant", content: textOf(answered, `${where}, output`) },
  ];
  const earlier = before.flatMap((pair) =>
    Array.isArray(pair) ? turn(pair[0], pair[1]) : refuse(where, "history as pairs of texts", pair),
  );
  const given = input === undefined || input === null || input === "" ? "" : `\n\n${textOf(input, `${where}, input`)}`;
  return [
    ...systemOf(row, where),
    ...earlier,
    ...turn(`${textOf(instruction, `${where}, instruction`)}${given}`, output),
  ];
}

/** One side of a prompt and its completion. */
function sideOf(row: Row, column: string, role: "user" | "assistant", where: string): ChatMessage[] {
  const value = row[column];
  return Array.isArray(value)
    ? messagesOf(value, `${where}, ${column}`)
    : [{ role, content: textOf(value, `${where}, ${column}`) }];
}

function textOf(value: unknown, where: string): string {
  return typeof value === "string" ? value : refuse(where, "a text", value);
}

function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(where: string, expected: string, got: unknown): never {
  fail("data/chat-row", "a row is no conversation", {
    where,
    expected,
    got: typeof got === "string" ? got.slice(0, 200) : (JSON.stringify(got)?.slice(0, 200) ?? "nothing"),
    fix: "mend the row; data.chat.rows names the layout, data.chat.prompt and completion the columns",
  });
}
