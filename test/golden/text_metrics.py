"""BLEU, sentence BLEU, chrF and chrF++ by sacrebleu, over texts with what its tokenizers look for; ROUGE by its definition.

ROUGE (Lin 2004) is written out here by brute force: the longest common subsequence is looked for among all subsequences. `published` is the
example of the README of Google's rouge_score.
"""

from collections import Counter
from itertools import combinations
import re

from common import versions, write
from sacrebleu.metrics import BLEU, CHRF

ENGLISH = [
    ("The quick brown fox jumps over the lazy dog.", ["The quick brown dog jumps on the log.", "A quick fox, brown, jumps over it."]),
    ("It costs $1,234.50 -- about 3-4 times more (or so)!", ["It cost 1,234.50 dollars, about 3-4 times as much.", "It costs $1,234.50, 3-4 times more."]),
    ("&quot;Yes&quot; he said &amp; left <skipped> at 5.30, e.g. by U.S. rail", ['"Yes", he said & left at 5.30, e.g., by U.S. rail.', '"Yes" he said, and left.']),
    ("don't   stop\tnow", ["don't stop", "do not stop now"]),
    ("a", ["a b c", "b"]),
    ("", ["nothing was written", "nothing"]),
    ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"]),
    ("\ufeffA mark\u0085 at the start .", ["\ufeff A mark at the start.", "A mark"]),
    ("Der Weißwurstäquator -- naïve café [sic] {x} ~ ` ^", ["Der Weißwurstäquator: naïve café [sic] {x} ~ ` ^", "Weißwurst"]),
]
CHINESE = [
    ("他今天去了北京。", ["今天他去了北京。", "他今日前往北京。"]),
    ("“这本书”卖 3.5 元——很便宜！", ["这本书卖3.5元，很便宜！", "“这书”3.5 元——便宜。"]),
    ("我喜欢 GPT-4 和 New York", ["我喜欢GPT-4和New York。", "我爱 GPT-4，也爱纽约"]),
    ("𠀀𠀁 〇 ①", ["𠀀 〇 ①", "𠀁"]),
]
GROUPS = {"english": (ENGLISH, ["13a", "none", "char"]), "chinese": (CHINESE, ["zh", "13a", "char"])}

out = {}
for name, (rows, tokenizers) in GROUPS.items():
    texts = [text for text, _ in rows]
    streams = [[references[k] for _, references in rows] for k in range(2)]
    corpus = lambda metric, given: metric.corpus_score(texts, given).score
    out[name] = {
        "rows": [{"text": text, "references": references} for text, references in rows],
        "bleu": {
            tokenizer: {
                "one": corpus(BLEU(tokenize=tokenizer), streams[:1]),
                "two": corpus(BLEU(tokenize=tokenizer), streams),
                "lowercase": corpus(BLEU(tokenize=tokenizer, lowercase=True), streams),
                "sentences": [BLEU(tokenize=tokenizer, effective_order=True).sentence_score(text, references).score for text, references in rows],
                "tokens": [BLEU(tokenize=tokenizer)._preprocess_segment(text).split() for text in texts],
            }
            for tokenizer in tokenizers
        },
        "chrf": {"one": corpus(CHRF(), streams[:1]), "two": corpus(CHRF(), streams)},
        "chrf++": {"one": corpus(CHRF(word_order=2), streams[:1]), "two": corpus(CHRF(word_order=2), streams)},
    }
# orders without a single right n-gram, which are smoothed, and texts too short for an order
FEW = [("one two three four five six", "six five four three two one"), ("a b c d e", "a c e")]
out["smoothed"] = {
    "rows": [{"text": text, "references": [reference]} for text, reference in FEW],
    "bleu": BLEU().corpus_score([text for text, _ in FEW], [[reference for _, reference in FEW]]).score,
    "short": BLEU().corpus_score(["a b"], [["a b"]]).score,
}


def rouge(kind, text, reference):
    words = lambda line: re.sub(r"[^a-z0-9]+", " ", line.lower()).split()
    own, wanted = words(text), words(reference)
    n = 2 if kind == "rouge2" else 1
    grams = lambda line: Counter(zip(*(line[i:] for i in range(n)), strict=False))
    if kind == "rougeL":
        common = 0
        for size in range(1, min(len(own), len(wanted)) + 1):
            if {tuple(c) for c in combinations(own, size)} & {tuple(c) for c in combinations(wanted, size)}:
                common = size
    else:
        common = sum((grams(own) & grams(wanted)).values())
    precision, recall = common / max(1, sum(grams(own).values())), common / max(1, sum(grams(wanted).values()))
    return [precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0]


KINDS = ["rouge1", "rouge2", "rougeL"]
PUBLISHED = ("The quick brown dog jumps on the log.", "The quick brown fox jumps over the lazy dog")
assert rouge("rouge1", *PUBLISHED) == [0.75, 6 / 9, 0.7058823529411765]
assert rouge("rougeL", *PUBLISHED) == [0.625, 5 / 9, 0.5882352941176471]
out["rouge"] = [
    {"text": text, "reference": reference, **{kind: rouge(kind, text, reference) for kind in KINDS}}
    for text, references in [*ENGLISH[:7], (PUBLISHED[0], [PUBLISHED[1]])]
    for reference in references
]
write("text-metrics.json", {"madeBy": "text_metrics.py", "versions": versions("sacrebleu"), **out})
