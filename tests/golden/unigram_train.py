"""What `tokenizers` makes of learning Unigram, for tests/text/unigram.c.

    python tests/golden/unigram_train.py              # writes tests/golden/text/learn.txt, held.txt and learn.json
    python tests/golden/unigram_train.py learned.json # that file, as Wick wrote it, and its rows, to tests/golden/text

tokenizers 0.23.  The texts are made up of stems and endings, so that there is something to find.  Its trainer adds up in an
order of chance: the figure that is kept, the score of the best cuts of the held texts, is the mean of five.
"""
import json
import os
import random
import shutil
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from text_tokenizers import FOLDER, row, texts, write

BEGINS = ["", "", "", "un", "re", "over", "inter", "fore"]
STEMS = ["walk", "bind", "light", "stone", "river", "grow", "part", "measur", "turn", "carr", "wood", "night", "sail", "read", "count",
         "mark", "hold", "sing", "form", "press", "work", "laut", "grüß", "fall", "stand", "wind"]
ENDS = ["", "", "", "s", "ed", "ing", "er", "ers", "able", "ness", "ly", "less", "ment"]
SIZE = 300


def lines(draw, count):
    made = []
    for _ in range(count):
        words = []
        for _ in range(draw.randint(4, 14)):
            stem = STEMS[min(int(draw.expovariate(0.18)), len(STEMS) - 1)]
            word = draw.choice(BEGINS) + stem + draw.choice(ENDS)
            words.append(word.capitalize() if draw.random() < 0.1 else word)
        made.append(" ".join(words) + draw.choice([".", ".", "!", "?", ", and so on."]))
    return made


def train(training):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    t.train_from_iterator(training, trainers.UnigramTrainer(vocab_size=SIZE, unk_token="<unk>", special_tokens=["<unk>"],
                                                            show_progress=False))
    return t


def score(t, held):
    scores = [score for _, score in json.loads(t.to_str())["model"]["vocab"]]
    return sum(scores[i] for line in held for i in t.encode(line).ids)


def main():
    draw = random.Random(5)
    training, held = lines(draw, 260), lines(draw, 60)
    for name, made in ("learn.txt", training), ("held.txt", held):
        with open(os.path.join(FOLDER, name), "w") as out:
            out.write("\n".join(made) + "\n")
    found = [train([line + "\n" for line in training]) for _ in range(5)]
    figures = [score(t, held) for t in found]
    print(*figures, max(figures) / min(figures) - 1)
    write("learn.json", {"size": found[0].get_vocab_size(), "score": sum(figures) / len(figures)})


def rows(path):
    t = Tokenizer.from_file(path)
    shutil.copyfile(path, os.path.join(FOLDER, "learned.json"))
    with open(os.path.join(FOLDER, "held.txt")) as held:
        write("learned.rows.json", [row(t, text, None, False) for text in texts() + held.read().splitlines()])


if __name__ == "__main__":
    rows(sys.argv[1]) if len(sys.argv) > 1 else main()
