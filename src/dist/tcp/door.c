/* door.c: see door.h.  A caller is a stranger until it has said all of its hello; while ranks meet nobody waits for a
 * stranger, however it behaves. */
#include "dist/tcp/door.h"

#include "dist/tcp/socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CALLERS = 64, MOST_WORDS = 50 /* lines of log about strangers */ };
static const double PATIENCE = 5; /* seconds for a caller to say who it is */

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
    int words;
} door;

/* A straggler may come five times a second for minutes. */
static void tell_of(door *d, const caller *c, const char *what, const char *why) {
    char from[128];
    if (d->words++ >= MOST_WORDS) return;
    wk__tcp_peer_text(c->fd, from, sizeof from);
    wk_log_write(WK_LOG_WARNING, "process group: %s %s: %s%s", what, from, why,
                 d->words == MOST_WORDS ? " (and no more of this)" : "");
}

static void send_away(door *d, caller *c, wk__answer_kind kind, const char *format, ...) WK_PRINTF(4, 5);
static void send_away(door *d, caller *c, wk__answer_kind kind, const char *format, ...) {
    wk__answer answer = { .kind = kind };
    unsigned char bytes[WK__ANSWER_BYTES];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(answer.words, sizeof answer.words, format, list);
    va_end(list);
    tell_of(d, c, "sent away who came from", answer.words);
    wk__answer_write(bytes, &answer);
    (void)wk__tcp_write(c->fd, bytes, sizeof bytes, wk_now());
    (void)close(c->fd);
    c->fd = -1;
}

static void close_stranger(door *d, caller *c, const char *why) {
    tell_of(d, c, "closed a connection from", why);
    (void)close(c->fd);
    c->fd = -1;
}

/* It has said all of its hello. */
static void admit(door *d, caller *c) {
    const wk__meeting *m = d->m;
    wk__hello h;
    if (!wk__hello_read(c->bytes, &h)) {
        close_stranger(d, c, "it is no rank");
    } else if (h.version != WK__WIRE_VERSION) {
        send_away(d, c, WK__GO_AWAY,
                  "rank %d speaks version %d of the protocol, this one version %u: use one build of Wick", m->rank,
                  WK__WIRE_VERSION, h.version);
    } else if (h.run != d->mine->run) {
        send_away(d, c, WK__COME_AGAIN,
                  "rank %d on %s belongs to another run, or to another attempt of it, than rank %d on %s", h.rank,
                  h.name, m->rank, d->mine->name);
    } else if (h.ranks != m->ranks) {
        send_away(d, c, WK__GO_AWAY, "WORLD_SIZE is %d for rank %d on %s, but %d for rank %d on %s", h.ranks, h.rank,
                  h.name, m->ranks, m->rank, d->mine->name);
    } else if (h.rank < d->first || m->fds[h.rank] >= 0) {
        send_away(d, c, WK__GO_AWAY, "there is a rank %d already: on %s; RANK must be another number for each", h.rank,
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
        wk_log_write(WK_LOG_DEBUG, "process group: rank %d on %s has come", h.rank, seat->name);
    }
}

static void listen_to(door *d, caller *c) {
    ssize_t got = recv(c->fd, c->bytes + c->used, sizeof c->bytes - c->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { /* somebody tried whether the port is open */
        (void)close(c->fd);
        c->fd = -1;
        return;
    }
    c->used += (size_t)got;
    if (!wk__hello_begins(c->bytes, c->used))
        close_stranger(d, c, "it does not speak the protocol of ranks");
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
    if (seat->fd >= 0) close_stranger(d, seat, "too many callers have not said who they are");
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
        if (c->fd >= 0 && wk_now() - c->since > PATIENCE) close_stranger(d, c, "it does not say who it is");
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

wk_status wk__door_gather(wk__meeting *m, const wk__hello *mine, int listener, int first, double seconds, double end) {
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
