/* table.c: the op table as text and as JSON. */
#include "inspect/table.h"

#include "base/base.h"
#include "wick/inspect.h"
#include "wick/op.h"

#include <jansson.h>
#include <string.h>

const char *const wk__attr_types[] = {
    [WK_ATTR_INT] = "int",     [WK_ATTR_FLOAT] = "float",    [WK_ATTR_BOOL] = "bool",
    [WK_ATTR_ENUM] = "choice", [WK_ATTR_DTYPE] = "dtype",    [WK_ATTR_INTS] = "ints",
    [WK_ATTR_DIMS] = "ints",   [WK_ATTR_OPTIONAL] = "float", [WK_ATTR_TEXT] = "text",
};

bool wk__is_differentiable(const wk_op_def *op) {
    return op->grad || (op->composite && !op->not_differentiable);
}

/* ---- JSON ---- */

static json_t *dtypes_of(wk_dtype_set set) {
    json_t *names = json_array();
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++)
        if (!set || (set >> dtype & 1)) (void)json_array_append_new(names, json_string(wk_dtype_name((wk_dtype)dtype)));
    return names;
}

static json_t *default_of(const wk_op_def *op, int index) {
    static const char zeros[512];
    const wk_attr_def *attr = &op->attrs[index];
    char text[200];
    if (wk_op_get_attr(op, zeros, index, text, sizeof text) != WK_OK) return json_null();
    switch (attr->type) {
    case WK_ATTR_BOOL: return json_false();
    case WK_ATTR_INT: return json_integer(0);
    case WK_ATTR_FLOAT:
    case WK_ATTR_OPTIONAL: return json_real(attr->otherwise);
    case WK_ATTR_INTS:
    case WK_ATTR_DIMS: return json_array();
    default: return json_string(text);
    }
}

static json_t *attribute(const wk_op_def *op, int index) {
    const wk_attr_def *attr = &op->attrs[index];
    json_t *object = json_pack("{s:s, s:s, s:o, s:s}", "name", attr->name, "type", wk__attr_types[attr->type],
                               "default", default_of(op, index), "doc", attr->doc);
    if (attr->type == WK_ATTR_INTS) (void)json_object_set_new(object, "length", json_integer(attr->length));
    if (attr->choices) {
        json_t *choices = json_array();
        for (const char *at = attr->choices; *at; at += strcspn(at, "|"), at += *at == '|')
            (void)json_array_append_new(choices, json_stringn(at, strcspn(at, "|")));
        (void)json_object_set_new(object, "choices", choices);
    }
    return object;
}

static json_t *count_or_list(uint8_t count) {
    return count == WK_LIST ? json_string("list") : json_integer(count);
}

static json_t *describe(const wk_op_def *op) {
    json_t *inputs = json_array(), *optional = json_array(), *attributes = json_array();
    for (int i = 0; i < (op->n_in == WK_LIST ? 1 : op->n_in); i++) {
        (void)json_array_append_new(inputs, dtypes_of(op->dtype.allowed[i]));
        if (op->n_in != WK_LIST && (op->optional_in >> i & 1)) (void)json_array_append_new(optional, json_integer(i));
    }
    for (int i = 0; i < op->n_attrs; i++) (void)json_array_append_new(attributes, attribute(op, i));
    json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "name", op->name, "family",
                               wk_op_family(op), "doc", op->doc, "inputs", count_or_list(op->n_in), "optional_inputs",
                               optional, "outputs", count_or_list(op->n_out), "attributes", attributes, "dtypes",
                               inputs, "differentiable", (int)wk__is_differentiable(op));
    if (op->not_differentiable)
        (void)json_object_set_new(object, "not_differentiable", json_string(op->not_differentiable));
    if (op->thread_dependent) (void)json_object_set_new(object, "thread_dependent", json_string(op->thread_dependent));
    const struct {
        const char *name;
        bool value;
    } flags[] = { { "composite", op->composite },
                  { "data_dependent", op->data_dependent },
                  { "random", op->random },
                  { "internal", op->internal } };
    for (size_t i = 0; i < WK_COUNT(flags); i++)
        (void)json_object_set_new(object, flags[i].name, json_boolean(flags[i].value));
    return object;
}

static wk_status print_json(FILE *out) {
    json_t *table = json_array();
    for (int id = 0; id < wk_op_count(); id++) (void)json_array_append_new(table, describe(wk_op_get(id)));
    bool complete = table && json_array_size(table) == (size_t)wk_op_count();
    char *text = complete ? json_dumps(table, JSON_INDENT(1)) : NULL;
    json_decref(table);
    if (!text) return wk_fail(WK_NO_MEMORY, "wick op: no memory for the table");
    int written = fprintf(out, "%s\n", text);
    free(text);
    return written < 0 ? wk_fail(WK_IO, "wick op: cannot write the table") : WK_OK;
}

/* ---- text ---- */

static wk_status print_text(FILE *out) {
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *op = wk_op_get(id);
        if (op->internal) continue;
        if (fprintf(out, "%-24s %s%s\n", op->name, op->doc, wk__is_differentiable(op) ? "" : "  [no gradient]") < 0)
            return wk_fail(WK_IO, "wick op: cannot write the table");
    }
    return WK_OK;
}

wk_status wk_op_table_print(FILE *out, bool json) {
    return json ? print_json(out) : print_text(out);
}
