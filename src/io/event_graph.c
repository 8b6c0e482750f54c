/* event_graph.c: a graph in an event file.
 *
 * Event: 1 wall_time, 4 graph_def, bytes { 1 node { 1 name, 2 op, 3 input, 5 attr { 1 key, 2 value } }, 4 versions { 1
 * producer } }; the attribute _output_shapes is { 1 list { 7 shape } }.  Format: tensorflow/core/framework/graph.proto.
 */
#include "io/event_file.h"

#include "io/proto.h"

static void add_node(wk_text *graph, const wk__graph_part *part) {
    wk_text node = { 0 }, entry = { 0 }, value = { 0 }, list = { 0 };
    wk__proto_text(&node, 1, part->name);
    wk__proto_text(&node, 2, part->op);
    for (int i = 0; i < part->inputs; i++) wk__proto_text(&node, 3, part->input[i]);
    for (int i = 0; i < part->shapes; i++) wk__event_shape(&list, 7, part->shape[i]);
    wk__proto_message(&value, 1, &list);
    wk__proto_text(&entry, 1, "_output_shapes");
    wk__proto_message(&entry, 2, &value);
    wk__proto_message(&node, 5, &entry);
    wk__proto_message(graph, 1, &node);
}

void wk__event_graph(wk_text *out, double wall_time, const wk__graph_part *parts, int count) {
    enum { PRODUCER = 22 }; /* of TensorFlow 1.0 and torch.utils.tensorboard */
    wk_text event = { 0 }, graph = { 0 }, versions = { 0 };
    for (int i = 0; i < count; i++) add_node(&graph, &parts[i]);
    wk__proto_number(&versions, 1, PRODUCER);
    wk__proto_message(&graph, 4, &versions);
    wk__proto_double(&event, 1, wall_time);
    wk__proto_message(&event, 4, &graph);
    wk__event_record(out, &event);
    wk_text_free(&event);
}
