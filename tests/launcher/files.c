/* The file layer: URLs as text, files of this machine, of memory, of a plug-in, and copies. */
#include "launcher/harness.h"
#include "wick/files.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(files, .init = state_begin, .fini = state_end, .timeout = 60);

/* A path below the state directory, in one of eight places that are used in turn. */
static const char *here(const char *rest) {
    static char places[8][PATH_MAX];
    static int next;
    char *place = places[next++ % 8];
    (void)snprintf(place, sizeof places[0], "%s/%s", state_dir(), rest);
    return place;
}

#define HOLDS(url, text)                                         \
    do {                                                         \
        size_t holds_size = 0;                                   \
        char *holds = wk_file_load((url), 1 << 20, &holds_size); \
        cr_assert_not_null(holds, "%s", wk_message());           \
        cr_expect_eq(holds_size, strlen(text));                  \
        cr_expect_str_eq(holds, (text));                         \
        wk_free(holds);                                          \
    } while (0)

#define REFUSED(code, part)                                          \
    do {                                                             \
        cr_expect_eq(wk_error_code(), (code), "%s", wk_message());   \
        cr_expect(strstr(wk_message(), (part)), "%s", wk_message()); \
        wk_clear_error();                                            \
    } while (0)

/* Frees what it compares. */
static void is(char *text, const char *expected) {
    cr_assert_not_null(text, "%s", wk_message());
    cr_expect_str_eq(text, expected);
    wk_free(text);
}

Test(files, urls_as_text) {
    cr_expect_str_eq(wk_url_path("a/b"), "a/b");
    cr_expect_str_eq(wk_url_path("file:///a b"), "/a b");
    cr_expect_str_eq(wk_url_path("FILE://localhost/a"), "/a");
    cr_expect_str_eq(wk_url_path("file:/a"), "/a");
    cr_expect_str_eq(wk_url_path("file:x"), "file:x", "a name with a colon");
    cr_expect_eq(wk_url_check("file:/"), WK_OK, "%s", wk_message());
    cr_expect_null(wk_url_path("http://h/a"));
    cr_expect_str_eq(wk_url_path("a:b//c"), "a:b//c", "no scheme without ://");
    is(wk_url_mask("https://user:se@cret@host:80/p?token=1#x"), "https://user:***@host:80/p?***");
    is(wk_url_mask("https://token@host"), "https://***@host");
    is(wk_url_mask("https://host/a@b"), "https://host/a@b");
    is(wk_url_mask("/a?b@c"), "/a?b@c");
    is(wk_url_join("a", "b"), "a/b");
    is(wk_url_join("/", "b"), "/b");
    is(wk_url_join("memory://", "b"), "memory://b");
    is(wk_url_join("memory://a/", "50% b"), "memory://a/50% b");
    is(wk_url_join("http://h", "b"), "http://h/b");
    is(wk_url_join("http://h/a?x=1", "b c/?#"), "http://h/a/b%20c%2F%3F%23?x=1");
    is(wk_url_beside("a.yaml", "b.yaml"), "b.yaml");
    is(wk_url_beside("/x/a.yaml", "c/b.yaml"), "/x/c/b.yaml");
    is(wk_url_beside("http://h/x/a.yaml?t=/1", "b.yaml"), "http://h/x/b.yaml?t=/1");
    is(wk_url_beside("http://h", "b.yaml"), "http://h/b.yaml");
    is(wk_url_beside("http://h/x", "/b.yaml"), "/b.yaml");
    is(wk_url_beside("http://h/x", "memory://b"), "memory://b");
}

Test(files, what_is_no_url_is_refused) {
    static const struct {
        const char *url, *part;
        wk_status code;
    } cases[] = {
        { "", "an empty URL", WK_INVALID },
        { "s3://b/k",
          "the scheme \"s3\" is not known; known: file, memory, http, https; a plug-in named in WICK_PLUGINS",
          WK_NOT_FOUND },
        { "htp://h/x", "did you mean \"http\"?", WK_NOT_FOUND },
        { "memory://../a", "\"..\" leads out of the root", WK_INVALID },
        { "memory://a/../../b", "\"..\" leads out of the root", WK_INVALID },
        { "memory://a\nb", "a control character (10)", WK_INVALID },
        { "http://h/../a", "\"..\" leads out of the root", WK_INVALID },
        { "http://h/a/%2e%2E/.%2e/b", "\"..\" leads out of the root", WK_INVALID },
        { "http://h/a%00b", "a control character (0)", WK_INVALID },
        { "http://h/a%4", "two digits of base 16", WK_INVALID },
        { "http:///a", "a URL without a host", WK_INVALID },
        { "file://elsewhere", "expected file:///PATH", WK_INVALID },
        { "file://other/host", "expected file:///PATH", WK_INVALID },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        cr_expect_null(wk_file_load(cases[i].url, 10, NULL), "%s", cases[i].url);
        REFUSED(cases[i].code, cases[i].part);
        cr_expect_neq(wk_file_save(cases[i].url, "x", 1), WK_OK, "%s", cases[i].url);
        REFUSED(cases[i].code, cases[i].part);
    }
    cr_expect_eq(wk_url_check("memory://a/../b/..."), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_url_check("http://h/a/%2e%2e/b"), WK_OK, "%s", wk_message());
    cr_expect_neq(wk_url_check("http://user:secret@h/../a"), WK_OK);
    cr_expect(!strstr(wk_message(), "secret") && strstr(wk_message(), "http://user:***@h/../a: "), "%s", wk_message());
    wk_clear_error();
}

Test(files, of_this_machine) {
    const char *path = here("a");
    char *url = wk_format("file://%s", path);
    cr_assert_eq(wk_file_save(url, "hello", 5), WK_OK, "%s", wk_message());
    HOLDS(path, "hello");
    cr_assert_eq(wk_file_save(path, "", 0), WK_OK);
    HOLDS(url, "");
    wk_free(url);
    cr_assert_eq(wk_file_save(path, "0123456789", 10), WK_OK);
    char bytes[16];
    size_t got = 0;
    wk_file *file = wk_file_open_range(path, 3, 7);
    cr_assert_eq(wk_file_read(file, bytes, sizeof bytes, &got), WK_OK);
    cr_expect_eq(got, 4);
    cr_expect_arr_eq(bytes, "3456", 4);
    wk_file_close(file);
    file = wk_file_open_range(path, 20, -1);
    cr_assert_eq(wk_file_read(file, bytes, sizeof bytes, &got), WK_OK);
    cr_expect_eq(got, 0);
    cr_expect_eq(wk_file_write(file, "x", 1), WK_STATE);
    REFUSED(WK_STATE, "opened to be read");
    wk_file_close(file);
    cr_expect_null(wk_file_open_range(path, 3, 1));
    REFUSED(WK_INVALID, "expected a range");
    cr_expect_null(wk_file_load(path, 9, NULL));
    REFUSED(WK_FORMAT, "more than the 9 bytes");
    wk_file_info info;
    cr_assert_eq(wk_file_stat(path, &info), WK_OK);
    cr_expect_eq(info.size, 10);
    cr_expect(info.modified > 1.6e9);
    bool there = true;
    cr_assert_eq(wk_file_exists(here("none"), &there), WK_OK);
    cr_expect_not(there);
    cr_expect_null(wk_file_load(here("none"), 9, NULL));
    REFUSED(WK_NOT_FOUND, "/none: No such file or directory");
    cr_expect_null(wk_file_load(state_dir(), 9, NULL));
    REFUSED(WK_INVALID, "is a folder; expected a file");
    cr_expect_neq(wk_file_save(here("no/folder"), "x", 1), WK_OK);
    REFUSED(WK_NOT_FOUND, "cannot create it: No such file or directory");
    cr_assert_eq(wk_folder_make(here("d/e")), WK_OK);
    cr_assert_eq(wk_folder_make(here("d/e")), WK_OK);
    cr_expect_neq(wk_folder_make(here("a/x")), WK_OK);
    REFUSED(WK_IO, "a file is in its place");
    cr_expect_neq(wk_file_remove(here("d")), WK_OK);
    REFUSED(WK_IO, "cannot remove: Directory not empty");
    cr_expect_eq(wk_file_remove(here("d/e")), WK_OK);
}

/* Nobody sees half a file: what is not committed leaves nothing. */
Test(files, appear_whole_or_not_at_all) {
    const char *path = here("w/a");
    cr_assert_eq(wk_folder_make(here("w")), WK_OK);
    cr_assert_eq(wk_file_save(path, "old", 3), WK_OK);
    wk_file *file = wk_file_create(path);
    cr_assert_eq(wk_file_write(file, "half", 4), WK_OK);
    HOLDS(path, "old");
    wk_file_close(file);
    HOLDS(path, "old");
    wk_file_list *list = wk_folder_list(here("w"));
    cr_expect_eq(list->count, 1, "a temporary file is left");
    wk_file_list_free(list);
    file = wk_file_create(path);
    cr_assert_eq(wk_file_write(file, "new", 3), WK_OK);
    cr_assert_eq(wk_file_commit(file), WK_OK);
    cr_expect_eq(wk_file_commit(file), WK_STATE);
    REFUSED(WK_STATE, "committed twice");
    wk_file_close(file);
    HOLDS(path, "new");
}

Test(files, links_and_devices_stay_what_they_are) {
    cr_assert_eq(wk_file_save(here("target"), "old", 3), WK_OK);
    cr_assert_eq(chmod(here("target"), 0640), 0);
    cr_assert_eq(symlink("target", here("link")), 0);
    cr_assert_eq(wk_file_save(here("link"), "new", 3), WK_OK);
    HOLDS(here("target"), "new");
    struct stat s;
    cr_expect(lstat(here("link"), &s) == 0 && S_ISLNK(s.st_mode));
    cr_expect(stat(here("target"), &s) == 0 && (s.st_mode & 0777) == 0640);
    cr_assert_eq(mkfifo(here("pipe"), 0600), 0);
    int reader = open(here("pipe"), O_RDONLY | O_NONBLOCK);
    char bytes[8];
    cr_assert_eq(wk_file_save(here("pipe"), "through", 7), WK_OK, "%s", wk_message());
    cr_expect_eq(read(reader, bytes, sizeof bytes), 7);
    (void)close(reader);
    cr_expect(lstat(here("pipe"), &s) == 0 && S_ISFIFO(s.st_mode));
    cr_expect_eq(wk_file_save("/dev/null", "x", 1), WK_OK);
    cr_expect(lstat("/dev/null", &s) == 0 && S_ISCHR(s.st_mode));
}

Test(files, of_memory) {
    cr_assert_eq(wk_file_save("memory://m/a", "one", 3), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_file_save("memory:///m/./sub//../sub/b", "two", 3), WK_OK);
    cr_assert_eq(wk_file_save("memory://m/sub/c", "", 0), WK_OK);
    cr_assert_eq(wk_folder_make("memory://m/empty"), WK_OK);
    HOLDS("memory://m/sub/b", "two");
    wk_file *file = wk_file_open("memory://m/a");
    cr_assert_eq(wk_file_save("memory://m/a", "other", 5), WK_OK);
    char bytes[8];
    size_t got = 0;
    cr_assert_eq(wk_file_read(file, bytes, sizeof bytes, &got), WK_OK);
    cr_expect(got == 3 && memcmp(bytes, "one", 3) == 0, "a reader keeps what was there when it began");
    wk_file_close(file);
    wk_file_list *list = wk_folder_list("memory://m");
    cr_assert_not_null(list, "%s", wk_message());
    cr_assert_eq(list->count, 3);
    cr_expect_str_eq(list->items[0].name, "a");
    cr_expect_str_eq(list->items[1].name, "empty");
    cr_expect_str_eq(list->items[2].name, "sub");
    cr_expect_eq(list->items[2].info.kind, WK_FILE_FOLDER);
    cr_expect_eq(list->items[0].info.size, 5);
    wk_file_list_free(list);
    cr_expect_neq(wk_file_remove("memory://m/sub"), WK_OK);
    REFUSED(WK_IO, "the folder is not empty");
    cr_expect_neq(wk_file_save("memory://m/sub", "x", 1), WK_OK);
    REFUSED(WK_INVALID, "is a folder");
    cr_expect_neq(wk_file_save("memory://m/a/x", "x", 1), WK_OK);
    REFUSED(WK_IO, "a file is where one of its folders would be");
    cr_expect_null(wk_file_open("memory://m/none"));
    REFUSED(WK_NOT_FOUND, "memory://m/none: there is no such file");
    wk_copied done;
    cr_assert_eq(wk_file_copy("memory://m", here("out"), (wk_copy_opts){ .recursive = true }, &done), WK_OK, "%s",
                 wk_message());
    cr_expect_eq(done.files, 3);
    cr_expect_eq(done.bytes, 8);
    HOLDS(here("out/sub/b"), "two");
    cr_assert_eq(wk_file_copy(here("out"), "memory://again", (wk_copy_opts){ .recursive = true }, &done), WK_OK);
    HOLDS("memory://again/a", "other");
    static const char *const all[] = { "m/a",         "m/sub/b",     "m/sub/c",   "m/empty",     "again/a",
                                       "again/sub/b", "again/sub/c", "again/sub", "again/empty", "again" };
    for (size_t i = 0; i < WK_COUNT(all); i++) {
        char *url = wk_format("memory://%s", all[i]);
        cr_expect_eq(wk_file_remove(url), WK_OK, "%s", wk_message());
        wk_free(url);
    }
}

static void *fill_memory(void *index) {
    char url[64], text[16];
    for (int i = 0; i < 50; i++) {
        (void)snprintf(url, sizeof url, "memory://t/%d", i);
        (void)snprintf(text, sizeof text, "%08d", i);
        if (wk_file_save(url, text, 8) != WK_OK) return index;
        char *read = wk_file_load(url, 100, NULL);
        const bool same = read && strcmp(read, text) == 0;
        wk_free(read);
        if (!same) return index;
    }
    return NULL;
}

Test(files, threads_share_memory) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) cr_assert_eq(pthread_create(&threads[i], NULL, fill_memory, threads), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        (void)pthread_join(threads[i], &failed);
        cr_expect_null(failed);
    }
    for (int i = 0; i < 50; i++) {
        char url[64];
        (void)snprintf(url, sizeof url, "memory://t/%d", i);
        cr_expect_eq(wk_file_remove(url), WK_OK);
    }
}

Test(files, a_plug_in_adds_a_scheme) {
    (void)setenv("WICK_PLUGINS", "/nonexistent.so:" WICK_OWN_SCHEDULER ":" WICK_OWN_FILES, 1);
    (void)setenv("OWN_FILES_A", "some value", 1);
    HOLDS("env://OWN_FILES_A", "some value");
    cr_assert_eq(wk_file_save("env://OWN_FILES_B", "other", 5), WK_OK, "%s", wk_message());
    cr_expect_str_eq(getenv("OWN_FILES_B"), "other");
    cr_expect_null(wk_file_open("env://OWN_FILES_NONE"));
    REFUSED(WK_NOT_FOUND, "env://OWN_FILES_NONE: there is no such variable");
    cr_expect_neq(wk_file_save("env://OWN_FILES_B", "a\0b", 3), WK_OK);
    REFUSED(WK_INVALID, "env://OWN_FILES_B: a variable cannot hold a NUL");
    wk_file_list *list = wk_folder_list("env://");
    size_t found = 0;
    for (size_t i = 0; i < list->count; i++) found += strncmp(list->items[i].name, "OWN_FILES_", 10) == 0;
    cr_expect_eq(found, 2);
    wk_file_list_free(list);
    cr_expect_eq(wk_folder_make("env://x"), WK_OK, "nothing to be done where there are no folders");
    cr_expect_eq(wk_file_remove("env://OWN_FILES_B"), WK_OK);
    cr_expect_null(wk_file_open("enf://x"));
    REFUSED(WK_NOT_FOUND, "did you mean \"env\"?");
    outcome o = WICK("copy", "env://OWN_FILES_A", here("of-env"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    HOLDS(here("of-env"), "some value");
    forget(&o);
    /* Schedulers are looked for in the same libraries, and one with files alone is not spoken of. */
    o = WICK("runopts", "serial");
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_expect_null(strstr(o.err, WICK_OWN_FILES), "%s", o.err);
    forget(&o);
}

Test(files, what_a_program_registers) {
    static const char *const schemes[] = { "thing", NULL };
    static wk_file_system old = { .api_version = WK_FILES_API + 1, .size = sizeof old, .schemes = schemes };
    cr_expect_eq(wk_file_system_register(&old), WK_INVALID);
    REFUSED(WK_INVALID, "a file system of interface 2");
    old.api_version = WK_FILES_API;
    cr_assert_eq(wk_file_system_register(&old), WK_OK);
    cr_expect_null(wk_file_open("thing://a"));
    REFUSED(WK_UNSUPPORTED, "thing://a: files there cannot be read");
    cr_expect_null(wk_file_create("thing://a"));
    REFUSED(WK_UNSUPPORTED, "cannot be written");
    cr_expect_null(wk_folder_list("thing://a"));
    REFUSED(WK_UNSUPPORTED, "cannot be listed");
    cr_expect_neq(wk_file_remove("thing://a"), WK_OK);
    REFUSED(WK_UNSUPPORTED, "cannot be removed");
}

static bool never(void *context) {
    ++*(int *)context;
    return false;
}

Test(files, copies) {
    cr_assert_eq(wk_folder_make(here("from/sub")), WK_OK);
    cr_assert_eq(wk_folder_make(here("to")), WK_OK);
    cr_assert_eq(wk_file_save(here("from/a"), "a", 1), WK_OK);
    cr_assert_eq(wk_file_save(here("from/sub/b"), "bb", 2), WK_OK);
    outcome o = WICK("copy", here("from/a"), here("to"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_expect_str_eq(o.out, "");
    forget(&o);
    HOLDS(here("to/a"), "a");
    o = WICK("copy", "--json", "-r", here("from"), here("new"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_expect_str_eq(o.out, "{\n  \"files\": 2,\n  \"bytes\": 3\n}\n");
    forget(&o);
    HOLDS(here("new/sub/b"), "bb");
    o = WICK("copy", here("from"), here("new"));
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "/from: is a folder; a recursive copy takes what lies in it");
    forget(&o);
    o = WICK("copy", "-r", here("from"), here("from/sub/new"));
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "so the copy would have no end");
    cr_expect_neq(access(here("from/sub/new"), F_OK), 0);
    forget(&o);
    o = WICK("copy", "a");
    cr_expect_eq(o.code, 2);
    assert_contains(o.err, "copy: expected SRC and DST");
    forget(&o);
    o = WICK("copy", "--recursif", "a", "b");
    cr_expect_eq(o.code, 2);
    assert_contains(o.err, "did you mean --recursive?");
    forget(&o);
    o = WICK("run", "utils.copy", "--src", here("from/a"), "--dst", here("by-component"), "--wait");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    HOLDS(here("by-component"), "a");
    cr_assert_eq(symlink(".", here("from/self")), 0);
    cr_expect_neq(wk_file_copy(here("from"), here("loop"), (wk_copy_opts){ .recursive = true }, NULL), WK_OK);
    wk_clear_error();
    int calls = 0;
    const wk_copy_opts ended = { .go_on = never, .context = &calls };
    cr_expect_eq(wk_file_copy(here("from/a"), here("to/ended"), ended, NULL), WK_CANCELLED);
    wk_clear_error();
    cr_expect_eq(calls, 1);
    wk_file_list *list = wk_folder_list(here("to"));
    cr_expect_eq(list->count, 1, "something is left of the copy that was ended");
    wk_file_list_free(list);
}
