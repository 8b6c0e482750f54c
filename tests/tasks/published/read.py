"""A classifier's folder as transformers opens it:  read.py FOLDER TEXT …

Prints the classes, the special tokens, and for each text its tokens' numbers; where PyTorch is there, also the names that its network
lacks or does not know, and for each text its scores.
"""
import sys

from transformers import AutoConfig, AutoTokenizer

folder, texts = sys.argv[1], sys.argv[2:]
config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
print(type(config).__name__, config.id2label, config.label2id)
print(tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token, tokenizer.unk_token, tokenizer.mask_token)
for text in texts:
    print("ids", *tokenizer(text)["input_ids"])

try:
    import torch
except ImportError:
    sys.exit()
from transformers import AutoModelForSequenceClassification

model, about = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
print("lacks", sorted(about["missing_keys"]), "does not know", sorted(about["unexpected_keys"]))
model.eval()
for text in texts:
    with torch.no_grad():
        print("scores", *model(**tokenizer(text, return_tensors="pt")).logits[0].tolist())
