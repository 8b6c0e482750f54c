/* meet.c: see meet.h. */
#include "dist/tcp/meet.h"

#include "dist/tcp/door.h"
#include "dist/tcp/socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const double PORT_PATIENCE = 15, /* seconds for an earlier attempt to give the port back */
    LEAST_FOR_NEIGHBOURS = 20,          /* to connect with the others once rank 0 has told where they are */
    LEAST_FOR_NEWS = 5;                 /* to take in where they are */

typedef struct place {
    const char *host;
    int port;
    double seconds, end;
} place;

/* ---- who we are ---- */

static wk_status read_number(const char *name, long least, long most, int *value) {
    const char *text = getenv(name);
    char *end = NULL;
    errno = 0;
    long number = text ? strtol(text, &end, 10) : 0;
    if (!text || end == text || *end || errno || number < least || number > most)
        return wk_fail(WK_CONFIG, "process group: %s is \"%s\", expected a number from %ld to %ld", name,
                       text ? text : "", least, most);
    *value = (int)number;
    return WK_OK;
}

static wk_status read_environment(wk__meeting *m, place *at) {
    const char *wish = getenv("WICK_MEET_TIMEOUT");
    at->host = getenv("MASTER_ADDR");
    WK_TRY(read_number("WORLD_SIZE", 1, WK__MOST_RANKS, &m->ranks));
    WK_TRY(read_number("RANK", 0, m->ranks - 1, &m->rank));
    WK_TRY(read_number("MASTER_PORT", 1, 65535, &at->port));
    if (!at->host || !*at->host)
        return wk_fail(WK_CONFIG, "process group: MASTER_ADDR is empty, expected the host of rank 0");
    at->seconds = wish ? strtod(wish, NULL) : 0;
    if (at->seconds <= 0) at->seconds = 300;
    at->end = wk_now() + at->seconds;
    return WK_OK;
}

/* The same on all ranks of a run's attempt and on no other; groups of a process are numbered. */
static uint64_t run_hash(void) {
    static const char *const names[] = { "TORCHELASTIC_RUN_ID", "WICK_APP_ID", "TORCHELASTIC_RESTART_COUNT",
                                         "WICK_AGENT_ROUND" };
    static atomic_int groups;
    char number[16];
    uint64_t hash = 0;
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        hash = wk__hash(wk__hash(hash, value ? value : ""), "/");
    }
    (void)snprintf(number, sizeof number, "%d", atomic_fetch_add(&groups, 1));
    return wk__hash(hash, number);
}

/* Ranks that may have memory in common: of one kernel, host name and name space of processes. */
static uint64_t host_hash(const char *name) {
    char text[128] = "";
    uint64_t hash = wk__hash(0, name);
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && fgets(text, sizeof text, file)) hash = wk__hash(hash, text);
    if (file) (void)fclose(file);
    ssize_t size = readlink("/proc/self/ns/pid", text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    return wk__hash(hash, text);
}

static wk__hello introduce(const wk__meeting *m) {
    wk__hello h = { .version = WK__WIRE_VERSION, .ranks = m->ranks, .rank = m->rank, .run = run_hash() };
    char name[WK__NAME_BYTES] = "";
    (void)gethostname(name, sizeof name - 1);
    wk__text_take(h.name, (const unsigned char *)name, sizeof h.name);
    h.host = host_hash(h.name);
    return h;
}

/* ---- rank 0 ---- */

static wk_status listen_first(const place *at, int *listener) {
    const double end = wk_now() + PORT_PATIENCE < at->end ? wk_now() + PORT_PATIENCE : at->end;
    for (;;) {
        int port = at->port;
        *listener = wk__tcp_listen(&port);
        if (*listener >= 0) return WK_OK;
        if (errno != EADDRINUSE || wk_now() >= end)
            return wk_fail(WK_IO, "process group: rank 0 cannot listen at port %d (MASTER_PORT): %s", at->port,
                           strerror(errno));
        (void)nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
    }
}

/* To all who have come: the seats of everybody, or why there is no meeting. */
static wk_status tell(const wk__meeting *m, wk_status came) {
    const bool good = came == WK_OK;
    const size_t size = WK__ANSWER_BYTES + (good ? (size_t)m->ranks * WK__SEAT_BYTES : 0);
    unsigned char *bytes = wk_alloc(size);
    if (!bytes) return came == WK_OK ? WK_NO_MEMORY : came;
    wk__answer answer = { .kind = good ? WK__SEATS : WK__GO_AWAY, .ranks = m->ranks, .wishes = m->wishes };
    if (!good) (void)snprintf(answer.words, sizeof answer.words, "%s", wk_message());
    wk__answer_write(bytes, &answer);
    for (int r = 0; good && r < m->ranks; r++)
        wk__seat_write(bytes + WK__ANSWER_BYTES + (size_t)r * WK__SEAT_BYTES, &m->seats[r]);
    for (int r = 1; r < m->ranks; r++) {
        if (m->fds[r] < 0 || wk__tcp_write(m->fds[r], bytes, size, wk_now() + LEAST_FOR_NEWS) || came != WK_OK)
            continue;
        came = wk_fail(WK_RANK_FAILED, "rank %d on %s has left while the ranks met", r, m->seats[r].name);
    }
    wk_free(bytes);
    return came;
}

static wk_status be_first(wk__meeting *m, const wk__hello *mine, const place *at) {
    int listener = -1;
    wk__wishes_read(&m->wishes);
    WK_TRY(listen_first(at, &listener));
    wk_status status = wk__door_gather(m, mine, listener, 1, at->seconds, at->end);
    (void)close(listener);
    return tell(m, status);
}

/* ---- the others ---- */

/* Ask once.  WK_TIMEOUT: not yet, for the reason in `why`. */
static wk_status ask(wk__meeting *m, const wk__hello *mine, const place *at, char *why /* (WK__WORDS_BYTES) */) {
    unsigned char bytes[WK__ANSWER_BYTES], hello[WK__HELLO_BYTES];
    wk__answer answer = { 0 };
    int fd = wk__tcp_connect_name(at->host, at->port, at->end);
    const bool met = fd >= 0;
    if (met) {
        wk__tcp_prepare(fd);
        wk__hello_write(hello, mine);
    }
    bool answers =
        met && wk__tcp_write(fd, hello, sizeof hello, at->end) && wk__tcp_read(fd, bytes, sizeof bytes, at->end);
    if (!answers)
        (void)snprintf(why, WK__WORDS_BYTES, "%s%s", met ? "it does not answer: " : "",
                       errno ? strerror(errno) : "it closed the connection");
    else if (!wk__answer_read(bytes, &answer))
        answers = false, (void)snprintf(why, WK__WORDS_BYTES, "what listens there is no rank");
    if (answers && answer.kind == WK__SEATS && answer.ranks == m->ranks) {
        m->fds[0] = fd;
        m->wishes = answer.wishes;
        return WK_OK;
    }
    if (met) (void)close(fd);
    if (answers && answer.kind == WK__GO_AWAY)
        return wk_fail(WK_RANK_FAILED, "process group: rank 0 at %s:%d sends rank %d away: %s", at->host, at->port,
                       m->rank, answer.words);
    if (answers) (void)snprintf(why, WK__WORDS_BYTES, "%s", answer.words);
    return WK_TIMEOUT;
}

static wk_status reach_first(wk__meeting *m, const wk__hello *mine, const place *at) {
    char why[WK__WORDS_BYTES] = "";
    for (long pause = 5; wk_now() < at->end; pause = pause < 200 ? pause * 2 : pause) {
        wk_status status = ask(m, mine, at, why);
        if (status != WK_TIMEOUT) return status;
        (void)nanosleep(&(struct timespec){ .tv_nsec = pause * 1000000 }, NULL);
    }
    return wk_fail(WK_TIMEOUT,
                   "process group: rank %d did not reach rank 0 at %s:%d within %.0f s (WICK_MEET_TIMEOUT): %s",
                   m->rank, at->host, at->port, at->seconds, why);
}

static wk_status read_seats(wk__meeting *m, double end) {
    unsigned char bytes[WK__SEAT_BYTES];
    for (int r = 0; r < m->ranks; r++)
        if (!wk__tcp_read(m->fds[0], bytes, sizeof bytes, end) || !wk__seat_read(bytes, &m->seats[r]))
            return wk_fail(WK_RANK_FAILED, "process group: rank 0 did not tell rank %d where the others are", m->rank);
    return WK_OK;
}

static wk_status connect_below(wk__meeting *m, const wk__hello *mine, double end) {
    unsigned char hello[WK__HELLO_BYTES];
    wk__hello_write(hello, mine);
    for (int r = 1; r < m->rank; r++) {
        m->fds[r] = wk__tcp_connect_seat(&m->seats[r], m->fds[0], end);
        if (m->fds[r] >= 0) wk__tcp_prepare(m->fds[r]);
        if (m->fds[r] < 0 || !wk__tcp_write(m->fds[r], hello, sizeof hello, end))
            return wk_fail(WK_RANK_FAILED,
                           "process group: rank %d cannot reach rank %d on %s at port %d: %s; ranks connect with each "
                           "other at any free port",
                           m->rank, r, m->seats[r].name, m->seats[r].port, strerror(errno));
    }
    return WK_OK;
}

static wk_status come(wk__meeting *m, wk__hello *mine, const place *at) {
    int listener = wk__tcp_listen(&mine->port);
    if (listener < 0) return wk_fail(WK_IO, "process group: rank %d cannot listen: %s", m->rank, strerror(errno));
    wk_status status = reach_first(m, mine, at);
    const double least = wk_now() + LEAST_FOR_NEIGHBOURS, end = at->end > least ? at->end : least;
    if (status == WK_OK) status = read_seats(m, end);
    if (status == WK_OK) status = connect_below(m, mine, end);
    if (status == WK_OK) status = wk__door_gather(m, mine, listener, m->rank + 1, at->seconds, end);
    (void)close(listener);
    return status;
}

/* ---- both ---- */

/* A connection to each other rank, and what a program has open besides. */
static wk_status allow_connections(const wk__meeting *m) {
    enum { BESIDES = 256 };
    struct rlimit limit;
    const rlim_t needed = (rlim_t)m->ranks + BESIDES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return WK_OK;
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > (rlim_t)m->ranks + BESIDES / 4) return WK_OK;
    return wk_fail(WK_CONFIG,
                   "process group: each of %d ranks has a connection to every other, but may open %llu files (%llu at "
                   "most): raise the limit (ulimit -Hn), or use MPI",
                   m->ranks, (unsigned long long)before, (unsigned long long)limit.rlim_max);
}

wk_status wk__meet(wk__meeting *m) {
    place at = { 0 };
    *m = (wk__meeting){ 0 };
    WK_TRY(read_environment(m, &at));
    WK_TRY(allow_connections(m));
    m->fds = wk_alloc((size_t)m->ranks * sizeof *m->fds);
    m->seats = wk_alloc((size_t)m->ranks * sizeof *m->seats);
    if (!m->fds || !m->seats) return WK_NO_MEMORY;
    for (int r = 0; r < m->ranks; r++) m->fds[r] = -1;
    wk__hello mine = introduce(m);
    wk__seat *own = &m->seats[m->rank];
    own->host = mine.host;
    memcpy(own->name, mine.name, sizeof own->name);
    return m->rank == 0 ? be_first(m, &mine, &at) : come(m, &mine, &at);
}

void wk__meeting_leave(wk__meeting *m) {
    for (int r = 0; m->fds && r < m->ranks; r++)
        if (m->fds[r] >= 0) (void)close(m->fds[r]);
    wk_free(m->fds);
    wk_free(m->seats);
}
