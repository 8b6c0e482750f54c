/* graph.c: graphs as DOT: read back by a small parser of the part of DOT that is written. */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "wick/nn.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
typedef struct graph {
    char id[MOST][24], label[MOST][120];
    int nodes, edges;
    char from[MOST][24], to[MOST][24];
} graph;

/* One statement a line: ID [label="…"]; or ID -> ID; */
static void parse(const char *text, graph *g) {
    *g = (graph){ 0 };
    cr_assert(strncmp(text, "digraph wick {\n", 15) == 0);
    const char *line = strchr(text, '\n') + 1;
    for (; *line && *line != '}'; line = strchr(line, '\n') + 1) {
        char id[24], to[24];
        int used = 0;
        if (sscanf(line, " node [shape=ellipse];%n", &used) == 0 && used) continue;
        if (sscanf(line, " %23[a-z0-9] -> %23[a-z0-9];%n", id, to, &used) == 2 && used) {
            (void)strcpy(g->from[g->edges], id);
            (void)strcpy(g->to[g->edges++], to);
            continue;
        }
        cr_assert(sscanf(line, " %23[a-z0-9] [%n", id, &used) == 1 && used, "%.80s", line);
        const char *label = strstr(line, "label=\"") + 7;
        (void)strcpy(g->id[g->nodes], id);
        size_t length = 0;
        while (label[0] != '"') {
            if (label[0] == '\\') label++;
            cr_assert(label[0] && label[0] != '\n');
            g->label[g->nodes][length++] = *label++;
        }
        cr_assert(strncmp(label, "\"];\n", 4) == 0, "%.80s", line);
        g->nodes++;
    }
    cr_assert_str_eq(line, "}\n");
    for (int e = 0; e < g->edges; e++) { /* both ends exist */
        int ends = 0;
        for (int n = 0; n < g->nodes; n++)
            ends += (strcmp(g->id[n], g->from[e]) == 0) + (strcmp(g->id[n], g->to[e]) == 0);
        cr_assert_eq(ends, 2, "%s -> %s", g->from[e], g->to[e]);
    }
}

static bool has_edge(const graph *g, const char *from, const char *to) {
    for (int e = 0; e < g->edges; e++) {
        const char *a = "", *b = "";
        for (int n = 0; n < g->nodes; n++) {
            if (strcmp(g->id[n], g->from[e]) == 0) a = g->label[n];
            if (strcmp(g->id[n], g->to[e]) == 0) b = g->label[n];
        }
        if (strcmp(a, from) == 0 && strcmp(b, to) == 0) return true;
    }
    return false;
}

Test(graph, of_a_small_network) {
    wk_module *net = wk_nn_sequential(wk_nn_linear(4, 3, (wk_layer_opts){ 0 }), wk_nn_relu());
    wk_named_tensors parameters = wk_parameters(net);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_forward(net, wk_full(WK_F32, WK_DIMS(2, 4), 1)),
              *loss = wk_sum(wk_mul(y, y), (wk_reduce_opts){ 0 });
    char *text = wk_graph_dot(&loss, 1, (wk_graph_opts){ parameters.tensor, parameters.name, parameters.count });
    cr_assert(text, "%s", wk_message());
    graph g;
    parse(text, &g);
    cr_expect_eq(g.nodes, 5, "%s", text);
    cr_expect_eq(g.edges, 5, "%s", text);
    cr_expect(has_edge(&g, "0.weight (3, 4) f32", "linear (2, 3) f32"), "%s", text);
    cr_expect(has_edge(&g, "0.bias (3) f32", "linear (2, 3) f32"), "%s", text);
    cr_expect(has_edge(&g, "linear (2, 3) f32", "mul (2, 3) f32"), "%s", text);
    cr_expect(has_edge(&g, "mul (2, 3) f32", "sum () f32"), "%s", text);
    wk_free(text);
    /* Two outputs, no names, a name that must be quoted. */
    const char *odd = "a\"b\\c";
    wk_tensor *const both[] = { loss, y };
    text = wk_graph_dot(both, 2, (wk_graph_opts){ parameters.tensor, &odd, 1 });
    parse(text, &g);
    cr_expect(has_edge(&g, "a\"b\\c (3, 4) f32", "linear (2, 3) f32"), "%s", text);
    cr_expect(has_edge(&g, "(3) f32", "linear (2, 3) f32"), "%s", text);
    if (system("command -v dot >/dev/null") == 0) { /* Graphviz, where it is there */
        FILE *dot = popen("dot -Tsvg -o /dev/null", "w");
        cr_assert(dot && fputs(text, dot) >= 0);
        cr_expect_eq(pclose(dot), 0);
    }
    wk_free(text);
    cr_assert_eq(wk_backward(loss), WK_OK, "it is still whole: %s", wk_message());
    cr_expect_null(wk_graph_dot(&loss, 1, (wk_graph_opts){ 0 }));
    cr_expect(strstr(wk_message(), "wk_graph: the part behind \"sum\""), "%s", wk_message());
    wk_clear_error();
    wk_tensor *plain = wk_detach(y);
    cr_expect_null(wk_graph_dot(&plain, 1, (wk_graph_opts){ 0 }));
    cr_expect_str_eq(wk_message(),
                     "wk_graph: output 0, (2, 3) f32, is not the result of an operation that wants a gradient");
    wk_clear_error();
    wk_scope_end(scope);
    wk_module_destroy(net);
}
