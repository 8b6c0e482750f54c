/* rank.c: who this process is, as its environment says. */
#include "app/app.h"

#include <limits.h>
#include <stdlib.h>

/* What is not a number counts as not set: a job started by hand must not fail for a stray variable. */
static int number_of(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    char *end = NULL;
    long number = text && *text ? strtol(text, &end, 10) : otherwise;
    return end && (*end || number < 0 || number > INT_MAX) ? otherwise : (int)number;
}

int wk_job_rank(void) {
    return number_of("RANK", 0);
}

int wk_job_world_size(void) {
    return number_of("WORLD_SIZE", 1);
}

int wk_job_local_rank(void) {
    return number_of("LOCAL_RANK", 0);
}

int wk_job_local_world_size(void) {
    return number_of("LOCAL_WORLD_SIZE", 1);
}

int wk_job_restart_count(void) {
    return number_of("TORCHELASTIC_RESTART_COUNT", 0);
}

const char *wk_job_id(void) {
    const char *id = getenv("TORCHX_JOB_ID");
    return id && *id ? id : "<UNDEFINED>";
}
