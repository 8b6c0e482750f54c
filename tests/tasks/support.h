/* support.h: what tests of tasks share: a folder, a run of an example's own file, the program's words. */
#ifndef WICK_TESTS_TASKS_SUPPORT_H
#define WICK_TESTS_TASKS_SUPPORT_H

#include "support/program.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <stdint.h>

#define WORDS(...)    ((char *[]){ __VA_ARGS__, NULL })
#define EXAMPLE(name) WICK_SOURCE_DIR "/examples/" name "/config.yaml"
#define GOLDEN(name)  WICK_SOURCE_DIR "/tests/golden/" name

/* A fresh folder `task_folder`, which is also the run's (task_folder/run). */
extern char task_folder[400];
void task_set_up(void);
void task_tear_down(void);
/* A path in it. */
const char *task_path(const char *name);
/* `wick COMMAND WORDS…`: the exit code; what it wrote, to be freed, where not NULL. */
int task_run(char **out, char **err, char *const words[]);
/* `wick train -c FILE -o output=task_folder/run WORDS…` ends with 0; stderr, to be freed. */
char *task_train(const char *file, char *const words[]);
/* It ends with `code` and says exactly one thing, which holds `expected`. */
void task_refused(int code, const char *expected, char *const words[]);
/* The last value of a column of the run's metrics.csv that is not empty, and the first. */
double task_metric(const char *column, bool first);
/* Both datasets of data by name, of args as they stand within braces. */
wk_status task_data(const char *name, const char *args, wk_dataset **train, wk_dataset **evaluation);

#endif
