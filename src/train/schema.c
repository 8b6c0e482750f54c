/* schema.c: `wick train --schema`: what registration knows, as YAML. */
#include "train/registry.h"

#include <string.h>

static const char *const kinds[] = { "int", "number", "bool", "text", "list", "spec", "map" };

wk_status wk__schema_args(wk_text *out, const wk_arg *args, int indent) {
    for (const wk_arg *arg = args; arg && arg->name; arg++) {
        wk_text_printf(out, "%*s%s: { type: %s", indent, "", arg->name, kinds[arg->kind]);
        if (!arg->otherwise)
            wk_text_puts(out, ", required: true");
        else if (*arg->otherwise)
            wk_text_printf(out, ", default: %s", arg->otherwise);
        wk_text_puts(out, " }");
        if (arg->what) wk_text_printf(out, "  # %s", arg->what);
        wk_text_puts(out, "\n");
    }
    return out->failed ? WK_NO_MEMORY : WK_OK;
}

static void print_entry(wk_text *out, const wk_entry *entry) {
    wk_text_printf(out, "  %s:%s", entry->name, entry->args && entry->args[0].name ? "" : " {}");
    if (entry->what) wk_text_printf(out, "  # %s", entry->what);
    wk_text_puts(out, "\n");
    (void)wk__schema_args(out, entry->args, 4);
}

static wk_status unknown(const char *what, const char *word, const char *const *names, size_t count) {
    const char *near = wk__nearest(word, names, count);
    wk_text all = { 0 };
    for (size_t i = 0; i < count; i++) wk_text_printf(&all, "%s%s", i ? ", " : "", names[i]);
    wk_status status = wk_fail(WK_NOT_FOUND, "--schema: there is no %s \"%s\"%s%s%s (known: %s)", what, word,
                               near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", wk_text_get(&all));
    wk_text_free(&all);
    return status;
}

static wk_status print_kind(wk_text *out, wk__kind kind, const char *name) {
    const char *names[512];
    size_t count = wk__entry_count(kind);
    for (size_t i = 0; i < count; i++) names[i] = wk__entry_at(kind, i)->name;
    const wk_entry *one = name ? wk__entry_find(kind, name) : NULL;
    if (name && !one) return unknown(wk__kind_names[kind], name, names, count);
    wk_text_printf(out, "%s:\n", wk__kind_names[kind]);
    for (size_t i = 0; i < count; i++)
        if (!one || one == wk__entry_at(kind, i)) print_entry(out, wk__entry_at(kind, i));
    return WK_OK;
}

wk_status wk__schema_print(FILE *out, const char *kind, const char *name) {
    const char *names[WK__KINDS + 1];
    size_t found = WK__KINDS + 1;
    for (size_t i = 0; i < WK__KINDS; i++) names[i] = wk__kind_names[i];
    names[WK__KINDS] = "trainer";
    for (size_t i = 0; kind && i <= WK__KINDS; i++)
        if (strcmp(kind, names[i]) == 0) found = i;
    if (kind && found > WK__KINDS) return unknown("kind", kind, names, WK__KINDS + 1);
    wk_text text = { 0 };
    wk_status status = WK_OK;
    if (!kind || found == WK__KINDS) {
        wk_text_puts(&text, "trainer:\n");
        status = wk__schema_args(&text, wk__trainer_args, 2);
        wk_text_puts(&text, "strategy:\n");
        if (status == WK_OK) status = wk__schema_args(&text, wk__strategy_args, 2);
        wk_text_puts(&text, "checkpoint:\n");
        if (status == WK_OK) status = wk__schema_args(&text, wk__checkpoint_args, 2);
    }
    for (size_t i = 0; i < WK__KINDS && status == WK_OK; i++)
        if (!kind || found == i) status = print_kind(&text, (wk__kind)i, name);
    if (status == WK_OK) (void)fputs(wk_text_get(&text), out);
    wk_text_free(&text);
    return status;
}
