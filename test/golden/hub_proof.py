"""What `athanor prove sys.transformers` is held to: of the tiny folders of hub.json and hub-bert.json one of each kind, with its logits."""

import json

from common import FOLDER

hub, bert = (json.loads((FOLDER / name).read_text()) for name in ["hub.json", "hub-bert.json"])
wanted = [(hub, "gpt2", "gpt2"), (hub, "llama", "llama"), (hub, "qwen2", "qwen2"), (bert, "masked", "bert")]
cases = {}
for source, case, name in wanted:
    given = source["cases"][case]
    logits = [float(format(value, ".9g")) for value in given["logits"]]
    cases[name] = {"shape": [source["batch"], source["time"]], "tokens": source["tokens"], "files": given["files"], "logits": logits}
made = ", ".join(f"{name} {version}" for name, version in hub["versions"].items())
target = FOLDER.parent.parent / "src/study/proofs/hub.generated.ts"
target.write_text(
    f"// Tiny folders as Transformers writes them. Written by test/golden/hub_proof.py ({made}): do not edit.\n"
    f"export const publishedFolders = {json.dumps(cases, separators=(',', ':'))};\n"
)
print(f"{target.name}: {target.stat().st_size} bytes")
