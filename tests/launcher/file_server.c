#include "launcher/file_server.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t server;
static int lifeline = -1; /* the server's stdin */
static char plain[64], secure[64];

static char *below(const char *rest) {
    char *path = wk_format("%s/server/%s", state_dir(), rest);
    cr_assert_not_null(path);
    return path;
}

static char *text_of(const char *path) {
    wk_text text = { 0 };
    FILE *file = fopen(path, "r");
    wk_text_puts(&text, "");
    for (int c; file && (c = fgetc(file)) != EOF;) {
        char letter = (char)c;
        wk_text_add(&text, &letter, 1);
    }
    if (file) (void)fclose(file);
    return text.data;
}

void file_server_begin(void) {
    int ends[2];
    int number = 0, secure_number = 0;
    state_begin();
    (void)setenv("NO_PROXY", "127.0.0.1", 1);
    (void)setenv("TMPDIR", state_dir(), 1);
    (void)unsetenv("WICK_CA_FILE");
    (void)unsetenv("WICK_PLUGINS");
    char *folder = below("");
    (void)mkdir(folder, 0700);
    cr_assert_eq(pipe(ends), 0);
    server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it outlives no test */
        (void)dup2(ends[0], STDIN_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execlp("python3", "python3", "-B", WICK_SOURCE_DIR "/tests/launcher/files/server.py", folder, NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    lifeline = ends[1];
    char *ports = below("ports");
    for (int i = 0; i < 400 && number == 0; i++) {
        char *text = text_of(ports);
        if (sscanf(text, "%d %d", &number, &secure_number) != 2) number = 0;
        wk_free(text);
        if (number == 0) pause_for(0.05);
    }
    cr_assert(number, "the server did not start");
    (void)snprintf(plain, sizeof plain, "http://127.0.0.1:%d", number);
    (void)snprintf(secure, sizeof secure, "https://127.0.0.1:%d", secure_number);
    wk_free(ports);
    wk_free(folder);
}

void file_server_end(void) {
    (void)close(lifeline);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    state_end();
}

const char *http_base(void) {
    return plain;
}

const char *https_base(void) {
    return secure;
}

const char *at(const char *base, const char *rest) {
    static char places[8][1024];
    static int next;
    char *place = places[next++ % 8];
    (void)snprintf(place, sizeof places[0], "%s/%s", base, rest);
    return place;
}

void serve_text(const char *name, const char *text) {
    char *path = wk_format("%s/server/root/%s", state_dir(), name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    (void)fputs(text, file);
    (void)fclose(file);
    wk_free(path);
}

char *served(const char *name) {
    char *path = wk_format("%s/server/root/%s", state_dir(), name);
    char *text = text_of(path);
    wk_free(path);
    return text;
}

char *request_log(void) {
    char *path = below("requests");
    char *text = text_of(path);
    wk_free(path);
    return text;
}

int requests(const char *begin) {
    char *log = request_log();
    int count = 0;
    for (const char *line = log; *line; line = strchr(line, '\n') + 1)
        count += strncmp(line, begin, strlen(begin)) == 0;
    wk_free(log);
    return count;
}
