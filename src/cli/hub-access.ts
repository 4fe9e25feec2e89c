// Which Hub a command talks to, and as whom: the environment's HF_ENDPOINT and HF_TOKEN, as its own tools have them.
import type { HubOptions } from "../hub/index.ts";

export const endpointHelp = "another server of the Hub's kind (default: HF_ENDPOINT, or https://huggingface.co)";

export function hubAccess(hubUrl: string | undefined): Pick<HubOptions, "hubUrl" | "accessToken"> {
  const { HF_ENDPOINT, HF_TOKEN } = process.env;
  return { hubUrl: hubUrl ?? (HF_ENDPOINT || undefined), accessToken: HF_TOKEN?.trim() || undefined };
}
