"""Write sequence.safetensors: models over features and tokens (PyTorch, torchvision, transformers), and
gpt2_file.safetensors: a GPT-2 as transformers saves it.
"""
import os
import tempfile

import torch
from torchvision.models.vision_transformer import VisionTransformer
from transformers import (BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, GPT2Config,
                          GPT2LMHeadModel)

from common import fill, record, save, tokens, wave

nn = torch.nn
out = {}

torch.manual_seed(0)
mlp = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
record(out, "mlp", mlp, wave(5, 3, 4))


# ---- ViT: its own initial values; then others, for its head begins with zeros ----

def vit(**more):
    torch.manual_seed(0)
    return VisionTransformer(image_size=12, patch_size=4, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=7, **more)


record(out, "vit", vit(), wave(2, 3, 12, 12))
filled = vit(representation_size=20)
fill(filled)
record(out, "vit_filled", filled, wave(2, 3, 12, 12))


# ---- GPT-2 ----

def gpt2(**sizes):
    config = GPT2Config(**{**dict(n_layer=2, n_embd=32, n_head=4, vocab_size=50, n_positions=16), **sizes},
                        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, attn_implementation="eager", use_cache=False)
    return GPT2LMHeadModel(config).train()


model = gpt2()
fill(model)
record(out, "gpt2", model, tokens(50, 2, 11), lambda m, x: m(input_ids=x).logits)
model.eval()
prompt = tokens(50, 2, 5)
out["gpt2/greedy"] = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=11, do_sample=False,
                                    use_cache=True, eos_token_id=None, pad_token_id=0)

small = gpt2(n_layer=1, n_embd=8, n_head=2, vocab_size=11, n_positions=6)
fill(small)
out["gpt2_file/y"] = small(input_ids=tokens(11, 1, 6)).logits.detach()
folder = os.path.dirname(os.path.abspath(__file__))
with tempfile.TemporaryDirectory() as made:
    small.save_pretrained(made)
    with open(os.path.join(made, "model.safetensors"), "rb") as source, open(os.path.join(folder, "gpt2_file.safetensors"), "wb") as target:
        target.write(source.read())


# ---- BERT ----

def bert_config(**more):
    return BertConfig(num_hidden_layers=2, hidden_size=32, num_attention_heads=4, intermediate_size=48, vocab_size=50,
                      max_position_embeddings=12, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
                      attn_implementation="eager", **more)


types = (torch.arange(22) % 3 == 0).long().reshape(2, 11)
mask = torch.ones(2, 11, dtype=torch.long)
mask[0, 7:] = 0


def with_all(m, x):
    return m(input_ids=x, token_type_ids=types, attention_mask=mask)


bert = BertModel(bert_config()).train()
fill(bert)
record(out, "bert", bert, tokens(50, 2, 11),
       lambda m, x: torch.cat([t.flatten() for t in with_all(m, x).to_tuple()]))
plain = BertModel(bert_config(), add_pooling_layer=False).train()
fill(plain)
record(out, "bert_plain", plain, tokens(50, 2, 11), lambda m, x: m(input_ids=x).last_hidden_state)
classifier = BertForSequenceClassification(bert_config(num_labels=3)).train()
fill(classifier)
record(out, "bert_classifier", classifier, tokens(50, 2, 11), lambda m, x: with_all(m, x).logits)
masked = BertForMaskedLM(bert_config()).train()
fill(masked)
record(out, "bert_masked", masked, tokens(50, 2, 11), lambda m, x: with_all(m, x).logits)


# ---- character LSTM ----

class CharLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 9, num_layers=2, batch_first=True)
        self.linear = nn.Linear(9, 20)

    def forward(self, x, states=None):
        y, states = self.lstm(self.embedding(x), states)
        return self.linear(y), states


def in_two(m, x):
    """Seven steps, and from their states on the others."""
    first, states = m(x[:, :7])
    second, (h, c) = m(x[:, 7:], states)
    return torch.cat([t.flatten() for t in (first, second, h, c)])


torch.manual_seed(0)
record(out, "char_lstm", CharLSTM(), tokens(20, 3, 12), in_two)

save(out, "sequence.safetensors")
