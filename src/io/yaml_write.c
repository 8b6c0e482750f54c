/* yaml_write.c: building, changing and dumping trees.
 *
 * A dump must load back equal, because a run's directory keeps its configuration this way and a
 * resume reads it.  So plain scalars are written plain (libyaml decides only where plain is impossible), everything
 * else in double quotes, except `|` blocks, which stay blocks.
 */
#include "io/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static const char *keep(wk__yaml *document, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = wk__arena_take(&document->arena, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

wk__yaml_node *wk__yaml_new(wk__yaml *document, wk__yaml_kind kind, const char *text) {
    wk__yaml_node *node = wk__arena_take(&document->arena, sizeof *node);
    if (!node) return NULL;
    *node = (wk__yaml_node){ .kind = kind };
    if (kind == WK__YAML_SCALAR && text && !(node->text = keep(document, text))) return NULL;
    document->nodes++;
    return node;
}

wk_status wk__yaml_append(wk__yaml *document, wk__yaml_node *parent, const char *key, wk__yaml_node *child) {
    if (key && !(child->key = keep(document, key))) return wk_error_code();
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
    return WK_OK;
}

wk__yaml_node *wk__yaml_copy(wk__yaml *document, const wk__yaml_node *node) {
    wk__yaml_node *copy = wk__yaml_new(document, node->kind, node->text);
    if (!copy) return NULL;
    copy->quoted = node->quoted;
    copy->literal = node->literal;
    copy->line = node->line;
    copy->column = node->column;
    if (node->origin && !(copy->origin = keep(document, node->origin))) return NULL;
    for (const wk__yaml_node *child = node->first; child; child = child->next) {
        wk__yaml_node *child_copy = wk__yaml_copy(document, child);
        if (!child_copy || wk__yaml_append(document, copy, child->key, child_copy) != WK_OK) return NULL;
        child_copy->key_line = child->key_line;
        child_copy->key_column = child->key_column;
    }
    return copy;
}

/* ---- set ---- */

static void set_origin(wk__yaml_node *node, const char *origin) {
    node->origin = origin;
    node->line = node->column = node->key_line = node->key_column = 0;
    for (wk__yaml_node *child = node->first; child; child = child->next) set_origin(child, origin);
}

/* A value on the command line: YAML if it reads as YAML, else the text itself ("a: b: c", "*"). */
static wk__yaml_node *read_value(wk__yaml *document, const char *text) {
    wk__yaml_node *node = NULL;
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk__yaml *value = wk__yaml_parse(text, strlen(text), "value");
    (void)wk__error_bind(former);
    if (value && value->root)
        node = wk__yaml_copy(document, value->root);
    else if ((node = wk__yaml_new(document, WK__YAML_SCALAR, text)))
        node->quoted = value == NULL;
    wk__yaml_free(value);
    return node;
}

static wk__yaml_node *item(wk__yaml_node *sequence, const char *index) {
    char *end = NULL;
    unsigned long at = strtoul(index, &end, 10);
    if (*index < '0' || *index > '9' || *end) return NULL;
    wk__yaml_node *child = sequence->first;
    while (child && at--) child = child->next;
    return child;
}

/* The child that `word` names, made (an empty mapping) if it is missing in a mapping. */
static wk__yaml_node *step_into(wk__yaml *document, wk__yaml_node *parent, const char *word, const char *assignment) {
    if (parent->kind == WK__YAML_SCALAR && wk__yaml_is_null(parent)) parent->kind = WK__YAML_MAPPING;
    if (parent->kind == WK__YAML_SEQUENCE) {
        wk__yaml_node *child = item(parent, word);
        return child ? child
                     : wk_fail_null(WK_CONFIG, "%s: \"%s\" is no index into a list of %zu", assignment, word,
                                    parent->count);
    }
    if (parent->kind != WK__YAML_MAPPING || *word == '\0')
        return wk_fail_null(WK_CONFIG, "%s: \"%s\" would be a member of %s", assignment, word,
                            parent->kind == WK__YAML_MAPPING ? "nothing: the path has an empty part"
                                                             : "a value that is not a mapping");
    wk__yaml_node *child = wk__yaml_find(parent, word);
    if (child) return child;
    child = wk__yaml_new(document, WK__YAML_MAPPING, NULL);
    if (!child || wk__yaml_append(document, parent, word, child) != WK_OK) return NULL;
    return child;
}

wk_status wk__yaml_set(wk__yaml *document, const char *assignment) {
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return wk_fail(WK_CONFIG, "\"%s\": expected key=value, as in trainer.max_epochs=3", assignment);
    const char *origin = keep(document, assignment);
    char *path = wk__arena_take(&document->arena, strlen(assignment) + 1);
    if (!origin || !path) return wk_error_code();
    memcpy(path, assignment, (size_t)(equals - assignment));
    path[equals - assignment] = '\0';
    if (!document->root && !(document->root = wk__yaml_new(document, WK__YAML_MAPPING, NULL))) return wk_error_code();
    wk__yaml_node *node = document->root;
    for (char *word = path, *dot; word; word = dot) {
        dot = strchr(word, '.');
        if (dot) *dot++ = '\0';
        if (!(node = step_into(document, node, word, origin))) return wk_error_code();
    }
    wk__yaml_node *value = read_value(document, equals + 1);
    if (!value) return wk_error_code();
    set_origin(value, origin);
    value->key = node->key; /* the place in the parent stays, what stands there changes */
    value->next = node->next;
    *node = *value;
    return WK_OK;
}

/* ---- dump ---- */

static int write_text(void *context, unsigned char *bytes, size_t size) {
    wk_text_add(context, (const char *)bytes, size);
    return !((wk_text *)context)->failed;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, bool quoted, bool literal) {
    yaml_event_t event;
    yaml_scalar_style_t style = literal  ? YAML_LITERAL_SCALAR_STYLE
                                : quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                         : YAML_PLAIN_SCALAR_STYLE;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), !quoted, 1,
                                        style)
           && yaml_emitter_emit(emitter, &event);
}

static bool emit(yaml_emitter_t *emitter, const wk__yaml_node *node) {
    yaml_event_t event;
    if (node->kind == WK__YAML_SCALAR) return emit_scalar(emitter, node->text, node->quoted, node->literal);
    bool list = node->kind == WK__YAML_SEQUENCE;
    if (!(list ? yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE)
               : yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)))
        return false;
    if (!yaml_emitter_emit(emitter, &event)) return false;
    for (const wk__yaml_node *child = node->first; child; child = child->next) {
        if (!list && !emit_scalar(emitter, child->key, strcmp(child->key, "<<") == 0, false)) return false;
        if (!emit(emitter, child)) return false;
    }
    return (list ? yaml_sequence_end_event_initialize(&event) : yaml_mapping_end_event_initialize(&event))
           && yaml_emitter_emit(emitter, &event);
}

char *wk__yaml_dump(const wk__yaml_node *root) {
    wk_text text = { 0 };
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (wk__yaml_is_null(root)) return wk_strdup("~\n"); /* nothing at all would be an empty document */
    if (!yaml_emitter_initialize(&emitter)) return wk_fail_null(WK_NO_MEMORY, "out of memory while writing YAML");
    yaml_emitter_set_output(&emitter, write_text, &text);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    bool good = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && yaml_emitter_emit(&emitter, &event)
                && yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1)
                && yaml_emitter_emit(&emitter, &event) && emit(&emitter, root)
                && yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(&emitter, &event)
                && yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(&emitter, &event);
    if (!good || text.failed) {
        if (!wk_failed()) (void)wk_fail(WK_INTERNAL, "YAML: %s", emitter.problem ? emitter.problem : "cannot write");
        wk_text_free(&text);
    } else if (!text.data)
        wk_text_puts(&text, "");
    yaml_emitter_delete(&emitter);
    return text.data;
}
