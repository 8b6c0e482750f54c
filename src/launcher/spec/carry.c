/* carry.c: arguments for interfaces that carry only UTF-8.
 *
 * JSON cannot hold every byte that an argument may.  Where one is no UTF-8 the program is started by the image's own
 * `sh`, out of a text in which all but plain letters are written as octal numbers: quoted words, which printf makes and
 * eval takes apart again.  Everything else goes as it is, and needs no shell.
 */
#include "launcher/launcher.h"

#include <jansson.h>
#include <string.h>

static bool is_utf8(const char *text) {
    json_t *whole = json_string(text);
    json_decref(whole);
    return whole != NULL;
}

/* A byte of a text for printf %b. */
static void put_byte(wk_text *out, unsigned char byte) {
    if (byte < 0x20 || byte >= 0x7F || byte == '\\')
        wk_text_printf(out, "\\0%03o", byte);
    else
        wk_text_printf(out, "%c", byte);
}

/* The marker, if any, stays: it is replaced later. */
static void put_quoted(wk_text *out, const char *word, const char *marker) {
    size_t size = marker ? strlen(marker) : 0;
    wk_text_puts(out, " '");
    for (; *word; word++) {
        if (size && strncmp(word, marker, size) == 0) {
            wk_text_puts(out, marker);
            word += size - 1;
        } else if (*word == '\'')
            wk_text_puts(out, "'\\0134''");
        else
            put_byte(out, (unsigned char)*word);
    }
    wk_text_puts(out, "'");
}

wk_status wk__carry(wk__arena *arena, const char *const *argv, size_t argc, const char *marker, const char ***out,
                    size_t *count) {
    bool plain = true;
    for (size_t i = 0; i < argc; i++) plain = plain && is_utf8(argv[i]);
    const char **words = wk__arena_take(arena, (argc + 6) * sizeof *words);
    if (!words) return wk_error_code();
    *out = words;
    *count = plain ? argc : 5;
    for (size_t i = 0; i < argc && plain; i++) words[i] = argv[i];
    words[*count] = NULL;
    if (plain) return WK_OK;
    wk_text text = { 0 };
    wk_text_puts(&text, "exec");
    for (size_t i = 0; i < argc; i++) put_quoted(&text, argv[i], marker);
    words[0] = "sh";
    words[1] = "-c";
    words[2] = "eval \"$(printf %b \"$1\")\"";
    words[3] = "sh";
    words[4] = text.failed ? NULL : wk__arena_text(arena, "%s", text.data);
    wk_text_free(&text);
    return wk_error_code();
}
