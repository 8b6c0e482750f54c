/* component.h: a component is a template of an AppDef, in YAML, with typed parameters.
 *
 *   version: 1
 *   components:
 *     utils.echo:
 *       doc: print a message, once a replica
 *       parameters:
 *         msg: {type: str, default: hello world, help: what to print}
 *       app: {name: echo, roles: [{name: echo, entrypoint: echo, args: ["${msg}"]}]}
 *
 * declare.c reads that, arguments.c gives the parameters values, value.c says what `${msg}`, `${j.nodes}` and
 * `${args|shell}` stand for, template.c puts them in, registry.c knows where components are, lint.c finds fault before
 * anybody runs one.  The built-in ones (builtin/) go the same way as a user's.
 */
#ifndef WICK_SRC_LAUNCHER_COMPONENT_H
#define WICK_SRC_LAUNCHER_COMPONENT_H

#include "launcher/launcher.h"

typedef enum wk__parameter_type {
    WK__STR,
    WK__INT,
    WK__FLOAT,
    WK__BOOL,
    WK__LIST,     /* a,b */
    WK__DICT,     /* k=v,k2=v2 */
    WK__VARARGS,  /* what follows -- */
    WK__JOB,      /* [[min:]nodes x]procs */
    WK__RUN_NAME, /* experiment/run */
    WK__PARAMETER_TYPES
} wk__parameter_type;

typedef struct wk__parameter {
    const char *name, *help; /* help "" if none */
    char letter;             /* of a short option, or 0 */
    wk__parameter_type type;
    wk__parameter_type item; /* of a list's items and a dict's values: STR, INT, FLOAT or BOOL */
    bool optional;           /* may stay without a value */
    const char *host;        /* of a job: the parameter with the name of a resource, or NULL */
    const char *const *of;   /* (2) of a run name: the parameters that hold a script and a module */
    const wk__yaml_node *initial, *node;
} wk__parameter;

typedef struct wk__component {
    wk__yaml *doc; /* owns everything */
    const char *name, *text, *example /* "" */, *scheduler /* NULL: any */;
    wk__parameter *parameters;
    size_t count;
    const wk__yaml_node *exactly_one; /* a list of names, or NULL */
    const wk__yaml_node *app, *node;
} wk__component;

/* A component with values: what a template reads. */
typedef struct wk__filled {
    const wk__component *component;
    wk__yaml *doc;          /* owns the values, becomes the AppDef */
    wk__yaml_node **values; /* (count); NULL: not given */
    bool *given;            /* (count): by an argument */
} wk__filled;

typedef struct wk__component_source {
    const char *name, *text;
} wk__component_source;
extern const wk__component_source wk__builtin_components[]; /* ends with a name NULL; made by cmake of builtin/ */

/* ---- declare.c ---- */
extern const char *const wk__parameter_type_names[WK__PARAMETER_TYPES];
/* The mapping `components` of a document, checked. */
wk_status wk__components_of(const wk__yaml *doc, const wk__yaml_node **components);
/* One member of it.  Takes no ownership of the document. */
wk_status wk__component_read(wk__yaml *doc, const wk__yaml_node *node, wk__component *out);
const wk__parameter *wk__parameter_find(const wk__component *component, const char *name, size_t size);

/* ---- arguments.c ---- */
/* Words of a command line; then `config`, for what they did not give; then defaults. */
wk_status wk__component_fill(wk__filled *filled, int argc, char *const *argv, const wk_pair *config,
                             size_t config_count);
/* A typed value out of text; `who` names it in messages. */
wk__yaml_node *wk__parameter_value(const wk__filled *filled, const wk__parameter *parameter, const char *who,
                                   const char *text);

/* ---- value.c ---- */
/* What stands within ${…}: NAME, NAME.FIELD or NAME|FILTER. */
typedef struct wk__reference {
    const wk__parameter *parameter; /* NULL: not a parameter's name */
    const char *field, *filter;     /* (sizes) or NULL */
    size_t field_size, filter_size;
} wk__reference;
wk__reference wk__reference_of(const wk__component *component, const char *body, size_t size);
/* Is there such a field and filter for the type?  Else a sentence that says which there are. */
const char *wk__reference_fault(const wk__reference *reference);
/* A node of filled->doc; NULL without an error: it has no value. */
wk__yaml_node *wk__resolve(const wk__filled *filled, const wk__reference *reference);
/* The node as text: items parted by spaces, members as k=v parted by commas. */
wk_status wk__node_text(wk_text *out, const wk__yaml_node *node);

typedef struct wk__job {
    int64_t min_nodes, nodes, procs;
} wk__job;
wk_status wk__job_parse(const char *who, const char *text, const char *host, wk__job *out);

/* ---- template.c ---- */
/* The AppDef's tree, in filled->doc. */
wk__yaml_node *wk__template_expand(const wk__filled *filled, const wk__yaml_node *app);
/* "script|suffix == py" */
typedef struct wk__condition {
    wk__reference reference;
    const char *name, *literal; /* literal NULL: is it set? */
    size_t name_size, literal_size;
    bool negated;
} wk__condition;
wk__condition wk__condition_of(const wk__component *component, const char *text, size_t size);

/* ---- registry.c ---- */
/* "utils.echo", "file.yaml:name", or a name of a file in WICK_COMPONENT_PATH; free with wk__component_free. */
wk__component *wk__component_find(const char *name);
void wk__component_free(wk__component *component);
/* True if the word cannot be anything but a component's name: "file.yaml:name". */
bool wk__component_is_path(const char *word);
typedef struct wk__component_entry {
    char name[128], where[512], text[160];
    bool broken; /* `text` says why */
} wk__component_entry;
/* All that can be found by name; broken files are entries too.  Free with wk_free. */
wk_status wk__component_list(wk__component_entry **entries, size_t *count);
/* Build it.  `config` as for wk__component_fill. */
wk_appdef *wk__component_build(const wk__component *component, int argc, char *const *argv, const wk_pair *config,
                               size_t config_count);

/* ---- help.c ---- */
char *wk__component_help(const wk__component *component);

/* ---- lint.c ---- */
/* Print "file:line:column: error: …" for every fault; the number of errors (warnings do not count). */
int wk__component_lint(const char *path, const char *name, wk_text *out);
/* The same of a document that is read already; NULL: the pending error is the fault. */
WK_API int wk__component_lint_document(wk__yaml *document, const char *name, wk_text *out);

#endif
