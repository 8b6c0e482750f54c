/* harness.h: a state directory of its own for each test, and `wick` as a user calls it. */
#ifndef WICK_TESTS_LAUNCHER_HARNESS_H
#define WICK_TESTS_LAUNCHER_HARNESS_H

#include "base/base.h"
#include "support/brief.h"
#include "wick/launcher.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/types.h>

#define WICK_BINARY WICK_BUILD_DIR "/bin/wick"

typedef struct outcome {
    int code;
    char *out, *err;
    double seconds;
} outcome;

/* Test fixtures: a fresh WICK_STATE_DIR; at the end whatever still runs is cancelled. */
void state_begin(void);
void state_end(void);
void state_end_apps(void);  /* its two halves: cancel what runs; */
void state_end_files(void); /* see that no process is left, remove the files */
const char *state_dir(void);

/* Run a program (NULL-terminated argv, found in PATH) to its end. */
outcome run_program(const char *const *argv);
/* `wick` with these words. */
#define WICK(...) run_program((const char *const[]){ WICK_BINARY, __VA_ARGS__, NULL })
void forget(outcome *o);
/* The handle on stdout, without its newline. */
const char *handle_of(outcome *o);
/* The state that `wick status` tells, as a word. */
const char *state_of(const char *handle);
/* Wait until it is so, up to some seconds; false if it never came to be. */
bool becomes(const char *handle, const char *state, double seconds);
/* Write a file below the state directory; its path. */
const char *write_file(const char *name, const char *text);
/* Content of a file of an app: "trainer/0/stdout.log"; "" if there is none. */
char *app_file(const char *handle, const char *rest);
/* How many processes have this word in their command line (zombies do not count). */
int count_processes(const char *word);
/* The pid of one whose command line begins with this command (mpirun's own line ends with that of its ranks) and holds
 * the word. The test fails if there is none. */
pid_t find_process(const char *command, const char *word);
bool vanishes(const char *word, double seconds);
void pause_for(double seconds);

#define assert_contains(text, part) \
    cr_assert(strstr((text), (part)) != NULL, "expected \"%s\" within:\n%s", (part), (text))

/* 200 strings of quotes, blanks, substitutions and bytes that are no UTF-8, the same each time: into argv, and with a
 * NUL behind each into `expected` (free it with wk_text_free). */
enum { HOSTILE_COUNT = 200 };
void hostile_strings(const char **argv /* (HOSTILE_COUNT) */, wk_text *expected, bool plain);
/* That the file holds these bytes and no others. */
void assert_file_holds(const char *path, const wk_text *expected);

#endif
