/* shards.c: models in several safetensors files behind an index. */
#define WK_NO_CALL_SITES
#include "base/base.h"
#include "io/safetensors.h"
#include "support/program.h"
#include "support/sample.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[400];
static const char *path_of(const char *name) {
    static char path[2][500];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}
static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("shards"));
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(shards, .init = set_up, .fini = tear_down);

static void write_text(const char *name, const char *text) {
    write_bytes(path_of(name), text, strlen(text));
}

/* Two layers: 48 + 12 bytes, and 24 + 8. */
static wk_module *make_net(void) {
    wk_manual_seed(1);
    return wk_nn_sequential(wk_nn_linear(4, 3, (wk_layer_opts){ 0 }), wk_nn_linear(3, 2, (wk_layer_opts){ 0 }));
}

static const wk_metadata format = { "format", "pt" };

/* What huggingface_hub's split_torch_state_dict_into_shards and json.dumps(index, indent=2, sort_keys=True) give. */
static const char index_of_two[] = "{\n"
                                   "  \"metadata\": {\n"
                                   "    \"total_size\": 92\n"
                                   "  },\n"
                                   "  \"weight_map\": {\n"
                                   "    \"0.bias\": \"model-00001-of-00002.safetensors\",\n"
                                   "    \"0.weight\": \"model-00001-of-00002.safetensors\",\n"
                                   "    \"1.bias\": \"model-00002-of-00002.safetensors\",\n"
                                   "    \"1.weight\": \"model-00002-of-00002.safetensors\"\n"
                                   "  }\n"
                                   "}\n";

Test(shards, written_as_hugging_face_names_them_and_read_as_one) {
    wk_module *net = make_net(), *other = make_net();
    cr_assert_eq(wk_module_save(net, path_of("model.safetensors")), WK_OK);
    cr_assert_eq(wk_safetensors_save_sharded(path_of("model.safetensors"), wk_state(net), &format, 1, 64), WK_OK, "%s",
                 wk_message());
    char *text = read_bytes(path_of("model.safetensors.index.json"), NULL);
    cr_assert_not_null(text);
    cr_expect_str_eq(text, index_of_two);
    free(text);
    cr_expect_neq(access(path_of("model.safetensors"), F_OK), 0, "the whole file is still there");
    for (int i = 0; i < wk_state(other).count; i++)
        memset(wk_data(wk_state(other).tensor[i]), 0, (size_t)wk_count(wk_state(other).tensor[i]) * 4);
    cr_assert_eq(wk_module_load(other, path_of("model.safetensors.index.json")), WK_OK, "%s", wk_message());
    for (int i = 0; i < wk_state(net).count; i++)
        cr_expect_arr_eq(wk_data(wk_state(net).tensor[i]), wk_data(wk_state(other).tensor[i]),
                         (size_t)wk_count(wk_state(net).tensor[i]) * 4);
    wk_safetensors *file = wk_safetensors_open(path_of("model.safetensors.index.json"));
    cr_expect_eq(wk_safetensors_count(file), 4);
    cr_expect_str_eq(wk_safetensors_metadata(file, "format"), "pt");
    wk_scope scope = wk_scope_begin();
    wk_tensor *weight = wk_safetensors_get(file, "1.weight");
    wk_safetensors_close(file); /* the tensor holds its own file */
    cr_expect_eq(wk_at(weight, 5), wk_at(wk_state(net).tensor[2], 5));
    wk_scope_end(scope);
    wk_module_destroy(net);
    wk_module_destroy(other);
}

Test(shards, one_file_is_enough) {
    wk_module *net = make_net();
    cr_assert_eq(wk_safetensors_save_sharded(path_of("model.safetensors"), wk_state(net), &format, 1, 40), WK_OK);
    cr_expect_eq(access(path_of("model-00003-of-00003.safetensors"), F_OK), 0, "48 bytes; 12 and 24; 8");
    cr_assert_eq(wk_safetensors_save_sharded(path_of("model.safetensors"), wk_state(net), &format, 1, 92), WK_OK);
    cr_expect_eq(access(path_of("model.safetensors"), F_OK), 0);
    cr_expect_neq(access(path_of("model.safetensors.index.json"), F_OK), 0);
    cr_expect_eq(wk_safetensors_save_sharded(path_of("x"), wk_state(net), NULL, 0, 0), WK_INVALID);
    wk_clear_error();
    wk_module_destroy(net);
}

static void refused(const char *index, wk_status status, const char *words) {
    write_text("bad.index.json", index);
    cr_expect_null(wk_safetensors_open(path_of("bad.index.json")));
    cr_expect_eq(wk_error_code(), status, "%s", wk_message());
    cr_expect_not_null(strstr(wk_message(), words), "expected \"%s\" in: %s", words, wk_message());
    wk_clear_error();
}

Test(shards, an_index_that_lies_is_refused) {
    wk_module *net = make_net();
    cr_assert_eq(wk_module_save(net, path_of("one.safetensors")), WK_OK);
    refused("", WK_FORMAT, "not an index of safetensors files");
    refused("[]", WK_FORMAT, "it has no object \"weight_map\"");
    refused("{\"weight_map\":{\"a\":3}}", WK_FORMAT, "gives no file beside it for tensor \"a\"");
    refused("{\"weight_map\":{\"a\":\"../one.safetensors\"}}", WK_FORMAT, "gives no file beside it for tensor \"a\"");
    refused("{\"weight_map\":{\"a\":\"one.safetensors\"}}", WK_FORMAT, "tensor \"a\" is not in ");
    refused("{\"weight_map\":{\"a\":\"two.safetensors\"}}", WK_IO, "two.safetensors: cannot open");
    refused("{\"weight_map\":{\"a\":\"bad.index.json\"}}", WK_FORMAT, "an index inside of an index");
    write_text("bad.index.json", "{\"weight_map\":{\"0.bias\":\"one.safetensors\"}}");
    wk_safetensors *file = wk_safetensors_open(path_of("bad.index.json"));
    cr_assert_not_null(file, "%s", wk_message());
    cr_expect(wk_safetensors_has(file, "0.bias") && !wk_safetensors_has(file, "0.weight"));
    wk_safetensors_close(file);
    wk_module_destroy(net);
}

Test(shards, packed_bytes_are_those_of_the_file) {
    static char text[4096];
    wk_module *net = make_net();
    cr_assert_eq(wk_module_save(net, path_of("one.safetensors")), WK_OK);
    wk__pages pages = { 0 };
    cr_assert_eq(wk__safetensors_pack(wk_state(net), &format, 1, &pages), WK_OK);
    FILE *file = fopen(path_of("one.safetensors"), "rb");
    cr_assert_eq(fread(text, 1, sizeof text, file), pages.size);
    (void)fclose(file);
    cr_expect_arr_eq(pages.bytes, text, pages.size);
    wk__pages_free(&pages);
    wk_module_destroy(net);
}
