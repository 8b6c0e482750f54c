/* graph.c: the graph behind tensors as DOT text. */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"

#include <string.h>

typedef struct drawing {
    wk_text text;
    wk_graph_dot_opts opts;
    struct wk_leaf **leaves; /* drawn already */
    int n_leaves, capacity;
} drawing;

static void add_quoted(wk_text *text, const char *words) {
    wk_text_puts(text, "\"");
    for (; *words; words++) {
        if (*words == '"' || *words == '\\') wk_text_puts(text, "\\");
        wk_text_add(text, (unsigned char)*words < ' ' ? " " : words, 1);
    }
    wk_text_puts(text, "\"");
}

static void draw_node(drawing *d, const struct wk_node *node) {
    char label[400], shape[160];
    size_t used = (size_t)snprintf(label, sizeof label, "%s", node->op->name);
    for (int i = 0; i < node->n_out && used < sizeof label; i++)
        if (!(node->op->internal_out >> (i < 8 ? i : 7) & 1))
            used += (size_t)snprintf(label + used, sizeof label - used, " %s",
                                     wk_describe(node->out[i], shape, sizeof shape));
    wk_text_printf(&d->text, "  n%llu [label=", (unsigned long long)node->number);
    add_quoted(&d->text, label);
    wk_text_puts(&d->text, "];\n");
}

static const char *name_of(const drawing *d, const struct wk_leaf *leaf) {
    for (int i = 0; i < d->opts.count; i++)
        if (d->opts.leaf[i] && d->opts.leaf[i]->leaf == leaf) return d->opts.name[i];
    return NULL;
}

/* The leaf's number; drawn when it is met first.  -1: out of memory. */
static int leaf_number(drawing *d, const wk_tensor *leaf) {
    for (int i = 0; i < d->n_leaves; i++)
        if (d->leaves[i] == leaf->leaf) return i;
    if (d->n_leaves == d->capacity) {
        int capacity = d->capacity ? 2 * d->capacity : 32;
        struct wk_leaf **grown = wk_realloc(d->leaves, (size_t)capacity * sizeof(struct wk_leaf *));
        if (!grown) return -1;
        d->leaves = grown;
        d->capacity = capacity;
    }
    d->leaves[d->n_leaves] = leaf->leaf;
    char label[400], shape[160];
    const char *name = name_of(d, leaf->leaf);
    (void)snprintf(label, sizeof label, "%s%s%s", name ? name : "", name ? " " : "",
                   wk_describe(leaf, shape, sizeof shape));
    wk_text_printf(&d->text, "  leaf%d [shape=box, label=", d->n_leaves);
    add_quoted(&d->text, label);
    wk_text_puts(&d->text, "];\n");
    return d->n_leaves++;
}

/* Edges into one node; what they come from is marked to be drawn. */
static bool draw_edges(drawing *d, struct wk_node *node, uint64_t serial, int *waiting) {
    for (int i = 0; i < node->n_in; i++) {
        const wk_tensor *in = node->in[i];
        if (!in || !wk__wants_grad(in)) continue;
        if (in->node) {
            if (in->node->mark != serial) {
                in->node->mark = serial;
                (*waiting)++;
            }
            wk_text_printf(&d->text, "  n%llu -> n%llu;\n", (unsigned long long)in->node->number,
                           (unsigned long long)node->number);
        } else if (in->leaf) {
            int leaf = leaf_number(d, in);
            if (leaf < 0) return false;
            wk_text_printf(&d->text, "  leaf%d -> n%llu;\n", leaf, (unsigned long long)node->number);
        }
    }
    return true;
}

static wk_status draw(drawing *d, wk_tensor *const *outputs, int n_outputs) {
    uint64_t serial = wk__walk_serial();
    struct wk_node *highest = NULL;
    int waiting = 0;
    for (int o = 0; o < n_outputs; o++) {
        struct wk_node *node = outputs[o]->node;
        if (!node || node->mark == serial) continue;
        node->mark = serial;
        waiting++;
        if (!highest || node->number > highest->number) highest = node;
    }
    wk_text_puts(&d->text, "digraph wick {\n  node [shape=ellipse];\n");
    for (struct wk_node *node = highest; node && waiting > 0; node = node->previous) {
        if (node->mark != serial) continue;
        waiting--;
        if (node->consumed)
            return wk_fail(WK_STATE,
                           "wk_graph_dot: the part behind \"%s\" [%s] was consumed by a backward; pass "
                           "retain_graph to that one",
                           node->op->name, wk__place(node->call_site));
        draw_node(d, node);
        if (!draw_edges(d, node, serial, &waiting)) return WK_NO_MEMORY;
    }
    wk_text_puts(&d->text, "}\n");
    return d->text.failed ? WK_NO_MEMORY : WK_OK;
}

char *wk_graph_dot(wk_tensor *const *outputs, int n_outputs, wk_graph_dot_opts opts) {
    wk_context *context = wk__context();
    if (!context || wk_failed()) return NULL;
    if (context->mode & WK__MODE_STEP) wk__step_needs_tape(context, "it asks for its graph");
    if (context->walk) return wk_fail_null(WK_STATE, "wk_graph_dot: a backward is running");
    char text[160];
    for (int o = 0; o < n_outputs; o++) {
        if (!outputs[o]) return wk_fail_null(WK_INVALID, "wk_graph_dot: output %d is NULL", o);
        if (outputs[o]->life != WK__ALIVE)
            return wk_fail_null(WK_DEAD_TENSOR, "wk_graph_dot: the scope of output %d has ended", o);
        if (!outputs[o]->node)
            return wk_fail_null(WK_INVALID,
                                "wk_graph_dot: output %d, %s, is not the result of an operation that wants "
                                "a gradient",
                                o, wk_describe(outputs[o], text, sizeof text));
    }
    drawing d = { .opts = opts };
    wk_status status = draw(&d, outputs, n_outputs);
    wk_free(d.leaves);
    if (status != WK_OK) wk_text_free(&d.text);
    return d.text.data;
}
