"""The graph, and the sound, meshes and points of plugin.c."""
import io
import os
import struct
import sys
import wave

from google.protobuf import text_format
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import graph_pb2
from tensorboard.plugins.mesh import metadata as mesh
from tensorboard.plugins.projector import projector_config_pb2
from tensorboard.util.tensor_util import make_ndarray

folder = sys.argv[1]
e = EventAccumulator(folder)
e.Reload()

audio = e.Audio("beep")[0]
with wave.open(io.BytesIO(audio.encoded_audio_string)) as sound:
    samples = struct.unpack("<800h", sound.readframes(400))
    print(audio.length_frames, sound.getnchannels(), sound.getframerate(), sound.getnframes(), samples[0:4], max(samples[::2]))

for kind in "VERTEX", "FACE":
    tag = "shape_" + kind
    data = mesh.parse_plugin_metadata(e.SummaryMetadata(tag).plugin_data.content)
    print(data.name, list(data.shape), data.components, data.json_config, make_ndarray(e.Tensors(tag)[0].tensor_proto)[0, 1].tolist())

graph = graph_pb2.GraphDef.FromString(e.Graph().SerializeToString())
names = {node.name for node in graph.node}
print(len(names) == len(graph.node), all(set(node.input) <= names for node in graph.node))
for node in graph.node:
    if node.op == "linear":
        shape = [d.size for d in node.attr["_output_shapes"].list.shape[0].dim]
        print(node.name.rsplit("_", 1)[0], [name for name in node.input if name.endswith(("weight", "bias"))], shape)

with open(os.path.join(folder, "projector_config.pbtxt")) as file:
    config = text_format.Parse(file.read(), projector_config_pb2.ProjectorConfig())
for one in config.embeddings:
    print(one.tensor_name, one.tensor_path, one.metadata_path, one.sprite.image_path, list(one.sprite.single_image_dim))
first = config.embeddings[0]
print(open(os.path.join(folder, first.tensor_path)).read().splitlines()[1], open(os.path.join(folder, first.metadata_path)).read().split("\n"))
png = open(os.path.join(folder, first.sprite.image_path), "rb").read()
print(struct.unpack(">II", png[16:24]))
