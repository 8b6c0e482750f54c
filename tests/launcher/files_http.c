/* Files of a server, on good days and on bad ones. */
#include "launcher/file_server.h"
#include "wick/files.h"

#include <stdlib.h>
#include <string.h>

TestSuite(files_http, .init = file_server_begin, .fini = file_server_end, .timeout = 60);

#define BASE (http_base())

/* The file at this URL, which must be readable; free with wk_free. */
static char *load(const char *url) {
    char *text = wk_file_load(url, 1 << 24, NULL);
    cr_assert_not_null(text, "%s", wk_message());
    return text;
}

#define HOLDS(url, text)                 \
    do {                                 \
        char *holds = load(url);         \
        cr_expect_str_eq(holds, (text)); \
        wk_free(holds);                  \
    } while (0)

#define FAILS(url, code, part)                                       \
    do {                                                             \
        cr_expect_null(wk_file_load((url), 1 << 24, NULL));          \
        cr_expect_eq(wk_error_code(), (code), "%s", wk_message());   \
        cr_expect(strstr(wk_message(), (part)), "%s", wk_message()); \
        wk_clear_error();                                            \
    } while (0)

/* A text that differs everywhere, so that a part put in a wrong place shows. */
static char *long_text(size_t lines) {
    wk_text text = { 0 };
    for (size_t i = 0; i < lines; i++) wk_text_printf(&text, "line %07zu\n", i);
    return text.data;
}

Test(files_http, read_write_look_remove) {
    serve_text("a b/c", "hello");
    HOLDS(at(BASE, "a%20b/c"), "hello");
    HOLDS(at(BASE, "x/../a%20b/./c?any=query"), "hello");
    FAILS(at(BASE, "none"), WK_NOT_FOUND, "/none: the server answered 404 (not found)");
    FAILS(at(BASE, "a%20b/%2e%2e/../c"), WK_INVALID, "leads out of the root");
    cr_assert_eq(wk_file_save(at(BASE, "new/d"), "sent", 4), WK_OK, "%s", wk_message());
    char *text = served("new/d");
    cr_expect_str_eq(text, "sent");
    wk_free(text);
    cr_assert_eq(wk_file_save(at(BASE, "new/empty"), "", 0), WK_OK, "%s", wk_message());
    HOLDS(at(BASE, "new/empty"), "");
    cr_expect_neq(wk_file_save(at(BASE, "new"), "x", 1), WK_OK);
    cr_expect(strstr(wk_message(), "the server answered 405 (it does not let files be changed)"), "%s", wk_message());
    wk_clear_error();
    wk_file_info info;
    cr_assert_eq(wk_file_stat(at(BASE, "a%20b/c"), &info), WK_OK, "%s", wk_message());
    cr_expect_eq(info.size, 5);
    cr_expect(info.modified > 1.6e9);
    bool there = false;
    cr_expect(wk_file_exists(at(BASE, "new/d"), &there) == WK_OK && there);
    cr_assert_eq(wk_file_remove(at(BASE, "new/d")), WK_OK, "%s", wk_message());
    cr_expect(wk_file_exists(at(BASE, "new/d"), &there) == WK_OK && !there);
    cr_expect_null(wk_folder_list(at(BASE, "new")));
    cr_expect_eq(wk_error_code(), WK_UNSUPPORTED);
    wk_clear_error();
    cr_expect_eq(wk_folder_make(at(BASE, "any")), WK_OK);
    /* What is not committed is not sent. */
    wk_file *file = wk_file_create(at(BASE, "half"));
    cr_assert_eq(wk_file_write(file, "x", 1), WK_OK);
    wk_file_close(file);
    cr_expect_eq(requests("PUT /half"), 0);
}

Test(files_http, ranges) {
    serve_text("r", "0123456789");
    static const struct {
        const char *name;
        int64_t begin, end;
        const char *expected;
    } cases[] = { { "r", 3, 7, "3456" },       { "r", 8, -1, "89" },       { "r", 8, 99, "89" },
                  { "r", 10, -1, "" },         { "r", 99, -1, "" },        { "r", 4, 4, "" },
                  { "whole/r", 3, 7, "3456" }, { "whole/r", 8, -1, "89" }, { "whole/r", 99, 100, "" } };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        char bytes[16] = "";
        size_t got = 0;
        wk_file *file = wk_file_open_range(at(BASE, cases[i].name), cases[i].begin, cases[i].end);
        cr_assert_not_null(file, "%s", wk_message());
        cr_assert_eq(wk_file_read(file, bytes, sizeof bytes - 1, &got), WK_OK, "%s", wk_message());
        cr_expect_str_eq(bytes, cases[i].expected, "%s from %d", cases[i].name, (int)cases[i].begin);
        wk_file_close(file);
    }
    cr_expect_eq(requests("GET /r bytes=3-6 "), 1);
    cr_expect_null(wk_file_open_range(at(BASE, "odd/r"), 3, 7));
    cr_expect(strstr(wk_message(), "sent another part than it was asked for"), "%s", wk_message());
    wk_clear_error();
}

Test(files_http, busy_servers_are_asked_again) {
    serve_text("a", "at last");
    HOLDS(at(BASE, "busy-2/a"), "at last");
    cr_expect_eq(requests("GET /busy-2/a"), 3);
    HOLDS(at(BASE, "down-1/a"), "at last");
    cr_assert_eq(wk_file_save(at(BASE, "busy-1/sent"), "once", 4), WK_OK, "%s", wk_message());
    HOLDS(at(BASE, "sent"), "once");
    cr_expect_eq(requests("PUT /busy-1/sent"), 2);
    (void)setenv("WICK_HTTP_TIMEOUT", "0.3", 1);
    HOLDS(at(BASE, "mute-1/a"), "at last");
    (void)setenv("WICK_HTTP_TIMEOUT", "soon", 1);
    FAILS(at(BASE, "a"), WK_CONFIG, "WICK_HTTP_TIMEOUT: expected seconds");
    (void)unsetenv("WICK_HTTP_TIMEOUT");
    FAILS(at(BASE, "later/a"), WK_IO, "429 (busy, for more than a minute)");
    cr_expect_eq(requests("GET /later/a"), 1);
}

Test(files_http, a_broken_download_goes_on) {
    char *text = long_text(40000);
    serve_text("big", text);
    HOLDS(at(BASE, "cut-3/big"), text);
    cr_expect_eq(requests("GET /cut-3/big"), 4);
    cr_expect_eq(requests("GET /cut-3/big - "), 1, "the others ask for what is missing");
    FAILS(at(BASE, "cutnow-1/big"), WK_IO, "and the server names no version (ETag, Last-Modified)");
    FAILS(at(BASE, "swap-1/big"), WK_IO, "the file was replaced while it was read; read it again");
    serve_text("big", text);
    /* A copy that fails leaves nothing. */
    char *path = wk_format("%s/copy", state_dir());
    cr_expect_neq(wk_file_copy(at(BASE, "cutnow-2/big"), path, (wk_copy_opts){ 0 }, NULL), WK_OK);
    wk_clear_error();
    bool there = true;
    cr_expect(wk_file_exists(path, &there) == WK_OK && !there);
    wk_free(path);
    wk_free(text);
}

Test(files_http, redirects) {
    serve_text("a", "found");
    char *rest = wk_format("to/%s", at(BASE, "a"));
    HOLDS(at(BASE, rest), "found");
    FAILS(at(BASE, "round/a"), WK_IO, "Maximum (5) redirects followed");
    char *ca = wk_format("%s/server/ca.crt", state_dir());
    (void)setenv("WICK_CA_FILE", ca, 1);
    FAILS(at(https_base(), rest), WK_IO, "a redirect from https to http is not followed");
    wk_free(rest);
    /* A log-in does not go along to another server. */
    char *user = wk_format("http://us%%40er:wo%%3Ard@%s", BASE + strlen("http://"));
    rest = wk_format("to/%s", at(https_base(), "a"));
    HOLDS(at(user, rest), "found");
    char *log = request_log();
    char *end = strstr(log, "GET /a - - -");
    cr_expect(end && strstr(log, "Basic "), "%s", log);
    wk_free(log);
    wk_free(rest);
    wk_free(user);
    wk_free(ca);
}

Test(files_http, log_ins_are_not_told) {
    serve_text("a", "inside");
    FAILS(at(BASE, "login/a"), WK_IO, "401 (it wants a log-in: https://USER:PASSWORD@HOST)");
    char *good = wk_format("http://us%%40er:wo%%3Ard@%s", BASE + strlen("http://"));
    HOLDS(at(good, "login/a"), "inside");
    char *bad = wk_format("http://user:hidden@%s", BASE + strlen("http://"));
    cr_expect_null(wk_file_open(at(bad, "login/a?key=hidden")));
    cr_expect(!strstr(wk_message(), "hidden"), "%s", wk_message());
    cr_expect(strstr(wk_message(), "http://user:***@127.0.0.1:"), "%s", wk_message());
    wk_clear_error();
    outcome o = WICK("copy", at(bad, "none?key=hidden"), "x");
    cr_expect_eq(o.code, 1);
    cr_expect(!strstr(o.err, "hidden") && strstr(o.err, "/none?***: the server answered 404"), "%s", o.err);
    forget(&o);
    wk_free(bad);
    wk_free(good);
}

Test(files_http, certificates_are_checked) {
    serve_text("a", "safe");
    FAILS(at(https_base(), "a"), WK_IO, "WICK_CA_FILE=FILE.pem names an authority to believe");
    cr_expect_eq(requests("GET /a"), 0);
    char *ca = wk_format("%s/server/ca.crt", state_dir());
    (void)setenv("WICK_CA_FILE", ca, 1);
    HOLDS(at(https_base(), "a"), "safe");
    char *other = wk_format("https://localhost:%s", strrchr(https_base(), ':') + 1);
    (void)setenv("NO_PROXY", "*", 1);
    FAILS(at(other, "a"), WK_IO, "localhost");
    wk_free(other);
    wk_free(ca);
}

/* Ctrl-C ends a copy that waits for a silent server, and nothing of it stays. */
Test(files_http, a_copy_is_interrupted) {
    static const char *const days[] = { "stall/a", "mute-99/a" };
    char *folder = wk_format("%s/into", state_dir());
    char *file = wk_format("%s/a", folder);
    serve_text("a", "half of this");
    cr_assert_eq(wk_folder_make(folder), WK_OK);
    for (size_t i = 0; i < WK_COUNT(days); i++) {
        outcome o = run_program((const char *const[]){ "timeout", "--preserve-status", "-s", "INT", "1", WICK_BINARY,
                                                       "copy", at(BASE, days[i]), file, NULL });
        cr_expect_eq(o.code, 130, "%d: %s", o.code, o.err);
        assert_contains(o.err, "the copy was ended");
        forget(&o);
        wk_file_list *list = wk_folder_list(folder);
        cr_expect_eq(list->count, 0, "%s is left", list->count ? list->items[0].name : "");
        wk_file_list_free(list);
    }
    wk_free(file);
    wk_free(folder);
}

Test(files_http, nobody_there) {
    FAILS("http://127.0.0.1:1/a", WK_IO, "http://127.0.0.1:1/a: Failed to connect");
}

Test(files_http, folders_are_sent) {
    char *folder = wk_format("%s/tree", state_dir());
    char *sub = wk_format("%s/a b#%%", folder);
    char *file = wk_format("%s/c?", sub);
    cr_assert_eq(wk_folder_make(sub), WK_OK);
    cr_assert_eq(wk_file_save(file, "deep", 4), WK_OK);
    outcome o = WICK("copy", "-r", folder, at(BASE, "sent"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    char *text = served("sent/a b#%/c?");
    cr_expect_str_eq(text, "deep");
    wk_free(text);
    o = WICK("copy", at(BASE, "sent/a%20b%23%25/c%3F"), folder);
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    char *back = wk_format("%s/c?", folder);
    HOLDS(back, "deep");
    wk_free(back);
    wk_free(file);
    wk_free(sub);
    wk_free(folder);
}
