/* help.c: `wick run COMPONENT --help`: its text, each parameter with type and default, an example. */
#include "launcher/component/component.h"

#include <string.h>

enum { COLUMN = 30 };

static void put_default(wk_text *out, const wk__parameter *p) {
    if (p->initial) {
        wk_text_puts(out, "(default: ");
        (void)wk__node_text(out, p->initial);
        wk_text_puts(out, ")");
    } else if (!p->optional)
        wk_text_puts(out, "(required)");
}

static void put_parameter(wk_text *out, const wk__parameter *p) {
    wk_text left = { 0 };
    if (p->type == WK__VARARGS)
        wk_text_printf(&left, "  %s ...", p->name);
    else {
        wk_text_puts(&left, "  ");
        if (p->letter) wk_text_printf(&left, "-%c, ", p->letter);
        wk_text_printf(&left, "--%s %s", p->name, wk__parameter_type_names[p->type]);
    }
    bool list = p->type == WK__LIST || p->type == WK__DICT;
    if (list && p->item != WK__STR) wk_text_printf(&left, "[%s]", wk__parameter_type_names[p->item]);
    wk_text_printf(out, "%-*s %s%s", COLUMN, wk_text_get(&left), p->help, *p->help ? " " : "");
    put_default(out, p);
    while (out->size && out->data[out->size - 1] == ' ') out->data[--out->size] = '\0';
    wk_text_puts(out, "\n");
    wk_text_free(&left);
}

char *wk__component_help(const wk__component *c) {
    wk_text out = { 0 };
    bool rest = false;
    for (size_t i = 0; i < c->count; i++) rest = rest || c->parameters[i].type == WK__VARARGS;
    wk_text_printf(&out, "usage: wick run %s%s%s\n", c->name, c->count > rest ? " [--NAME VALUE ...]" : "",
                   rest ? " [--] [ARGUMENTS]" : "");
    if (*c->text) wk_text_printf(&out, "\n%s\n", c->text);
    if (c->scheduler) wk_text_printf(&out, "\nRuns on the scheduler %s unless -s names another.\n", c->scheduler);
    if (c->count) wk_text_puts(&out, "\n");
    for (size_t i = 0; i < c->count; i++) put_parameter(&out, &c->parameters[i]);
    if (*c->example) wk_text_printf(&out, "\nexample:  %s\n", c->example);
    if (out.failed) wk_text_free(&out);
    return out.data;
}
