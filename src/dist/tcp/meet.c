/* meet.c: see meet.h. */
#include "dist/tcp/meet.h"

#include "dist/tcp/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CALLERS = 64 };
static const double PATIENCE = 5, /* seconds for a caller to say who it is */
    PORT_PATIENCE = 15,           /* for an earlier attempt to give the port back */
    LEAST_FOR_NEIGHBOURS = 20;    /* to connect with the others once rank 0 has told where they are */

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

/* ---- those who come ---- */

typedef struct caller {
    int fd; /* -1: nobody */
    size_t used;
    double since;
    unsigned char bytes[WK__HELLO_BYTES];
} caller;

typedef struct door {
    wk__meeting *m;
    const wk__hello *mine;
    int listener, first; /* ranks from `first` on come */
    caller callers[MOST_CALLERS];
} door;

static void send_away(caller *c, wk__answer_kind kind, const char *format, ...) WK_PRINTF(3, 4);
static void send_away(caller *c, wk__answer_kind kind, const char *format, ...) {
    wk__answer answer = { .kind = kind };
    unsigned char bytes[WK__ANSWER_BYTES];
    char from[128];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(answer.words, sizeof answer.words, format, list);
    va_end(list);
    wk__tcp_peer_text(c->fd, from, sizeof from);
    wk_log_write(WK_LOG_WARNING, "process group: sent away who came from %s: %s", from, answer.words);
    wk__answer_write(bytes, &answer);
    (void)wk__tcp_write(c->fd, bytes, sizeof bytes, wk_now());
    (void)close(c->fd);
    c->fd = -1;
}

static void close_stranger(caller *c, const char *why) {
    char from[128];
    wk__tcp_peer_text(c->fd, from, sizeof from);
    wk_log_write(WK_LOG_WARNING, "process group: closed a connection from %s: %s", from, why);
    (void)close(c->fd);
    c->fd = -1;
}

/* It has said all of its hello. */
static void admit(const door *d, caller *c) {
    const wk__meeting *m = d->m;
    wk__hello h;
    if (!wk__hello_read(c->bytes, &h)) {
        close_stranger(c, "it is no rank");
    } else if (h.version != WK__WIRE_VERSION) {
        send_away(c, WK__GO_AWAY,
                  "rank %d speaks version %d of the protocol, this one version %u: use one build of Wick", m->rank,
                  WK__WIRE_VERSION, h.version);
    } else if (h.run != d->mine->run) {
        send_away(c, WK__COME_AGAIN,
                  "rank %d on %s belongs to another run, or to another attempt of it, than rank %d on %s", h.rank,
                  h.name, m->rank, d->mine->name);
    } else if (h.ranks != m->ranks) {
        send_away(c, WK__GO_AWAY, "WORLD_SIZE is %d for rank %d on %s, but %d for rank %d on %s", h.ranks, h.rank,
                  h.name, m->ranks, m->rank, d->mine->name);
    } else if (h.rank < d->first || m->fds[h.rank] >= 0) {
        send_away(c, WK__GO_AWAY, "there is a rank %d already: on %s; RANK must be another number for each", h.rank,
                  h.rank < d->first ? d->mine->name : m->seats[h.rank].name);
    } else {
        wk__seat *seat = &m->seats[h.rank];
        wk__tcp_prepare(c->fd);
        wk__tcp_peer(c->fd, seat);
        seat->port = h.port;
        seat->host = h.host;
        memcpy(seat->name, h.name, sizeof seat->name);
        m->fds[h.rank] = c->fd;
        c->fd = -1;
    }
}

static void listen_to(const door *d, caller *c) {
    ssize_t got = recv(c->fd, c->bytes + c->used, sizeof c->bytes - c->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { /* somebody tried whether the port is open */
        (void)close(c->fd);
        c->fd = -1;
        return;
    }
    c->used += (size_t)got;
    if (!wk__hello_begins(c->bytes, c->used))
        close_stranger(c, "it does not speak the protocol of ranks");
    else if (c->used == sizeof c->bytes)
        admit(d, c);
}

/* With all seats taken, whoever has been silent for longest goes. */
static void welcome(door *d) {
    caller *seat = &d->callers[0];
    int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    for (int i = 0; i < MOST_CALLERS && seat->fd >= 0; i++)
        if (d->callers[i].fd < 0 || d->callers[i].since < seat->since) seat = &d->callers[i];
    if (seat->fd >= 0) close_stranger(seat, "too many callers have not said who they are");
    *seat = (caller){ .fd = fd, .since = wk_now() };
}

/* A rank whose connection falls before all are there may come again, to rank 0; to the others it would not. */
static wk_status forget(const door *d, int rank) {
    if (d->m->rank != 0)
        return wk_fail(WK_RANK_FAILED, "rank %d on %s has left while the ranks met", rank, d->m->seats[rank].name);
    wk_log_write(WK_LOG_WARNING, "process group: rank %d on %s has left while the ranks met", rank,
                 d->m->seats[rank].name);
    (void)close(d->m->fds[rank]);
    d->m->fds[rank] = -1;
    return WK_OK;
}

static wk_status serve(door *d, struct pollfd *fds, double end) {
    wk__meeting *m = d->m;
    struct pollfd *callers = fds + 1, *members = callers + MOST_CALLERS;
    const double left = end - wk_now();
    fds[0] = (struct pollfd){ .fd = d->listener, .events = POLLIN };
    for (int i = 0; i < MOST_CALLERS; i++) callers[i] = (struct pollfd){ .fd = d->callers[i].fd, .events = POLLIN };
    for (int r = 0; r < m->ranks; r++) members[r] = (struct pollfd){ .fd = m->fds[r], .events = POLLRDHUP };
    if (poll(fds, (nfds_t)(1 + MOST_CALLERS + m->ranks), left > 0.2 ? 200 : (int)(left * 1e3) + 1) < 0) return WK_OK;
    for (int r = 0; r < m->ranks; r++)
        if (members[r].revents) WK_TRY(forget(d, r));
    for (int i = 0; i < MOST_CALLERS; i++) {
        caller *c = &d->callers[i];
        if (c->fd >= 0 && callers[i].revents) listen_to(d, c);
        if (c->fd >= 0 && wk_now() - c->since > PATIENCE) close_stranger(c, "it does not say who it is");
    }
    if (fds[0].revents) welcome(d);
    return WK_OK;
}

static int missing(const wk__meeting *m, int first, wk_text *names) {
    enum { NAMED = 16 };
    int count = 0;
    for (int r = first; r < m->ranks; r++)
        if (m->fds[r] < 0 && ++count <= NAMED && names) wk_text_printf(names, "%s%d", count > 1 ? ", " : "", r);
    if (count > NAMED && names) wk_text_printf(names, " and %d more", count - NAMED);
    return count;
}

/* Until ranks first, first + 1, … have come. */
static wk_status gather(wk__meeting *m, const wk__hello *mine, int listener, int first, double seconds, double end) {
    door *d = wk_alloc(sizeof *d);
    struct pollfd *fds = wk_alloc((size_t)(1 + MOST_CALLERS + m->ranks) * sizeof *fds);
    wk_status status = d && fds ? WK_OK : WK_NO_MEMORY;
    if (status == WK_OK) {
        d->m = m, d->mine = mine, d->listener = listener, d->first = first;
        for (int i = 0; i < MOST_CALLERS; i++) d->callers[i].fd = -1;
        while (status == WK_OK && missing(m, first, NULL) && wk_now() < end) status = serve(d, fds, end);
        for (int i = 0; i < MOST_CALLERS; i++)
            if (d->callers[i].fd >= 0) (void)close(d->callers[i].fd);
    }
    wk_text names = { 0 };
    int count = status == WK_OK ? missing(m, first, &names) : 0;
    if (count)
        status = wk_fail(WK_TIMEOUT,
                         "process group: %d of %d ranks did not come to rank %d on %s within %.0f s "
                         "(WICK_MEET_TIMEOUT): rank %s",
                         count, m->ranks, m->rank, mine->name, seconds, wk_text_get(&names));
    wk_text_free(&names);
    wk_free(fds);
    wk_free(d);
    return status;
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
        if (m->fds[r] < 0 || wk__tcp_write(m->fds[r], bytes, size, wk_now() + PATIENCE) || came != WK_OK) continue;
        came = wk_fail(WK_RANK_FAILED, "rank %d on %s has left while the ranks met", r, m->seats[r].name);
    }
    wk_free(bytes);
    return came;
}

static wk_status be_first(wk__meeting *m, const wk__hello *mine, const place *at) {
    int listener;
    wk__wishes_read(&m->wishes);
    WK_TRY(listen_first(at, &listener));
    wk_status status = gather(m, mine, listener, 1, at->seconds, at->end);
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
    if (status == WK_OK) status = gather(m, mine, listener, m->rank + 1, at->seconds, end);
    (void)close(listener);
    return status;
}

/* ---- both ---- */

wk_status wk__meet(wk__meeting *m) {
    place at;
    *m = (wk__meeting){ 0 };
    WK_TRY(read_environment(m, &at));
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
