/* yaml.h: YAML documents as a tree that still knows where each word stood.
 *
 * libyaml gives events; what a configuration needs is a tree with positions, so that "unknown key" can name the line,
 * and with the scalar's style, so that a quoted "8" stays text.  A document owns all of its nodes (one arena); nodes
 * are linked lists in the order of the file, so a dump keeps it.  Anchors are expanded on load, up to a limit; tags,
 * merge keys, duplicate keys and several documents in one file are refused, each with its position.
 */
#ifndef WICK_SRC_IO_YAML_H
#define WICK_SRC_IO_YAML_H

#include "base/base.h"

typedef enum wk__yaml_kind { WK__YAML_SCALAR, WK__YAML_SEQUENCE, WK__YAML_MAPPING } wk__yaml_kind;

typedef struct wk__yaml_node wk__yaml_node;
struct wk__yaml_node {
    wk__yaml_kind kind;
    bool quoted;        /* a scalar written in quotes, as a block, or tagged !!str: never a number, bool or null */
    bool literal;       /* a `|` block: dumped as one again */
    int line, column;   /* 1-based; 0 for a node that no file holds */
    const char *origin; /* what to name in place of file:line:column (an override on the command line), or NULL */
    const char *text;   /* scalar: terminated UTF-8 without NUL */
    const char *key;    /* member of a mapping: its key */
    int key_line, key_column;
    size_t count; /* sequence, mapping: number of children */
    wk__yaml_node *first, *last, *next;
};

typedef struct wk__yaml {
    wk__arena arena;
    const char *name;    /* of the file, for messages */
    wk__yaml_node *root; /* NULL for an empty document */
    size_t nodes;
} wk__yaml;

/* ---- load ---- */

/* A document from a file or a URL (wick/files.h), or NULL with an error pending: "file:line:column: …". */
WK_API wk__yaml *wk__yaml_load(const char *path);
/* The same from memory; `name` stands for the file in messages. */
WK_API wk__yaml *wk__yaml_parse(const char *text, size_t size, const char *name);
WK_API void wk__yaml_free(wk__yaml *document);

/* ---- read ---- */

/* WK_CONFIG with "file:line:column: MESSAGE"; at the key's position with wk__yaml_fail_key. */
WK_API wk_status wk__yaml_fail(const wk__yaml *document, const wk__yaml_node *node, const char *format, ...)
    WK_PRINTF(3, 4);
WK_API wk_status wk__yaml_fail_key(const wk__yaml *document, const wk__yaml_node *node, const char *format, ...)
    WK_PRINTF(3, 4);

/* The member of a mapping, or NULL. */
WK_API wk__yaml_node *wk__yaml_find(const wk__yaml_node *mapping, const char *key);
/* A plain `null`, `~` or nothing. */
WK_API bool wk__yaml_is_null(const wk__yaml_node *node);

/* Typed values.  `what` names the thing in the message; NULL takes the node's key. */
WK_API wk_status wk__yaml_string(const wk__yaml *document, const wk__yaml_node *node, const char *what,
                                 const char **value);
WK_API wk_status wk__yaml_int(const wk__yaml *document, const wk__yaml_node *node, const char *what, int64_t least,
                              int64_t most, int64_t *value);
/* Decimal numbers as C and Python write them (1e-4, 1.e-4, .5), .inf, .nan; quoted text is refused. */
WK_API wk_status wk__yaml_double(const wk__yaml *document, const wk__yaml_node *node, const char *what, double *value);
/* true, false, yes, no, on, off, in any of YAML's three spellings of case. */
WK_API wk_status wk__yaml_bool(const wk__yaml *document, const wk__yaml_node *node, const char *what, bool *value);
/* WK_OK if the node is a sequence, or a mapping. */
WK_API wk_status wk__yaml_list(const wk__yaml *document, const wk__yaml_node *node, const char *what);
WK_API wk_status wk__yaml_map(const wk__yaml *document, const wk__yaml_node *node, const char *what);
/* Every key of the mapping is one of the names; else `unknown key "num_replica" in WHERE; did you mean "…"?`. */
WK_API wk_status wk__yaml_known(const wk__yaml *document, const wk__yaml_node *mapping, const char *where,
                                const char *const *names, size_t count);

/* ---- write ---- */

/* A scalar, list or map of this document; text is copied. */
WK_API wk__yaml_node *wk__yaml_new(wk__yaml *document, wk__yaml_kind kind, const char *text);
/* Put a child at the end; key NULL in a sequence. */
WK_API wk_status wk__yaml_append(wk__yaml *document, wk__yaml_node *parent, const char *key, wk__yaml_node *child);
/* A deep copy that belongs to `document`, whatever document the node is of. */
WK_API wk__yaml_node *wk__yaml_copy(wk__yaml *document, const wk__yaml_node *node);
/* "trainer.lr=1e-3": set the member named by the dotted path (a number is the index into a sequence; missing mappings
 * are made) to the value, which is read as YAML. */
WK_API wk_status wk__yaml_set(wk__yaml *document, const char *assignment);
/* The tree as YAML text; loads back equal.  Free with wk_free. */
WK_API char *wk__yaml_dump(const wk__yaml_node *root);
/* Same kinds, keys, order and text; quotes count where they make a number, a truth value or null into text. */
WK_API bool wk__yaml_equal(const wk__yaml_node *a, const wk__yaml_node *b);

#endif
