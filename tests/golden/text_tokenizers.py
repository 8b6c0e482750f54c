"""Tokenizers, texts, and what Hugging Face's `tokenizers` makes of them, for tests/text.

    python tests/golden/text_tokenizers.py            # writes tests/golden/text/*
    python tests/golden/text_tokenizers.py FILE.json  # FILE, as the test writes it, opens and encodes

learned.json is another script's (unigram_train.py).  tokenizers 0.23.  The tokenizers are trained here, on the texts themselves, so they are small and know hostile characters.
Offsets are those of bytes.  Two differ by intent, and are left out (null): marks that a normal form puts in another
order keep the place they come from, and what Replace puts in comes from all that it replaces.
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "text")
BLOCKS = [(0x21, 0x7E)] * 8 + [(0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x621, 0x64A),
                               (0x905, 0x94D), (0xE01, 0xE3A), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2150, 0x2188),
                               (0x3041, 0x30FF), (0x4E00, 0x4EFF), (0xAC00, 0xACFF), (0xFB00, 0xFB06), (0xFF01, 0xFF5E),
                               (0x1F600, 0x1F64F), (0x20000, 0x20020), (0x1D400, 0x1D433)]
TEXTS = ["", "a", " ", "  ", " a", "a ", "Hello, world!", "don't can't I'll we've 'sup 'tis", "tabs\tand\nnewlines\r\n  x  ",
         "İstanbul ǅ ß ﬁ", "e\u0301a\u0300\u0316 q\u0307\u0323", "한국어 텍스트", "日本語テキスト", "中文字符", "مرحبا بالعالم", "שלום",
         "नमस्ते", "ไทย", "👩‍👩‍👧‍👦 🇩🇪 👍🏽", "\u200b\u200d\ufeffzero", "a\u0000b", "\x01\x02\x7f\x80\x9f", "\ufffd", "1234 5,678.90 ½ ² Ⅳ",
         "under_score snake_case", "http://x.y/z?q=1&r=2#t", "[CLS] [SEP] a[MASK]b <s> </s> <mask> x<mask>  y", "...!!!???",
         "– ‘quoted’ “text”", "\u2028\u2029\u3000\xa0x", "a" * 120, "\U0010ffff\ue000\uffff", "ﷺ Å Å Å", "\u088f\u1b7d\u2e52\u166d",
         "the the the then there", "<|end|>x<|end|>"]


def texts():
    draw = random.Random(7)
    made = list(TEXTS)
    for _ in range(90):
        text = ""
        for _ in range(draw.randint(1, 9)):
            first, last = draw.choice(BLOCKS)
            text += "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 5)))
            text += draw.choice(["", " ", "  ", "\n", " ", "'s", "'ll", " \n "])
        made.append(text)
    return made


def bert():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    yield t, trainers.WordPieceTrainer(vocab_size=900, special_tokens=special, show_progress=False)
    t.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])


def byte_level(special, size=700, **options):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(**options), decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special,
                                  show_progress=False)


def gpt2():
    t, trainer = byte_level(["<|endoftext|>"], add_prefix_space=False)
    yield t, trainer
    t.post_processor = processors.ByteLevel(trim_offsets=False)


def roberta():
    t, trainer = byte_level(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)], add_prefix_space=True)
    yield t, trainer
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=True)


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    yield t, trainers.UnigramTrainer(vocab_size=1200, unk_token="<unk>", special_tokens=["<unk>", "<s>"], show_progress=False)


def fallback():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)]
    yield t, trainers.BpeTrainer(vocab_size=700, limit_alphabet=100, special_tokens=special, show_progress=False)


def expression():
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    t, trainer = byte_level(["<|end|>"], add_prefix_space=False, use_regex=False)
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), t.pre_tokenizer])
    yield t, trainer


def words(normalizer, splitter):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.pre_tokenizer, t.decoder = splitter, decoders.WordPiece()
    if normalizer:
        t.normalizer = normalizer
    yield t, trainers.WordPieceTrainer(vocab_size=800, special_tokens=["[UNK]"], show_progress=False)
    t.add_tokens([AddedToken("the", single_word=True), AddedToken("World", normalized=True, rstrip=True)])


MADE = {
    "bert": bert(), "gpt2": gpt2(), "roberta": roberta(), "unigram": unigram(), "fallback": fallback(), "expression": expression(),
    "accents": words(normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Strip()]),
                     pre_tokenizers.Whitespace()),
    "digits": words(normalizers.Nmt(), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(True),
                                                                pre_tokenizers.Punctuation()])),
    "previous": words(None, pre_tokenizers.Split(Regex("[aeiou]"), "merged_with_previous")),
    "next": words(None, pre_tokenizers.Split(" ", "merged_with_next")),
    "runs": words(None, pre_tokenizers.Split(Regex("[a-z]"), "contiguous")),
    "inverted": words(None, pre_tokenizers.Split(Regex(r"\w+"), "removed", invert=True)),
}


def in_bytes(text, span):
    return [len(text[:span[0]].encode()), len(text[:span[1]].encode())]


def row(t, text, pair, places):
    e = t.encode(text, pair)
    second = lambda i: e.sequence_ids[i] == 1
    spans = [in_bytes(pair if second(i) else text, span) for i, span in enumerate(e.offsets)]
    return {"text": text, "pair": pair, "ids": e.ids, "types": e.type_ids, "special": e.special_tokens_mask,
            "words": [-1 if w is None else w for w in e.word_ids], "offsets": spans if places else None,
            "decoded": None if pair is not None else t.decode(e.ids)}


def write(name, value):
    with open(os.path.join(FOLDER, name), "w") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    every = texts()
    training = [text.replace("\0", "") for text in every] + TEXTS[34:35] * 20 + TEXTS[6:8] * 5
    for name, steps in MADE.items():
        t, trainer = next(steps)
        t.train_from_iterator(training, trainer)
        next(steps, None)
        root = json.loads(t.to_str())
        write(name + ".json", root)
        places = name not in ("unigram", "expression")
        rows = [row(t, text, None, places) for text in every] + [row(t, a, b, places) for a, b in zip(every[::9], every[4::9])]
        write(name + ".rows.json", rows)


def check(path):
    t = Tokenizer.from_file(path)
    text = "Hello, world! the then don't"
    e = t.encode(text)
    assert e.ids and t.decode(e.ids).strip(), path
    print(path, *e.ids)


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else main()
