#include "io/yaml.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static void refuses(const char *text, const char *message) {
    wk__yaml *doc = wk__yaml_parse(text, strlen(text), "a.yaml");
    cr_expect_null(doc, "accepted: %s", text);
    cr_expect_str_eq(wk_message(), message);
    wk__yaml_free(doc);
    wk_clear_error();
}

static wk__yaml *accept(const char *text) {
    wk__yaml *doc = wk__yaml_parse(text, strlen(text), "a.yaml");
    cr_assert_not_null(doc, "%s", wk_message());
    return doc;
}

Test(yaml, tree_keeps_order_positions_and_quotes) {
    wk__yaml *doc = accept("b: 8\na: \"8\"\nlist:\n  - x\n  - {y: 1}\n");
    const wk__yaml_node *b = doc->root->first;
    cr_assert_str_eq(b->key, "b");
    cr_assert_eq(b->line, 1);
    cr_assert_eq(b->column, 4);
    cr_assert_not(b->quoted);
    cr_assert_str_eq(b->next->key, "a");
    cr_assert(b->next->quoted);
    const wk__yaml_node *list = wk__yaml_find(doc->root, "list");
    cr_assert_eq(list->count, 2);
    cr_assert_eq(list->last->kind, WK__YAML_MAPPING);
    cr_assert_eq(list->last->line, 5);
    wk__yaml_free(doc);
}

Test(yaml, refusals_name_the_place) {
    refuses("a: 1\na: 2\n", "a.yaml:2:1: duplicate key \"a\"; it stands in line 1 already");
    refuses("a: 1\n---\nb: 2\n", "a.yaml:2:1: a second document (---); one file holds one document");
    refuses("a: \"x\\0y\"\n", "a.yaml:1:4: text with a NUL character");
    refuses("a: !python/object x\n", "a.yaml:1:4: tags are not supported; remove the word that begins with !");
    refuses("a: *b\n", "a.yaml:1:4: alias *b names no anchor that is complete before it");
    refuses("a: &x [*x]\n", "a.yaml:1:8: alias *x names no anchor that is complete before it");
    refuses("a: {<<: {b: 1}}\n", "a.yaml:1:5: merge keys (<<) are not supported; repeat the members or use an alias");
    refuses("? [a]\n: 1\n", "a.yaml:1:3: a key must be a word, not a list or mapping");
    refuses("ok: 1\na: \xff\xfe\n", "a.yaml:2:4: invalid leading UTF-8 octet; write the file as UTF-8 text");
    refuses("a: [1, 2\n", "a.yaml:2:1: did not find expected ',' or ']', while parsing a flow sequence");
}

Test(yaml, nul_byte_is_refused) {
    cr_assert_null(wk__yaml_parse("a: b\0c\n", 7, "a.yaml"));
    cr_assert(strstr(wk_message(), "a.yaml:1:5: "), "%s", wk_message());
}

Test(yaml, missing_file) {
    cr_assert_null(wk__yaml_load("/nonexistent/a.yaml"));
    cr_assert_eq(wk_error_code(), WK_NOT_FOUND);
    cr_assert_str_eq(wk_message(), "/nonexistent/a.yaml: No such file or directory");
}

Test(yaml, empty_document_has_no_root) {
    wk__yaml *doc = accept("# nothing\n");
    cr_assert_null(doc->root);
    wk__yaml_free(doc);
}

Test(yaml, nesting_and_growth_have_limits) {
    char deep[401];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    deep[400] = '\0';
    refuses(deep, "a.yaml:1:65: nested deeper than 64 levels");
    const char *laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                         "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                         "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    double start = wk_now();
    cr_assert_null(wk__yaml_parse(laughs, strlen(laughs), "a.yaml"));
    cr_assert(strstr(wk_message(), "more than 200000 values"), "%s", wk_message());
    cr_assert_lt(wk_now() - start, 2.0);
}

Test(yaml, anchors_are_expanded) {
    wk__yaml *doc = accept("a: &x {k: [1, 2]}\nb: *x\n");
    cr_assert(wk__yaml_equal(wk__yaml_find(doc->root, "a"), wk__yaml_find(doc->root, "b")));
    wk__yaml_free(doc);
}

Test(yaml, numbers) {
    wk__yaml *doc = accept("i: -7\nd: 1e-4\ne: 1.e-4\nf: .5\ng: -.inf\nq: '8'\nx: 0x10\nbig: 99999999999999999999\n");
    int64_t i = 0;
    double d = 0;
    cr_assert_eq(wk__yaml_int(doc, wk__yaml_find(doc->root, "i"), NULL, -10, 10, &i), WK_OK);
    cr_assert_eq(i, -7);
    const struct {
        const char *key;
        double value;
    } doubles[] = { { "i", -7 }, { "d", 1e-4 }, { "e", 1e-4 }, { "f", 0.5 }, { "g", -HUGE_VAL } };
    for (size_t k = 0; k < WK_COUNT(doubles); k++) {
        cr_assert_eq(wk__yaml_double(doc, wk__yaml_find(doc->root, doubles[k].key), NULL, &d), WK_OK);
        cr_assert_eq(d, doubles[k].value);
    }
    const char *const bad[] = { "q", "x", "big", "d" };
    for (size_t k = 0; k < WK_COUNT(bad); k++) {
        cr_expect_eq(wk__yaml_int(doc, wk__yaml_find(doc->root, bad[k]), NULL, INT64_MIN, INT64_MAX, &i), WK_CONFIG);
        wk_clear_error();
    }
    cr_assert_eq(wk__yaml_int(doc, wk__yaml_find(doc->root, "q"), NULL, 1, 9, &i), WK_CONFIG);
    cr_assert_str_eq(wk_message(), "a.yaml:6:4: q must be an integer from 1 to 9, not the text \"8\"");
    wk_clear_error();
    cr_assert_eq(wk__yaml_double(doc, wk__yaml_find(doc->root, "x"), NULL, &d), WK_CONFIG);
    wk__yaml_free(doc);
}

Test(yaml, booleans) {
    wk__yaml *doc = accept("[true, No, ON, off, yes, False, 'true', y]");
    const bool truth[] = { true, false, true, false, true, false };
    const wk__yaml_node *node = doc->root->first;
    bool value = false;
    for (size_t i = 0; i < WK_COUNT(truth); i++, node = node->next) {
        cr_assert_eq(wk__yaml_bool(doc, node, NULL, &value), WK_OK);
        cr_assert_eq(value, truth[i]);
    }
    for (; node; node = node->next) {
        cr_assert_eq(wk__yaml_bool(doc, node, "flag", &value), WK_CONFIG);
        wk_clear_error();
    }
    wk__yaml_free(doc);
}

Test(yaml, unknown_key) {
    wk__yaml *doc = accept("roles:\n  - name: trainer\n    num_replica: 2\n    zzz: 1\n");
    const char *const names[] = { "name", "num_replicas" };
    const wk__yaml_node *role = wk__yaml_find(doc->root, "roles")->first;
    cr_assert_eq(wk__yaml_known(doc, role, "role \"trainer\"", names, 2), WK_CONFIG);
    cr_assert_str_eq(wk_message(),
                     "a.yaml:3:5: unknown key \"num_replica\" in role \"trainer\"; did you mean \"num_replicas\"?");
    wk__yaml_free(doc);
}

static const char rich[] = "version: 1\nquoted: \"8\"\nplain: 8\nempty: ''\nnothing:\ntilde: ~\nmulti: |\n  a\n  b\n"
                           "colon: 'a: b'\nhash: \"a #b\"\nunicode: \"h\xc3\xa9\"\ncontrol: \"\\x07\\t\\e\"\n"
                           "nested: {list: [1, [], {}], 'odd key: #': -1}\ndash: \"- x\"\n\"8\": key\n";

Test(yaml, dump_loads_back_equal) {
    wk__yaml *doc = accept(rich);
    char *text = wk__yaml_dump(doc->root);
    cr_assert_not_null(text);
    wk__yaml *again = accept(text);
    cr_assert(wk__yaml_equal(doc->root, again->root), "%s", text);
    char *twice = wk__yaml_dump(again->root);
    cr_assert_str_eq(text, twice);
    wk_free(text);
    wk_free(twice);
    wk__yaml_free(doc);
    wk__yaml_free(again);
}

Test(yaml, set_by_dotted_path) {
    wk__yaml *doc = accept("trainer:\n  lr: 0.1\n  tags: [a, b]\n");
    cr_assert_eq(wk__yaml_set(doc, "trainer.lr=1e-3"), WK_OK);
    cr_assert_eq(wk__yaml_set(doc, "trainer.tags.1=c"), WK_OK);
    cr_assert_eq(wk__yaml_set(doc, "data.path.train=\"8\""), WK_OK);
    cr_assert_eq(wk__yaml_set(doc, "data.list=[1, 2]"), WK_OK);
    cr_assert_eq(wk__yaml_set(doc, "data.url=http://host:80/a=b"), WK_OK);
    char *text = wk__yaml_dump(doc->root);
    cr_assert_str_eq(text, "trainer:\n  lr: 1e-3\n  tags:\n  - a\n  - c\ndata:\n  path:\n    train: \"8\"\n"
                           "  list:\n  - 1\n  - 2\n  url: http://host:80/a=b\n");
    wk_free(text);
    int64_t number = 0;
    const wk__yaml_node *lr = wk__yaml_find(wk__yaml_find(doc->root, "trainer"), "lr");
    cr_assert_eq(wk__yaml_int(doc, lr, NULL, 0, 9, &number), WK_CONFIG);
    cr_assert_str_eq(wk_message(), "trainer.lr=1e-3: lr must be an integer from 0 to 9, not \"1e-3\"");
    wk_clear_error();
    const char *const bad[] = { "noequals", "=x", "trainer.tags.7=x", "trainer.lr.deeper=1", "a..b=1" };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        cr_expect_eq(wk__yaml_set(doc, bad[i]), WK_CONFIG, "%s", bad[i]);
        wk_clear_error();
    }
    wk__yaml_free(doc);
}

/* Whatever is done to the text, parsing ends with a tree or a message. */
Test(yaml, every_cut_and_every_changed_byte) {
    char text[sizeof rich];
    for (size_t i = 0; i < sizeof rich; i++) {
        wk__yaml_free(wk__yaml_parse(rich, i, "a.yaml"));
        wk_clear_error();
        memcpy(text, rich, sizeof rich);
        text[i] = (char)(text[i] ^ (char)(1 << (i % 8)));
        wk__yaml *doc = wk__yaml_parse(text, sizeof rich - 1, "a.yaml");
        char *dumped = doc && doc->root ? wk__yaml_dump(doc->root) : NULL;
        wk__yaml *again = dumped ? wk__yaml_parse(dumped, strlen(dumped), "b.yaml") : NULL;
        if (dumped) cr_expect(again && wk__yaml_equal(doc->root, again->root), "%s\n=>\n%s", text, dumped);
        cr_expect(doc || wk_failed());
        wk_free(dumped);
        wk__yaml_free(doc);
        wk__yaml_free(again);
        wk_clear_error();
    }
}
