/* rendezvous.c: who takes part, and what they do next.
 *
 * Phases: GATHERING until there are enough nodes (all of max, or min and nobody new for last_call seconds); RUNNING a
 * round; STOPPING it until every agent says that its ranks have ended; then GATHERING again, or OVER.  A round ends
 * early when a rank failed (that counts against max_restarts), when a node is gone or a new one came (that does not).
 * Everything is decided here, in one thread, by one agent's side: the others only hear.
 */
#include "launcher/agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum phase { GATHERING, RUNNING, STOPPING, OVER } phase;

typedef struct member {
    wk__wire wire;
    bool joined, ready, in_round, done;
    int procs, node_rank, port;
    int place; /* among the others: its node rank where those are given, else when it came */
    char host[256], role[64];
} member;

struct wk__rendezvous {
    wk__agent_options options;
    int listener;
    pthread_t thread;
    member **members;
    size_t count, room;
    int arrivals;
    phase phase;
    int round, restarts;
    double patience, gather_end, last_call_end, over_at;
    bool swift; /* the same nodes as before: nobody to wait for */
};

/* ---- ends and beginnings of rounds ---- */

static void finish(wk__rendezvous *r, int code, const char *message) {
    for (size_t i = 0; i < r->count; i++) wk__wire_say(&r->members[i]->wire, "end %d %s", code, message);
    r->phase = OVER;
    r->over_at = wk_now();
}

static void gather(wk__rendezvous *r) {
    r->phase = GATHERING;
    r->patience = r->round ? r->options.rejoin_timeout : r->options.join_timeout;
    r->gather_end = wk_now() + r->patience;
    r->last_call_end = 0;
}

static void stop_round(wk__rendezvous *r, bool swift) {
    r->phase = STOPPING;
    r->swift = swift;
    for (size_t i = 0; i < r->count; i++)
        if (r->members[i]->in_round) {
            r->members[i]->ready = false;
            wk__wire_say(&r->members[i]->wire, "stop %d", r->round);
        }
}

static int by_place(const void *a, const void *b) {
    const member *x = *(member *const *)a;
    const member *y = *(member *const *)b;
    if (x->ready != y->ready) return x->ready ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static void start_round(wk__rendezvous *r, size_t size) {
    int world = 0;
    int first = 0;
    qsort((void *)r->members, r->count, sizeof(member *), by_place);
    for (size_t i = 0; i < size; i++) world += r->members[i]->procs;
    r->round++;
    r->phase = RUNNING;
    for (size_t i = 0; i < size; i++) {
        member *m = r->members[i];
        int role_first = 0;
        int role_world = 0;
        for (size_t k = 0; k < size; k++)
            if (strcmp(r->members[k]->role, m->role) == 0) {
                role_world += r->members[k]->procs;
                if (k < i) role_first += r->members[k]->procs;
            }
        m->in_round = true;
        m->done = false;
        wk__wire_say(&m->wire, "round %d %zu %zu %d %d %d %d %d %d %s", r->round, i, size, first, world, role_first,
                     role_world, r->restarts, r->members[0]->port, r->members[0]->host);
        first += m->procs;
    }
    r->swift = false;
}

static void try_start(wk__rendezvous *r) {
    size_t here = 0;
    size_t most = (size_t)r->options.max_nodes;
    char words[200];
    size_t joined = 0;
    for (size_t i = 0; i < r->count; i++) {
        here += r->members[i]->ready && here < most;
        joined += r->members[i]->joined && joined < most;
    }
    if (here < (size_t)r->options.min_nodes) {
        r->last_call_end = 0;
        (void)snprintf(words, sizeof words, "only %zu of at least %d nodes came to the rendezvous within %.0f s", here,
                       r->options.min_nodes, r->patience);
        if (wk_now() > r->gather_end) finish(r, 1, words);
        return;
    }
    if (r->last_call_end == 0) r->last_call_end = wk_now() + (r->swift ? 0 : r->options.last_call);
    /* One that has joined but is not ready is a moment away. */
    if (here == most || (here == joined && wk_now() >= r->last_call_end)) start_round(r, here);
}

static void advance(wk__rendezvous *r) {
    size_t in_round = 0;
    size_t done = 0;
    size_t pending = 0;
    size_t spare = 0;
    for (size_t i = 0; i < r->count; i++) {
        const member *m = r->members[i];
        in_round += m->in_round;
        done += m->in_round && m->done;
        pending += m->in_round && !m->ready;
        spare += !m->in_round && m->ready;
    }
    if (r->phase == RUNNING && in_round > 0 && done == in_round)
        finish(r, 0, "succeeded");
    else if (r->phase == RUNNING && spare && in_round < (size_t)r->options.max_nodes)
        stop_round(r, false);
    if (r->phase == STOPPING && pending == 0) {
        for (size_t i = 0; i < r->count; i++) r->members[i]->in_round = false;
        gather(r);
    }
    if (r->phase == GATHERING) try_start(r);
}

/* ---- what agents say ---- */

/* Why this one may not take part, or NULL. */
static const char *refusal(const wk__rendezvous *r, const member *m, const char *id) {
    if (strcmp(id, r->options.id) != 0) return "this rendezvous is of another job (--rdzv-id)";
    if (!r->options.fixed) return NULL;
    if (m->node_rank < 0 || m->node_rank >= r->options.max_nodes) return "--node-rank is not below the number of nodes";
    for (size_t i = 0; i < r->count; i++)
        if (r->members[i] != m && r->members[i]->joined && r->members[i]->node_rank == m->node_rank)
            return "another agent has the same --node-rank";
    return NULL;
}

static void join(wk__rendezvous *r, member *m, const char *line) {
    char id[256];
    if (sscanf(line, "join %255s %255s %d %d %63s", id, m->host, &m->procs, &m->node_rank, m->role) != 5 || m->procs < 1
        || m->procs > WK__MOST_PROCS) { /* no agent speaks like that */
        m->wire.closed = true;
        return;
    }
    const char *why = refusal(r, m, id);
    if (why)
        wk__wire_say(&m->wire, "end 2 %s", why);
    else if (r->phase == OVER)
        wk__wire_say(&m->wire, "end 1 the job is over");
    else {
        m->place = r->options.fixed ? m->node_rank : r->arrivals++;
        m->joined = true;
    }
}

static void failed(wk__rendezvous *r, const char *line) {
    int round = 0;
    int code = 1;
    int at = 0;
    if (r->phase != RUNNING || sscanf(line, "failed %d %d %n", &round, &code, &at) < 2 || round != r->round) return;
    if (r->restarts >= r->options.max_restarts) {
        finish(r, code ? code : 1, line + at);
        return;
    }
    r->restarts++;
    stop_round(r, true);
}

static void listen_to(wk__rendezvous *r, member *m) {
    char line[WK__WIRE_ROOM];
    wk__wire_hear(&m->wire);
    while (wk__wire_line(&m->wire, line)) {
        int number = 0;
        if (strncmp(line, "join ", 5) == 0)
            join(r, m, line);
        else if (!m->joined)
            continue;
        else if (sscanf(line, "ready %d", &m->port) == 1)
            m->ready = true;
        else if (sscanf(line, "done %d", &number) == 1)
            m->done = number == r->round;
        else if (strncmp(line, "failed ", 7) == 0)
            failed(r, line);
        else if (strncmp(line, "leave", 5) == 0)
            m->wire.closed = true;
    }
}

/* Those whose end of the wire is gone; a round cannot go on without one of its nodes. */
static void bury(wk__rendezvous *r) {
    bool lost = false;
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        member *m = r->members[i];
        if (!m->wire.closed) {
            r->members[kept++] = m;
            continue;
        }
        lost = lost || m->in_round;
        wk__wire_close(&m->wire);
        wk_free(m);
    }
    r->count = kept;
    if (lost && r->phase == RUNNING) stop_round(r, false);
    if (lost) r->swift = false;
}

static void welcome(wk__rendezvous *r) {
    int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        member **members = r->count < WK__MOST_NODES ? wk_realloc((void *)r->members, room * sizeof *members) : NULL;
        if (members) {
            r->members = members;
            r->room = room;
        }
    }
    member *m = r->count < r->room ? wk_alloc(sizeof *m) : NULL;
    if (!m) { /* it will come again */
        wk_clear_error();
        (void)close(fd);
        return;
    }
    wk__wire_take(&m->wire, fd);
    r->members[r->count++] = m;
}

static bool goes_on(const wk__rendezvous *r) {
    return r->phase != OVER || (r->count > 0 && wk_now() < r->over_at + 10);
}

static void *serve(void *context) {
    wk__rendezvous *r = context;
    struct pollfd *fds = wk_alloc((WK__MOST_NODES + 1) * sizeof *fds);
    while (fds && goes_on(r)) {
        fds[0] = (struct pollfd){ .fd = r->listener, .events = POLLIN };
        size_t watched = r->count;
        for (size_t i = 0; i < watched; i++)
            fds[i + 1] = (struct pollfd){ .fd = r->members[i]->wire.fd, .events = POLLIN };
        (void)poll(fds, watched + 1, 100);
        for (size_t i = 0; i < watched; i++)
            if (fds[i + 1].revents) listen_to(r, r->members[i]);
        for (size_t i = 0; i < r->count; i++) wk__wire_beat(&r->members[i]->wire, r->options.silence);
        bury(r);
        if (fds[0].revents) welcome(r);
        if (r->phase != OVER) advance(r);
    }
    wk_free(fds);
    for (size_t i = 0; i < r->count; i++) {
        wk__wire_close(&r->members[i]->wire);
        wk_free(r->members[i]);
    }
    r->count = 0;
    (void)close(r->listener);
    return NULL;
}

wk__rendezvous *wk__rendezvous_start(const wk__agent_options *options, int listener) {
    sigset_t all;
    sigset_t former;
    wk__rendezvous *r = wk_alloc(sizeof *r);
    if (!r) {
        (void)close(listener);
        return NULL;
    }
    r->options = *options;
    r->listener = listener;
    gather(r);
    (void)sigfillset(&all); /* signals are the agent's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &former);
    int error = pthread_create(&r->thread, NULL, serve, r);
    (void)pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (error == 0) return r;
    (void)close(listener);
    wk_free(r);
    return wk_fail_null(WK_IO, "a thread for the rendezvous: %s", strerror(error));
}

void wk__rendezvous_finish(wk__rendezvous *r) {
    if (!r) return;
    (void)pthread_join(r->thread, NULL);
    wk_free((void *)r->members);
    wk_free(r);
}
