/* classes.c: what a classification's last validation found: report, confusion matrix, examples. */
#include "train/report/report.h"

#include "plot/plot.h"
#include "wick/train/metrics.h"

#include <string.h>

bool wk__classes_read(wk__classes *c, const json_t *evaluation) {
    const json_t *names = json_object_get(evaluation, "classes"), *matrix = json_object_get(evaluation, "matrix");
    size_t classes = json_array_size(names);
    *c = (wk__classes){ 0 };
    if (classes < 2 || json_array_size(matrix) != classes) return false;
    c->counts = wk_alloc(classes * classes * sizeof *c->counts);
    c->names = wk_alloc(classes * sizeof *c->names);
    for (size_t i = 0; c->counts && c->names && i < classes; i++) {
        const json_t *row = json_array_get(matrix, i);
        c->names[i] = json_string_value(json_array_get(names, i));
        if (!c->names[i] || json_array_size(row) != classes) break;
        for (size_t k = 0; k < classes; k++) c->counts[i * classes + k] = json_number_value(json_array_get(row, k));
        c->classes = (int)i + 1;
    }
    if (c->classes == (int)classes) return true;
    wk__classes_free(c);
    return false;
}

void wk__classes_free(wk__classes *c) {
    wk_free(c->counts);
    wk_free((void *)(uintptr_t)c->names);
    *c = (wk__classes){ 0 };
}

char *wk__classes_text(const wk__classes *c) {
    return wk_classification_report(c->counts, c->classes, c->names);
}

static wk_status draw_matrix(wk_text *page, const wk__classes *c) {
    enum { MOST = 64 }; /* that a page has room for */
    const wk__matrix matrix = { c->counts, c->classes, c->names };
    if (c->classes > MOST) {
        wk_text_printf(page,
                       "<p>A confusion matrix of %d classes is too large for a page; evaluation.json has it.</p>\n",
                       c->classes);
        return WK_OK;
    }
    double side = wk__matrix_side(&matrix);
    wk_text_printf(page, "<div style=\"max-width:%.0fpx\">\n", side);
    wk__picture *p =
        wk__picture_inline(page, side, side, "Confusion matrix: rows are what is, columns what was predicted");
    if (!p) return wk_error_code();
    wk__draw_matrix(p, (wk__box){ 0, 0, side, side }, &matrix);
    wk_status status = wk__picture_inline_close(p);
    wk_text_puts(page, "</div>\n");
    return status;
}

wk_status wk__report_classes(wk_text *page, const wk__run *r) {
    wk__classes c;
    if (!wk__classes_read(&c, r->evaluation)) return WK_OK;
    char *text = wk__classes_text(&c);
    wk__page_section(page, "Classes");
    wk_text_printf(page, "<p>The validation after step %lld, in epoch %lld.</p>\n",
                   (long long)json_integer_value(json_object_get(r->evaluation, "step")),
                   (long long)json_integer_value(json_object_get(r->evaluation, "epoch")));
    if (text) wk__page_text(page, text);
    wk_status status = text ? draw_matrix(page, &c) : wk_error_code();
    wk_free(text);
    wk__classes_free(&c);
    return status;
}

/* ---- examples ---- */

static const char *name_of(const json_t *names, const json_t *number) {
    const char *name = json_string_value(json_array_get(names, (size_t)json_integer_value(number)));
    return name ? name : "?";
}

/* What is no base64 would end the attribute that it stands in. */
static bool is_base64(const char *text) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    return text && *text && strspn(text, letters) == strlen(text);
}

static void add_sample(wk_text *page, const json_t *names, const json_t *sample) {
    const json_t *target = json_object_get(sample, "target"), *predicted = json_object_get(sample, "predicted");
    const char *image = json_string_value(json_object_get(sample, "image"));
    bool right = json_integer_value(target) == json_integer_value(predicted);
    wk_text_puts(page, "<figure>");
    if (is_base64(image)) {
        wk_text_puts(page, "<img alt=\"");
        wk__xml_escape(page, name_of(names, target));
        wk_text_printf(page, "\" src=\"data:image/png;base64,%s\"/>", image);
    }
    wk_text_printf(page, "<figcaption>item %lld: ", (long long)json_integer_value(json_object_get(sample, "item")));
    wk__xml_escape(page, name_of(names, target));
    wk_text_printf(page, "<br/><span class=\"%s\">%s ", right ? "right" : "wrong", right ? "✓" : "✗");
    wk__xml_escape(page, name_of(names, predicted));
    wk_text_printf(page, " %.0f %%</span></figcaption></figure>\n",
                   100 * json_number_value(json_object_get(sample, "probability")));
}

void wk__report_samples(wk_text *page, const wk__run *r) {
    const json_t *samples = json_object_get(r->evaluation, "samples"),
                 *names = json_object_get(r->evaluation, "classes");
    size_t i;
    json_t *sample;
    if (json_array_size(samples) == 0) return;
    wk__page_section(page, "Examples");
    wk_text_puts(page, "<p>The first items of the evaluation data: what they are, and what was predicted.</p>\n"
                       "<div class=\"samples\">\n");
    json_array_foreach(samples, i, sample) add_sample(page, names, sample);
    wk_text_puts(page, "</div>\n");
}
