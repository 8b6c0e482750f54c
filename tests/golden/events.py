#!/usr/bin/env python3
"""Makes events.txt: events as TensorBoard's own messages write them, a name and hexadecimal bytes a line.

    python3 -m venv venv && venv/bin/pip install tensorboard && venv/bin/python tests/golden/events.py
"""
import io
import os
import wave

import numpy as np
from tensorboard.compat.proto import attr_value_pb2, event_pb2, graph_pb2, histogram_pb2, node_def_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, versions_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.mesh import metadata as mesh, plugin_data_pb2 as mesh_pb2
from tensorboard.plugins.pr_curve import plugin_data_pb2 as pr_curve_pb2

out = {}


def event(value, step):
    e = event_pb2.Event(wall_time=1.5, step=step, summary=summary_pb2.Summary(value=[value]))
    return e.SerializeToString()


def meta(plugin, content=b""):
    return summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin, content=content))


shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
out["text"] = event(summary_pb2.Summary.Value(
    tag="note/text_summary", metadata=meta("text"),
    tensor=tensor_pb2.TensorProto(dtype=7, tensor_shape=shape, string_val=[b"*hello*"])), 3)

limits = []
value = 1e-12
while value < 1e20:
    limits.append(value)
    value *= 1.1
limits = np.array([-x for x in limits[::-1]] + [0] + limits)
values = np.array([0.5, 0.51, -2.0, 3.0, 3.0, 1e-3])
counts, _ = np.histogram(values, bins=limits)
cumulative = np.cumsum(counts)
start, end = np.searchsorted(cumulative, [0, len(values) - 1], side="right")
end += 1
counts = counts[start - 1:end]  # one empty bucket on the left, as tensorboardX writes it
edges = limits[start:end + 1]
out["histogram"] = event(summary_pb2.Summary.Value(tag="w", histo=histogram_pb2.HistogramProto(
    min=values.min(), max=values.max(), num=len(values), sum=values.sum(), sum_squares=values.dot(values),
    bucket_limit=edges, bucket=counts)), 7)

def numbers(*sizes):
    return tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes])


rows = np.arange(18, dtype=np.float32) / 4
out["pr_curve"] = event(summary_pb2.Summary.Value(
    tag="curve", metadata=meta("pr_curves", pr_curve_pb2.PrCurvePluginData(num_thresholds=3).SerializeToString()),
    tensor=tensor_pb2.TensorProto(dtype=1, tensor_shape=numbers(6, 3), float_val=rows)), 9)

chart = lambda title, tag: layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[tag]))
layout = layout_pb2.Layout(category=[
    layout_pb2.Category(title="losses", chart=[chart("both", "loss"), chart("val", "val_.*")]),
    layout_pb2.Category(title="rates", chart=[chart("lr", "lr")])])
out["layout"] = event(summary_pb2.Summary.Value(
    tag="custom_scalars__config__", metadata=meta("custom_scalars"),
    tensor=tensor_pb2.TensorProto(dtype=7, tensor_shape=numbers(), string_val=[layout.SerializeToString()])), 0)

info = api_pb2.HParamInfo
experiment = api_pb2.Experiment(
    hparam_infos=[info(name="lr", type=api_pb2.DATA_TYPE_FLOAT64)],
    metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag="hp_metric"))])
begin = plugin_data_pb2.SessionStartInfo(start_time_secs=1.5)
begin.hparams["lr"].number_value = 0.25
finish = plugin_data_pb2.SessionEndInfo(status=1, end_time_secs=1.5)
for key, data in [("experiment", plugin_data_pb2.HParamsPluginData(experiment=experiment)),
                  ("session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=begin)),
                  ("session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=finish))]:
    out[key] = event(summary_pb2.Summary.Value(tag="_hparams_/" + key, metadata=meta("hparams", data.SerializeToString())), 0)

samples = np.array([[0.5, -0.25], [1, -1], [3, 1e-4]])  # two channels
encoded = io.BytesIO()
with wave.open(encoded, "wb") as sound:
    sound.setnchannels(2)
    sound.setsampwidth(2)
    sound.setframerate(8000)
    sound.writeframes((np.clip(samples, -1, 1).astype(np.float32) * np.float32(32767)).astype("<i2").tobytes())
out["audio"] = event(summary_pb2.Summary.Value(
    tag="beep", metadata=meta("audio"), audio=summary_pb2.Summary.Audio(
        sample_rate=8000, num_channels=2, length_frames=3, encoded_audio_string=encoded.getvalue(), content_type="audio/wav")), 4)

vertex, face, color = [mesh_pb2.MeshPluginData.ContentType.Value(name) for name in ("VERTEX", "FACE", "COLOR")]
for name, kind, array in [("mesh_points", vertex, np.arange(12)), ("mesh_faces", face, np.array([0, 1, 2])), ("mesh_colours", color, np.arange(12) * 20)]:
    array = array.reshape(1, -1, 3).astype(np.float32)
    out[name] = event(summary_pb2.Summary.Value(
        tag=mesh.get_instance_name("shape", kind),
        metadata=mesh.create_summary_metadata("shape", None, kind, mesh.get_components_bitmask([vertex, face, color]), array.shape, None, "{}"),
        tensor=tensor_pb2.TensorProto(dtype=1, tensor_shape=numbers(*array.shape), float_val=array.reshape(-1))), 5)

shapes = lambda *of: {"_output_shapes": attr_value_pb2.AttrValue(list=attr_value_pb2.AttrValue.ListValue(shape=of))}
graph = graph_pb2.GraphDef(versions=versions_pb2.VersionDef(producer=22), node=[
    node_def_pb2.NodeDef(name="fc/weight", op="parameter", attr=shapes(numbers(3, 4))),
    node_def_pb2.NodeDef(name="fc/linear", op="linear", input=["fc/weight"], attr=shapes(numbers(2, 3))),
    node_def_pb2.NodeDef(name="sum", op="sum", input=["fc/linear"], attr=shapes(numbers()))])
out["graph"] = event_pb2.Event(wall_time=1.5, graph_def=graph.SerializeToString()).SerializeToString()

with open(os.path.join(os.path.dirname(__file__), "events.txt"), "w") as file:
    for name, data in out.items():
        file.write(f"{name} {data.hex()}\n")
