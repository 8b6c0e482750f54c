/* docs.c: the op reference: a page a family, and an index, made of the op table and the headers' declarations.
 *
 * Pages are checked in and compared by a test, so everything in them follows from table and headers: no dates, no
 * order but the table's own.
 */
#include "base/base.h"
#include "inspect/declarations.h"
#include "inspect/table.h"
#include "io/file.h"
#include "wick/inspect.h"

#include <string.h>

enum { MOST_FAMILIES = 64, MOST_NAMES = 16, MOST_ATTR_BYTES = 512 };

static const char origin[] = "Written by `wick op --docs docs/ops` from the op table and the public headers.\n";

/* ---- the C function ---- */

/* The names of the tensors that a function takes, in order; how many. */
static int operand_names(const char *signature, char names[MOST_NAMES][40]) {
    static const char type[] = "wk_tensor *";
    int count = 0;
    const char *at = strchr(signature, '(');
    while (at && count < MOST_NAMES && (at = strstr(at, type))) {
        at += sizeof type - 1;
        if (*at == '*') continue; /* where a result goes */
        if (strncmp(at, "const *", 7) == 0) at += 7;
        (void)snprintf(names[count++], 40, "%.*s", (int)strcspn(at, " ,)"), at);
    }
    return count;
}

/* "wk_topk(x, &indices, opts)" */
static void write_call(wk_text *page, const wk__declaration *d) {
    const char *at = strchr(d->signature, '(') + 1;
    bool gives = strncmp(d->signature, "wk_tensor *", 11) == 0;
    wk_text_printf(page, "%s%s(", gives ? "wk_tensor *y = " : "", d->name);
    for (bool first = true; *at && *at != ')'; first = false) {
        size_t length = strcspn(at, ",)");
        const char *name = at + length;
        while (name > at && !strchr(" *", name[-1])) name--;
        bool result = strstr(at, "**") && strstr(at, "**") < at + length;
        wk_text_puts(page, first ? "" : ", ");
        wk_text_printf(page, "%s%.*s", result ? "&" : "", (int)(at + length - name), name);
        at += length;
        if (*at == ',') at++;
        while (*at == ' ') at++;
    }
    wk_text_puts(page, ");\n");
}

/* ---- operands and attributes ---- */

static void write_dtypes(wk_text *page, wk_dtype_set set) {
    static const struct {
        wk_dtype_set set;
        const char *name;
    } known[] = { { 0, "any dtype" },
                  { WK_FLOATS, "floats" },
                  { WK_INTEGERS, "integers" },
                  { WK_NUMBERS, "numbers" },
                  { WK_F32_F64, "f32, f64" },
                  { WK_INDICES, "i64, i32" },
                  { (1u << WK_DTYPE_COUNT) - 1, "any dtype" } };
    for (size_t i = 0; i < WK_COUNT(known); i++)
        if (set == known[i].set) {
            wk_text_puts(page, known[i].name);
            return;
        }
    const char *comma = "";
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++)
        if (set >> dtype & 1) wk_text_printf(page, "%s%s", comma, wk_dtype_name((wk_dtype)dtype)), comma = ", ";
}

static void write_inputs(wk_text *page, const wk_op_def *op, const wk__declaration *d) {
    char names[MOST_NAMES][40];
    bool named = d && operand_names(d->signature, names) == op->n_in;
    if (op->n_in == WK_LIST) {
        wk_text_puts(page, "- takes a list of tensors: ");
        write_dtypes(page, op->dtype.allowed[0]);
        wk_text_puts(page, "\n");
    }
    for (int i = 0; op->n_in != WK_LIST && i < op->n_in; i++) {
        if (named)
            wk_text_printf(page, "- takes `%s`: ", names[i]);
        else
            wk_text_printf(page, "- takes input %d: ", i);
        write_dtypes(page, op->dtype.allowed[i]);
        wk_text_printf(page, "%s%s\n", op->optional_in >> i & 1 ? "; may be NULL" : "",
                       op->mutates >> i & 1 ? "; written in place" : "");
    }
    if (op->dtype.promote) wk_text_puts(page, "- operands of different dtypes are converted to the common one\n");
}

static void write_results(wk_text *page, const wk_op_def *op) {
    int hidden = 0;
    for (int k = 0; op->n_out != WK_LIST && k < op->n_out; k++) hidden += op->internal_out >> k & 1;
    if (op->n_out == WK_LIST)
        wk_text_puts(page, "- gives a list of tensors\n");
    else if (op->n_out - hidden != 1)
        wk_text_printf(page, "- gives %d tensors\n", op->n_out - hidden);
    if (op->data_dependent) wk_text_puts(page, "- the shape of the result depends on values\n");
    if (op->random) wk_text_puts(page, "- draws random numbers\n");
}

static void write_default(wk_text *page, const wk_op_def *op, int index) {
    static const union {
        char bytes[MOST_ATTR_BYTES];
        double align;
    } zeros;
    const wk_attr_def *attr = &op->attrs[index];
    char text[200] = "";
    if (attr->type == WK_ATTR_OPTIONAL)
        wk_text_printf(page, "%g if not set", attr->otherwise);
    else if (wk_op_get_attr(op, &zeros, index, text, sizeof text) == WK_OK)
        wk_text_puts(page, *text ? text : "none");
}

static void write_attributes(wk_text *page, const wk_op_def *op) {
    if (op->n_attrs == 0) return;
    wk_text_puts(page, "\n| attribute | type | default | |\n|---|---|---|---|\n");
    for (int i = 0; i < op->n_attrs; i++) {
        const wk_attr_def *attr = &op->attrs[i];
        wk_text_printf(page, "| `%s` | %s", attr->name, wk__attr_types[attr->type]);
        if (attr->type == WK_ATTR_INTS) wk_text_printf(page, " × %d", attr->length);
        wk_text_puts(page, " | ");
        write_default(page, op, i);
        wk_text_puts(page, " | ");
        for (const char *at = attr->choices ? attr->choices : ""; *at; at++)
            wk_text_printf(page, *at == '|' ? ", " : "%c", *at);
        wk_text_printf(page, "%s%s |\n", attr->choices ? "; " : "", attr->doc ? attr->doc : "");
    }
    wk_text_puts(page, "\n");
}

/* ---- the command ---- */

typedef struct example {
    const wk_op_def *op;
    wk_text *page;
    bool done;
} example;

/* From the row's first sample that leaves no input out, or else the first. */
static void write_command(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    example *e = sampler->context;
    (void)label;
    if (e->done) return;
    e->done = true;
    wk_text_printf(e->page, "wick op %s", e->op->name);
    for (int i = 0; i < n_in; i++)
        if (in[i].kind == WK_SAMPLE_ABSENT)
            wk_text_puts(e->page, " -");
        else
            wk_text_printf(e->page, " %c.safetensors", 'a' + i % 26);
    wk_text_puts(e->page, " -o out.safetensors");
    static const char zeros[MOST_ATTR_BYTES];
    for (int i = 0; attrs && i < e->op->n_attrs; i++) {
        char value[200] = "", otherwise[200] = "";
        if (wk_op_get_attr(e->op, attrs, i, value, sizeof value) != WK_OK) continue;
        (void)wk_op_get_attr(e->op, zeros, i, otherwise, sizeof otherwise);
        if (strcmp(value, otherwise) == 0) continue;
        bool quoted = strpbrk(value, " >.*(") && e->op->attrs[i].type == WK_ATTR_TEXT;
        wk_text_printf(e->page, " --attr %s%s=%s%s", quoted ? "'" : "", e->op->attrs[i].name, value, quoted ? "'" : "");
    }
    wk_text_puts(e->page, "\n");
}

/* ---- pages ---- */

static void write_row(wk_text *page, const wk_op_def *op, const wk__declarations *functions) {
    char name[120];
    (void)snprintf(name, sizeof name, "wk_%s", op->name);
    const wk__declaration *d = wk__declaration_of(functions, name);
    wk_text_printf(page, "\n## %s\n\n%s\n\n", op->name, op->doc);
    if (d) wk_text_printf(page, "```c\n%s\n```\n\n", d->signature);
    if (d && *d->doc) wk_text_printf(page, "```text\n%s\n```\n\n", d->doc);
    if (!d) wk_text_printf(page, "No C function of its own: `wk_op_run(wk_op_find(\"%s\"), …)`.\n\n", op->name);
    write_inputs(page, op, d);
    write_results(page, op);
    if (wk__is_differentiable(op))
        wk_text_puts(page, "- differentiable, any number of times\n");
    else
        wk_text_printf(page, "- not differentiable: %s\n", op->not_differentiable ? op->not_differentiable : "");
    wk_text_puts(page, op->composite ? "- runs as a chain of other operations\n" : "- runs as a kernel\n");
    if (op->thread_dependent)
        wk_text_printf(page, "- another number of threads may give other bits: %s\n", op->thread_dependent);
    write_attributes(page, op);
    wk_text_puts(page, op->n_attrs ? "```text\n" : "\n```text\n");
    if (d) write_call(page, d);
    example e = { op, page, false };
    op->samples(&(wk_sampler){ .emit = write_command, .context = &e });
    wk_text_puts(page, "```\n");
}

typedef struct family {
    const char *name;
    int public_rows;
} family;

static int find_families(family families[MOST_FAMILIES]) {
    int count = 0;
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *op = wk_op_get(id);
        const char *name = wk_op_family(op);
        if (op->internal || !*name) continue;
        int i = 0;
        while (i < count && strcmp(families[i].name, name) != 0) i++;
        if (i == MOST_FAMILIES) continue;
        if (i == count) families[count++] = (family){ name, 0 };
        families[i].public_rows++;
    }
    return count;
}

static bool is_shown(const wk_op_def *op, const family *f) {
    return !op->internal && strcmp(wk_op_family(op), f->name) == 0;
}

static wk_status save(const char *folder, const char *name, wk_text *page) {
    char *path = wk_format("%s/%s.md", folder, name);
    wk_status status = WK_OK;
    if (!path || page->failed)
        status = wk_fail(WK_NO_MEMORY, "wick op: no memory for the page %s", name);
    else
        status = wk__write_file(path, page->data, page->size);
    wk_free(path);
    wk_text_free(page);
    return status;
}

static wk_status write_page(const char *folder, const family *f, const wk__declarations *functions) {
    wk_text page = { 0 };
    wk_text_printf(&page, "# %s\n\n%s", f->name, origin);
    for (int id = 0; id < wk_op_count(); id++)
        if (is_shown(wk_op_get(id), f)) write_row(&page, wk_op_get(id), functions);
    return save(folder, f->name, &page);
}

static void write_refusals(wk_text *page) {
    wk_text_puts(page, "\n## Not differentiable, and why\n\n| operation | reason |\n|---|---|\n");
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *op = wk_op_get(id);
        if (op->internal || !*wk_op_family(op) || wk__is_differentiable(op)) continue;
        wk_text_printf(page, "| [%s](%s.md#%s) | %s |\n", op->name, wk_op_family(op), op->name,
                       op->not_differentiable ? op->not_differentiable : "");
    }
}

static wk_status write_index(const char *folder, const family *families, int count) {
    wk_text page = { 0 };
    int all = 0;
    for (int i = 0; i < count; i++) all += families[i].public_rows;
    wk_text_printf(
        &page,
        "# Operations\n\n%sAll %d of them, by family; each is a row of the table (`wick op --list`), a C "
        "function `wk_NAME` and a\ncommand, `wick op NAME`. Rows that only serve gradients and optimizers are "
        "left out. \"Floats\" are f32, f64, bf16 and f16,\n\"integers\" i64, i32, i16, i8 and u8, \"numbers\" "
        "both.\n",
        origin, all);
    for (int i = 0; i < count; i++) {
        wk_text_printf(&page, "\n**[%s](%s.md)** (%d):", families[i].name, families[i].name, families[i].public_rows);
        const char *comma = "\n";
        for (int id = 0; id < wk_op_count(); id++) {
            const wk_op_def *op = wk_op_get(id);
            if (!is_shown(op, &families[i])) continue;
            wk_text_printf(&page, "%s[%s](%s.md#%s)", comma, op->name, families[i].name, op->name);
            comma = ",\n";
        }
        wk_text_puts(&page, "\n");
    }
    write_refusals(&page);
    return save(folder, "README", &page);
}

wk_status wk_op_docs_write(const char *folder, const char *headers) {
    family families[MOST_FAMILIES];
    int count = find_families(families);
    wk__declarations functions = { 0 };
    wk_status status = wk__declarations_read(headers, &functions);
    if (status == WK_OK) status = wk__make_folder(folder);
    for (int i = 0; i < count && status == WK_OK; i++) status = write_page(folder, &families[i], &functions);
    if (status == WK_OK) status = write_index(folder, families, count);
    wk__declarations_free(&functions);
    return status;
}
