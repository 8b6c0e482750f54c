/* sources.c: what a run was started from is kept beside what it made. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[450]; /* the working directory; the run's lies in it */

static void put(const char *name, size_t size, char letter) {
    char path[900], *bytes = malloc(size + 1);
    memset(bytes, letter, size);
    (void)snprintf(path, sizeof path, "%s/%s", work, name);
    write_bytes(path, bytes, size);
    free(bytes);
}

static void set_up(void) {
    static const char *const folders[] = { "", "/code", "/code/deep", "/empty", "/save_old", "/build", "/.hidden" };
    char path[700];
    run_set_up("sources", 96);
    (void)snprintf(work, sizeof work, "%s/work", run_folder);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", work, folders[i]);
        cr_assert_eq(mkdir(path, 0700), 0);
    }
    cr_assert_eq(chdir(work), 0);
    (void)snprintf(run_output, sizeof run_output, "%s/mine", work);
    put("main.c", 20, 'm'), put("load.c", 3, 'l'), put("code/deep/x.py", 5, 'x'), put("code/large.bin", 1 << 21, 'b');
    put("save_old/result", 4, 'r'), put("build/main.o", 4, 'o'), put(".hidden/secret", 4, 's'),
        put("code/.env", 4, 'e');
    cr_assert_eq(symlink("/etc/passwd", "code/link"), 0);
}

TestSuite(sources, .init = set_up, .fini = run_tear_down);

static const char rest[] = "model: { name: mlp, args: { hidden: 4 } }\noptimizer: { name: SGD, args: { lr: 0.1 } }\n"
                           "trainer: { max_steps: 2 }\n";

static bool is_kept(const char *name) {
    char path[900];
    (void)snprintf(path, sizeof path, "%s/src/%s", run_output, name);
    return access(path, F_OK) == 0;
}

Test(sources, of_the_working_directory_are_kept) {
    char text[400];
    (void)snprintf(text, sizeof text, "%scopy_sources: true\n", rest);
    run_write(text);
    char *err = run_succeeds(NULL);
    cr_expect(strstr(err, "src/: 3 files of the working directory, 0.0 KiB\nsrc/: 1 files above 1 MiB are left out\n"),
              "%s", err);
    free(err);
    cr_expect(is_kept("main.c") && is_kept("load.c") && is_kept("code/deep/x.py"));
    static const char *const out[] = { "code/large.bin", "code/link", "code/.env", "save_old",
                                       "build",          ".hidden",   "mine",      "empty" };
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) cr_expect(!is_kept(out[i]), "%s", out[i]);
    /* the next run's replace them */
    cr_assert_eq(unlink("main.c"), 0);
    put("other.c", 7, 'o');
    free(run_succeeds(WORDS("--overwrite")));
    cr_expect(!is_kept("main.c") && is_kept("other.c"));
}

Test(sources, are_not_kept_unless_asked_for) {
    run_write(rest);
    free(run_succeeds(NULL));
    cr_expect(!is_kept("main.c"));
    run_refused("copy_sources", WORDS("--overwrite", "-o", "copy_sources=some"));
}

/* Where the run's directory has something else of that name. */
Test(sources, take_the_place_of_a_file) {
    char text[400];
    (void)snprintf(text, sizeof text, "%scopy_sources: true\n", rest);
    run_write(text);
    cr_assert_eq(mkdir(run_output, 0700), 0);
    put("mine/src", 3, 'f');
    char *err = run_succeeds(NULL);
    cr_expect(strstr(err, "src/: 3 files"), "%s", err);
    free(err);
    cr_expect(is_kept("main.c"));
}
