"""Text, histograms and images of plugin.c, and the hyperparameters of the logger "tensorboard"."""
import io
import os
import sys

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams

folder = sys.argv[1]
e = EventAccumulator(folder, size_guidance={"histograms": 0, "images": 0, "tensors": 0})
e.Reload()

tag = "notes/text_summary"
print(e.SummaryMetadata(tag).plugin_data.plugin_name, [(x.step, x.tensor_proto.string_val[0].decode()) for x in e.Tensors(tag)])

for event in e.Histograms("numbers"):
    h = event.histogram_value
    # How many lie up to each whole number: the edges of buckets lie between them.
    counts = [sum(n for limit, n in zip(h.bucket_limit, h.bucket) if limit <= k + 0.6) for k in range(-3, 5)]
    print(event.step, h.min, h.max, h.num, h.sum, h.sum_squares, counts)

for name in "gray", "red":
    image = e.Images(name)[0]
    picture = Image.open(io.BytesIO(image.encoded_image_string))
    print(name, image.width, image.height, picture.mode, list(picture.getdata()))

e = EventAccumulator(os.path.join(folder, "default", "version_0"))
e.Reload()
content = {tag: e.SummaryMetadata(tag).plugin_data.content for tag in e.PluginTagToContent("hparams")}
start = hparams.parse_session_start_info_plugin_data(content["_hparams_/session_start_info"])
values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
print(values["seed"], values["optimizer.args.lr"], values["model.name"], values["checkpoint.async"])
experiment = hparams.parse_experiment_plugin_data(content["_hparams_/experiment"])
print([m.name.tag for m in experiment.metric_infos], {i.name for i in experiment.hparam_infos} == set(values))
print(hparams.parse_session_end_info_plugin_data(content["_hparams_/session_end_info"]).status)
losses, metric = (e.Scalars(tag) for tag in ("val_loss", "hp_metric"))
print([x.value for x in metric][1:] == [x.value for x in losses], len(losses), metric[0].value)
