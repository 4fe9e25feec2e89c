"""Folders that this package writes, as Transformers reads them: logits in f64, ids and texts of AutoTokenizer, and SHA-256 of every file that it read.

exports.mjs writes the folders, each in several files, with the built package (dist/). A test writes them again: equal hashes mean that Transformers
read what a user gets today; then logits and ids are compared.
"""

import hashlib
import subprocess
import tempfile
from pathlib import Path

import torch
from common import FOLDER, mix32, versions, write
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

torch.set_num_threads(1)
# Transformers takes a norm's mean of squares and a router's softmax in f32 even in a model of f64: here they are taken in the model's own
softmax = torch.nn.functional.softmax
torch.nn.functional.softmax = lambda x, *args, dtype=None, **options: softmax(x, *args, **options)
T5LayerNorm.forward = LlamaRMSNorm.forward = Qwen3MoeRMSNorm.forward = lambda self, x: (
    self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
)
B, T = 2, 9
autos = {"bert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM, "t5 1.1": AutoModelForSeq2SeqLM}
texts = ["to be or not to be", " the slings, and arrows", "Ünknown 中文 words? 12345", "a\n\n b\t"]
special = "fortune <|endoftext|> </s> [MASK]"


def figures(name, folder):
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
    assert sum(name.endswith(".safetensors") for name in files) > 1
    eager = {"experts_implementation": "eager"} if name == "qwen3_moe" else {}
    model, loading = autos.get(name, AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float64, output_loading_info=True, **eager)
    assert not any(loading[key] for key in ["missing_keys", "unexpected_keys", "mismatched_keys"]), loading
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kinds = min(len(tokenizer), model.config.vocab_size)
    rows = lambda stream: torch.tensor([[mix32(stream + B * T * i + j) % kinds for j in range(T)] for i in range(B)])
    inputs = {"input_ids": rows(1000)}
    if name.startswith("t5"):
        inputs["decoder_input_ids"] = rows(2000)
        inputs["decoder_input_ids"][:, 0] = model.config.decoder_start_token_id
    with torch.no_grad():
        logits = model(**inputs).logits
    assert logits.std() > 0.1
    ids = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts}
    # Here a text that looks like a special token is text. There too where that is asked for, unless it is a piece of a unigram model.
    if not name.startswith("t5"):
        ids[special] = tokenizer(special, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return {
        "files": files,
        "inputs": {key: value.tolist() for key, value in inputs.items()},
        "logits": [float(format(one, ".9g")) for one in logits.flatten().tolist()],
        "texts": [{"text": text, "ids": one, "decoded": tokenizer.decode(one)} for text, one in ids.items()],
    }


with tempfile.TemporaryDirectory() as scratch:
    subprocess.run(["node", FOLDER / "exports.mjs", scratch], check=True, stdout=subprocess.DEVNULL)
    folders = sorted(p for p in Path(scratch).iterdir() if (p / "config.json").exists())
    cases = {folder.name: figures(folder.name, folder) for folder in folders}
write("exports.json", {
    "madeBy": "exports.py",
    "versions": versions("torch", "transformers", "tokenizers", "safetensors"),
    "shape": [B, T],
    "cases": cases,
})  # fmt: skip
