"""The curves of precision and recall and the layout that examples/own_trainer logs."""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.pr_curve import metadata
from tensorboard.util.tensor_util import make_ndarray

e = EventAccumulator(sys.argv[1])
e.Reload()
curves = [make_ndarray(x.tensor_proto) for x in e.Tensors("val_outer")]
content = e.SummaryMetadata("val_outer").plugin_data.content
print(metadata.parse_plugin_metadata(content).num_thresholds, [c.shape for c in curves])
for tp, fp, tn, fn, precision, recall in [c.astype(float) for c in curves]:
    print(set((tp + fp + tn + fn).tolist()), recall[0], all(abs(precision * (tp + fp) - tp) < 1e-4), all(fn[1:] >= fn[:-1]))
text = e.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
layout = layout_pb2.Layout.FromString(text)
print([(c.title, [(x.title, list(x.multiline.tag)) for x in c.chart]) for c in layout.category])
