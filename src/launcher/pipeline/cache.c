/* cache.c: a stage that was run before with the same content is not run again.
 *
 * Its name is a hash of its AppDef (with the run's own folder and id taken out), of its scheduler and options, and of
 * what the outputs hold that it reads.  What the program itself is made of is not in it: name a version in the
 * arguments.
 */
#include "launcher/pipeline/pipeline.h"
#include "wick/files.h"

#include <string.h>

/* FNV-1a, twice with different beginnings: 128 bits. */
static void mix(uint64_t hash[2], const void *bytes, size_t size) {
    for (const unsigned char *at = bytes; size--; at++)
        for (int i = 0; i < 2; i++) hash[i] = (hash[i] ^ (*at + (unsigned)i)) * UINT64_C(0x100000001b3);
}

/* The text without words that differ from run to run. */
static void mix_text(uint64_t hash[2], const wk__pipeline *p, const char *text) {
    size_t folder = strlen(p->directory);
    size_t id = p->id ? strlen(p->id) : 0;
    while (*text) {
        if (strncmp(text, p->directory, folder) == 0)
            text += folder;
        else if (id && strncmp(text, p->id, id) == 0)
            text += id;
        else
            mix(hash, text++, 1);
    }
    mix(hash, "", 1);
}

/* A URL of a scheme that is not known here is the program's affair: it counts by its name alone. */
static bool is_known(const char *url) {
    const bool known = wk_url_check(url) == WK_OK;
    if (!known) wk_clear_error();
    return known;
}

static wk_status mix_file(uint64_t hash[2], const char *url) {
    enum { CHUNK = 65536 };
    wk_file_info info;
    if (!is_known(url)) return WK_OK;
    /* A folder counts by its name: what a program made of it is its own affair. */
    if (wk_url_path(url) && wk_file_stat(url, &info) == WK_OK && info.kind == WK_FILE_FOLDER) return WK_OK;
    wk_file *file = wk_failed() ? NULL : wk_file_open(url);
    if (!file && wk_error_code() == WK_NOT_FOUND) {
        wk_clear_error();
        return WK_OK;
    }
    char *chunk = file ? wk_alloc_data(CHUNK) : NULL;
    wk_status status = chunk ? WK_OK : wk_error_code();
    for (size_t got = CHUNK; status == WK_OK && got == CHUNK;) {
        status = wk_file_read(file, chunk, CHUNK, &got);
        if (status == WK_OK) mix(hash, chunk, got);
    }
    wk_file_close(file);
    wk_free(chunk);
    return status;
}

wk_status wk__cache_key(wk__pipeline *p, wk__stage *stage) {
    uint64_t hash[2] = { UINT64_C(0xcbf29ce484222325), 1 };
    wk_appdef *app = wk__pipeline_app(p, stage);
    char *text = app ? wk_appdef_dump(app) : NULL;
    wk_appdef_free(app);
    if (!text) return wk_error_code();
    mix_text(hash, p, text);
    mix_text(hash, p, stage->scheduler ? stage->scheduler : "local");
    mix_text(hash, p, stage->cfg ? stage->cfg : "");
    for (size_t i = 0; i < stage->after_count; i++) {
        const wk__stage *before = &p->stages[stage->after[i]];
        for (size_t k = 0; k < before->output_count; k++) {
            const char *url = before->outputs[k].value;
            wk_status status = strstr(text, url) ? mix_file(hash, url) : WK_OK;
            if (status == WK_OK) continue;
            wk_free(text);
            return status;
        }
    }
    wk_free(text);
    (void)snprintf(stage->key, sizeof stage->key, "%016llx%016llx", (unsigned long long)hash[0],
                   (unsigned long long)hash[1]);
    return WK_OK;
}

static char *entry(const wk__stage *stage) {
    return wk_format("%s/pipelines/cache/%s", wk__state_dir(), stage->key);
}

/* All its outputs are named in the entry, and are there, as far as that can be known. */
bool wk__cache_find(wk__pipeline *p, wk__stage *stage) {
    char *path = entry(stage);
    char *text = path ? wk__read_file(path, 1 << 20, NULL) : NULL;
    const char *found[64];
    size_t count = 0;
    for (size_t i = 0; text && i < stage->output_count && count < WK_COUNT(found); i++) {
        size_t size = strlen(stage->outputs[i].key);
        for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            if (strncmp(line, stage->outputs[i].key, size) != 0 || line[size] != '=') continue;
            const char *url = wk__arena_text(&p->arena, "%.*s", (int)strcspn(line + size + 1, "\n"), line + size + 1);
            bool there = url && !is_known(url);
            if (url && !there && wk_file_exists(url, &there) != WK_OK) wk_clear_error(); /* then it is made again */
            if (there) found[count++] = url;
            break;
        }
    }
    bool whole = text && count == stage->output_count;
    for (size_t i = 0; i < count && whole; i++) stage->outputs[i].value = found[i];
    wk_free(text);
    wk_free(path);
    return whole;
}

wk_status wk__cache_keep(const wk__stage *stage) {
    wk_text text = { 0 };
    char *folder = wk_format("%s/pipelines/cache", wk__state_dir());
    char *path = entry(stage);
    for (size_t i = 0; i < stage->output_count; i++)
        wk_text_printf(&text, "%s=%s\n", stage->outputs[i].key, stage->outputs[i].value);
    wk_status status = folder && path ? wk__make_dirs(folder) : wk_error_code();
    if (status == WK_OK) status = wk__write_file(path, wk_text_get(&text), text.size);
    wk_text_free(&text);
    wk_free(path);
    wk_free(folder);
    return status;
}
