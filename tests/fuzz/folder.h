/* folder.h: inputs that are files beside each other, in a folder of this process below the build folder. */
#ifndef WICK_TESTS_FUZZ_FOLDER_H
#define WICK_TESTS_FUZZ_FOLDER_H

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char fuzz_folder[300];

static inline const char *fuzz_path(const char *name) {
    static char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    return path;
}

static inline void fuzz_put(const char *name, const void *bytes, size_t size) {
    int file = open(fuzz_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size || close(file) != 0) abort();
}

static inline void fuzz_folder_remove(void) {
    char command[400];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fuzz_folder);
    if (system(command) != 0) perror(command);
}

/* Once, from LLVMFuzzerInitialize. */
static inline void fuzz_folder_make(void) {
    (void)snprintf(fuzz_folder, sizeof fuzz_folder, "%s/fuzz-XXXXXX", WICK_BUILD_DIR);
    if (!mkdtemp(fuzz_folder) || atexit(fuzz_folder_remove) != 0) abort();
}

#endif
