#include "support/program.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

void pause_seconds(double seconds) {
    struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    (void)nanosleep(&t, NULL);
}

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *fresh_folder(const char *name) {
    static char path[400];
    (void)mkdir(WICK_BUILD_DIR "/test-files", 0700);
    (void)snprintf(path, sizeof path, "%s/test-files/%s.%ld", WICK_BUILD_DIR, name, (long)getpid());
    remove_folder(path);
    (void)mkdir(path, 0700);
    return path;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

void remove_folder(const char *path) {
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    if (!file) return;
    (void)fwrite(bytes, 1, size, file);
    (void)fclose(file);
}

char *read_bytes(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    (void)fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *bytes = calloc(1, (size_t)length + 1);
    size_t got = fread(bytes, 1, (size_t)length, file);
    (void)fclose(file);
    if (size) *size = got;
    return bytes;
}

bool same_bytes(const char *a, const char *b) {
    size_t size_a = 0, size_b = 1;
    char *x = read_bytes(a, &size_a), *y = read_bytes(b, &size_b);
    bool same = x && y && size_a == size_b && memcmp(x, y, size_a) == 0;
    free(x);
    free(y);
    return same;
}

static void make_split(const char *folder, const char *split, int count, unsigned seed) {
    unsigned char images_head[16] = { 0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 28 },
                  labels_head[8] = { 0, 0, 8, 1 };
    size_t pixels = 28 * 28, n = (size_t)count;
    unsigned char *images = calloc(1, 16 + n * pixels), *labels = calloc(1, 8 + n);
    for (int i = 0; i < 4; i++)
        images_head[4 + i] = labels_head[4 + i] = (unsigned char)((unsigned)count >> (24 - 8 * i));
    memcpy(images, images_head, 16);
    memcpy(labels, labels_head, 8);
    for (size_t i = 0; i < n; i++) {
        unsigned label = (unsigned)((i * 7 + seed) % 10);
        labels[8 + i] = (unsigned char)label;
        unsigned char *image = images + 16 + i * pixels;
        for (size_t p = 0; p < pixels; p++) image[p] = (unsigned char)((p * 31 + i * 17 + seed) % 64);
        size_t row = 2 + 12 * (label / 5), column = 1 + 5 * (label % 5);
        for (size_t y = 0; y < 8; y++)
            for (size_t x = 0; x < 5; x++) image[(row + y) * 28 + column + x] = (unsigned char)(180 + (x * y + i) % 60);
    }
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte", folder, split);
    write_bytes(path, images, 16 + n * pixels);
    (void)snprintf(path, sizeof path, "%s/%s-labels-idx1-ubyte", folder, split);
    write_bytes(path, labels, 8 + n);
    free(images);
    free(labels);
}

void make_idx_folder(const char *folder, int count) {
    make_split(folder, "train", count, 3);
    make_split(folder, "t10k", count / 4 + 1, 5);
}

program start(const char *folder, char *const argv[], char *const environment[]) {
    static int serial;
    program p;
    serial++;
    (void)snprintf(p.out, sizeof p.out, "%s/stdout.%d", folder, serial);
    (void)snprintf(p.err, sizeof p.err, "%s/stderr.%d", folder, serial);
    pid_t parent = getpid();
    p.pid = fork();
    if (p.pid != 0) return p;
    /* A test that dies takes its programs with it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    int in = open("/dev/null", O_RDONLY), out = open(p.out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
        err = open(p.err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    (void)dup2(in, 0);
    (void)dup2(out, 1);
    (void)dup2(err, 2);
    for (int i = 0; environment && environment[i]; i++) (void)putenv(environment[i]);
    (void)execvp(argv[0], argv);
    (void)fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int finish(program *p, double seconds) {
    int status = 0;
    for (double until = now() + seconds; now() < until; pause_seconds(0.005))
        if (waitpid(p->pid, &status, WNOHANG) == p->pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    (void)kill(p->pid, SIGKILL);
    (void)waitpid(p->pid, &status, 0);
    return -1;
}

int run_program(const char *folder, char *const argv[], char *const environment[], double seconds, char **err) {
    program p = start(folder, argv, environment);
    int code = finish(&p, seconds);
    if (err) *err = read_bytes(p.err, NULL);
    return code;
}

bool wait_for_text(const char *path, const char *text, double seconds) {
    for (double until = now() + seconds; now() < until; pause_seconds(0.005)) {
        char *bytes = read_bytes(path, NULL);
        bool found = bytes && strstr(bytes, text);
        free(bytes);
        if (found) return true;
    }
    return false;
}
