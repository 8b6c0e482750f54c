/* program.h: running programs in tests, and the files they work on. */
#ifndef WICK_TESTS_SUPPORT_PROGRAM_H
#define WICK_TESTS_SUPPORT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A fresh folder below the build folder, named after `name` and this process; removed by remove_folder. */
const char *fresh_folder(const char *name);
void remove_folder(const char *path);
void write_bytes(const char *path, const void *bytes, size_t size);
/* All bytes of a file, NUL-terminated; NULL if it cannot be read.  Free with free. */
char *read_bytes(const char *path, size_t *size);
bool same_bytes(const char *a, const char *b);

/* IDX files train-*, t10k-* in `folder`: `count` images of 28×28 whose bright square tells the label. */
void make_idx_folder(const char *folder, int count);

/* A program under way: stdout and stderr go to files. */
typedef struct program {
    pid_t pid;
    char out[512], err[512];
} program;
/* argv ends with NULL; `environment` holds "KEY=value" strings added to this process's, ended by NULL, or is NULL. */
program start(const char *folder, char *const argv[], char *const environment[]);
/* The exit code, 128 + signal, or -1 if it had to be killed after `seconds`. */
int finish(program *p, double seconds);
/* start and finish; the text of stderr is in *err (free it) if err is not NULL. */
int run_program(const char *folder, char *const argv[], char *const environment[], double seconds, char **err);
bool wait_for_text(const char *path, const char *text, double seconds);
void pause_seconds(double seconds);

#define WICK_PROGRAM WICK_BUILD_DIR "/bin/wick"

#endif
