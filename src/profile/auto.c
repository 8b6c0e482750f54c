/* auto.c: profiles of programs that know nothing of it: WICK_PROFILE names a folder.
 *
 * The first context that runs anything is profiled until the program ends; what was noted is then written there, under
 * the rank's number where there is one, else the process's.
 */
#include "profile/profile.h"

#include "base/base.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static wk_profile *of_program;
static pid_t process; /* a forked child has a copy that is not its own */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *folder(void) {
    const char *wish = getenv("WICK_PROFILE");
    return wish && *wish ? wish : NULL;
}

static void begin(void) {
    of_program = wk_profile_begin();
    process = getpid();
}

static void begin_once(void) {
    (void)pthread_once(&once, begin);
}

__attribute__((constructor)) static void wait_for_context(void) {
    if (folder()) wk__context_made = begin_once;
}

static void name_process(char *name, size_t size) {
    static const char *const keys[] = { "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "RANK" };
    for (size_t i = 0; i < WK_COUNT(keys); i++) {
        const char *rank = getenv(keys[i]);
        if (!rank) continue;
        (void)snprintf(name, size, "rank%ld", strtol(rank, NULL, 10));
        return;
    }
    (void)snprintf(name, size, "process%ld", (long)getpid());
}

static wk_status save(const wk_profile *p, const char *where) {
    char name[40], path[4096 + 80];
    name_process(name, sizeof name);
    (void)mkdir(where, 0777);
    (void)snprintf(path, sizeof path, "%s/%s.txt", where, name);
    WK_TRY(wk_profile_save_tables(p, path));
    (void)snprintf(path, sizeof path, "%s/%s.trace.json", where, name);
    WK_TRY(wk_profile_save_trace(p, path));
    (void)snprintf(path, sizeof path, "%s/%s.flames.svg", where, name);
    return wk_profile_save_flames(p, path);
}

__attribute__((destructor)) static void end(void) {
    if (!of_program || process != getpid()) return;
    wk_profile_end(of_program);
    if (folder() && save(of_program, folder()) != WK_OK) wk_log_write(WK_LOG_ERROR, "WICK_PROFILE: %s", wk_message());
    wk_profile_destroy(of_program);
    of_program = NULL;
}
