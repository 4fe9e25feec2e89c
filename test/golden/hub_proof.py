"""What `athanor prove sys.transformers` is held to: of the tiny folders of hub.json, hub-bert.json and hub-t5.json one of each kind, with its logits."""

import json

from common import FOLDER

hub, bert, t5 = (json.loads((FOLDER / name).read_text()) for name in ["hub.json", "hub-bert.json", "hub-t5.json"])
wanted = [(hub, "gpt2", "gpt2"), (hub, "llama", "llama"), (hub, "qwen2", "qwen2"), (bert, "masked", "bert")]
def rows(values, width):
    return {"shape": [len(values), width], "data": [one for row in values for one in (row + [-1] * width)[:width]]}


def figures(case):
    return {"files": case["files"], "logits": [float(format(value, ".9g")) for value in case["logits"]]}


cases = {}
for source, case, name in wanted:
    inputs = [{"shape": [source["batch"], source["time"]], "data": source["tokens"]}]
    cases[name] = {"inputs": inputs, **figures(source["cases"][case])}
starts = [[0, *row] for row in t5["targets"]]
cases["t5"] = {"inputs": [rows(t5["source"], t5["context"]), rows(starts, t5["time"])], **figures(t5["cases"]["second"])}
made = ", ".join(f"{name} {version}" for name, version in hub["versions"].items())
target = FOLDER.parent.parent / "src/study/proofs/hub.generated.ts"
target.write_text(
    f"// Tiny folders as Transformers writes them. Written by test/golden/hub_proof.py ({made}): do not edit.\n"
    f"export const publishedFolders = {json.dumps(cases, separators=(',', ':'))};\n"
)
print(f"{target.name}: {target.stat().st_size} bytes")
