/* graph.c: the graph behind tensors, part by part; and as DOT text. */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"

#include <string.h>

/* ---- the walk ---- */

typedef struct walk {
    wk_graph_opts opts;
    wk_status (*visit)(void *context, const wk_graph_part *part);
    void *context;
    struct wk_leaf **leaves; /* met already */
    int n_leaves, capacity;
    wk_tensor **results; /* of the node at hand */
    uint64_t *from;
    int room; /* of both */
} walk;

/* Numbers of leaves lie beyond those of the tape's nodes. */
static uint64_t number_of_leaf(int i) {
    return UINT64_MAX - (uint64_t)i;
}

static const char *name_of(const walk *w, const struct wk_leaf *leaf) {
    for (int i = 0; i < w->opts.count; i++)
        if (w->opts.leaf[i] && w->opts.leaf[i]->leaf == leaf) return w->opts.name[i];
    return NULL;
}

/* The leaf's number; visited when it is met first. */
static wk_status meet_leaf(walk *w, wk_tensor *leaf, uint64_t *number) {
    for (int i = 0; i < w->n_leaves; i++) {
        *number = number_of_leaf(i);
        if (w->leaves[i] == leaf->leaf) return WK_OK;
    }
    if (w->n_leaves == w->capacity) {
        int capacity = w->capacity ? 2 * w->capacity : 32;
        struct wk_leaf **grown = wk_realloc(w->leaves, (size_t)capacity * sizeof(struct wk_leaf *));
        if (!grown) return wk_error_code();
        w->leaves = grown;
        w->capacity = capacity;
    }
    *number = number_of_leaf(w->n_leaves);
    w->leaves[w->n_leaves++] = leaf->leaf;
    const wk_graph_part part = { .number = *number, .name = name_of(w, leaf->leaf), .of = &leaf, .count = 1 };
    return w->visit(w->context, &part);
}

static wk_status make_room(walk *w, int room) {
    if (room <= w->room) return WK_OK;
    wk_tensor **results = wk_realloc(w->results, (size_t)room * sizeof(wk_tensor *));
    if (results) w->results = results;
    uint64_t *from = results ? wk_realloc(w->from, (size_t)room * sizeof *from) : NULL;
    if (!from) return wk_error_code();
    w->from = from;
    w->room = room;
    return WK_OK;
}

/* What a node comes from is marked to be visited. */
static wk_status visit_node(walk *w, struct wk_node *node, uint64_t serial, int *waiting) {
    wk_graph_part part = { .number = node->number, .op = node->op->name };
    WK_TRY(make_room(w, node->n_in > node->n_out ? node->n_in : node->n_out));
    for (int i = 0; i < node->n_in; i++) {
        wk_tensor *in = node->in[i];
        if (!in || !wk__wants_grad(in)) continue;
        if (in->node) {
            if (in->node->mark != serial) {
                in->node->mark = serial;
                (*waiting)++;
            }
            w->from[part.sources++] = in->node->number;
        } else if (in->leaf) {
            WK_TRY(meet_leaf(w, in, &w->from[part.sources++]));
        }
    }
    for (int i = 0; i < node->n_out; i++)
        if (!(node->op->internal_out >> (i < 8 ? i : 7) & 1)) w->results[part.count++] = node->out[i];
    part.of = w->results;
    part.from = w->from;
    return w->visit(w->context, &part);
}

static wk_status walk_back(walk *w, wk_tensor *const *outputs, int n_outputs) {
    uint64_t serial = wk__walk_serial();
    struct wk_node *highest = NULL;
    int waiting = 0;
    for (int o = 0; o < n_outputs; o++) {
        struct wk_node *node = outputs[o]->node;
        if (node->mark == serial) continue;
        node->mark = serial;
        waiting++;
        if (!highest || node->number > highest->number) highest = node;
    }
    for (struct wk_node *node = highest; node && waiting > 0; node = node->previous) {
        if (node->mark != serial) continue;
        waiting--;
        if (node->consumed)
            return wk_fail(WK_STATE,
                           "wk_graph: the part behind \"%s\" [%s] was consumed by a backward; pass retain_graph to "
                           "that one",
                           node->op->name, wk__place(node->call_site));
        WK_TRY(visit_node(w, node, serial, &waiting));
    }
    return WK_OK;
}

static wk_status check(const wk_context *context, wk_tensor *const *outputs, int n_outputs) {
    char text[160];
    if (context->walk) return wk_fail(WK_STATE, "wk_graph: a backward is running");
    for (int o = 0; o < n_outputs; o++) {
        if (!outputs[o]) return wk_fail(WK_INVALID, "wk_graph: output %d is NULL", o);
        if (outputs[o]->life != WK__ALIVE)
            return wk_fail(WK_DEAD_TENSOR, "wk_graph: the scope of output %d has ended", o);
        if (!outputs[o]->node)
            return wk_fail(WK_INVALID,
                           "wk_graph: output %d, %s, is not the result of an operation that wants a gradient", o,
                           wk_describe(outputs[o], text, sizeof text));
    }
    return WK_OK;
}

wk_status wk_graph_walk(wk_tensor *const *outputs, int n_outputs, wk_graph_opts opts,
                        wk_status (*visit)(void *context, const wk_graph_part *part), void *visitor) {
    wk_context *context = wk__context();
    if (!context || wk_failed()) return wk_error_code();
    if (context->mode & WK__MODE_STEP) wk__step_needs_tape(context, "it asks for its graph");
    WK_TRY(check(context, outputs, n_outputs));
    walk w = { .opts = opts, .visit = visit, .context = visitor };
    wk_status status = walk_back(&w, outputs, n_outputs);
    wk_free(w.leaves);
    wk_free(w.results);
    wk_free(w.from);
    return status;
}

/* ---- DOT ---- */

static void add_quoted(wk_text *text, const char *words) {
    wk_text_puts(text, "\"");
    for (; *words; words++) {
        if (*words == '"' || *words == '\\') wk_text_puts(text, "\\");
        wk_text_add(text, (unsigned char)*words < ' ' ? " " : words, 1);
    }
    wk_text_puts(text, "\"");
}

static wk_status draw(void *context, const wk_graph_part *part) {
    wk_text *text = context;
    char label[400], shape[160];
    const char *name = part->op ? part->op : part->name ? part->name : "";
    size_t used = (size_t)snprintf(label, sizeof label, "%s", name);
    for (int i = 0; i < part->count && used < sizeof label; i++)
        used += (size_t)snprintf(label + used, sizeof label - used, "%s%s", used ? " " : "",
                                 wk_describe(part->of[i], shape, sizeof shape));
    wk_text_printf(text, "  n%llu [%slabel=", (unsigned long long)part->number, part->op ? "" : "shape=box, ");
    add_quoted(text, label);
    wk_text_puts(text, "];\n");
    for (int i = 0; i < part->sources; i++)
        wk_text_printf(text, "  n%llu -> n%llu;\n", (unsigned long long)part->from[i],
                       (unsigned long long)part->number);
    return text->failed ? WK_NO_MEMORY : WK_OK;
}

char *wk_graph_dot(wk_tensor *const *outputs, int n_outputs, wk_graph_opts opts) {
    wk_text text = { 0 };
    wk_text_puts(&text, "digraph wick {\n  node [shape=ellipse];\n");
    wk_status status = wk_graph_walk(outputs, n_outputs, opts, draw, &text);
    wk_text_puts(&text, "}\n");
    if (status != WK_OK) wk_text_free(&text);
    return text.data;
}
