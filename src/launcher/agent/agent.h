/* agent.h: `wick agent`, one process a node that starts the ranks there: what torchrun is.
 *
 *   guard (wick agent) ── agent ── ranks of this node                node 0
 *                           └ thread: the rendezvous  <── TCP ──  agent of node 1, of node 2, …
 *
 * The rendezvous decides and the agents do: it counts who is there, numbers them, says when a round begins and when it
 * must end, so nothing has to be agreed on by comparing and swapping.  An agent says `join`, `ready PORT`, `done`,
 * `failed` or `leave`; it hears `round …`, `stop` and `end`.  Lines of text, a connection an agent; each side speaks at
 * least once a second, so a silent cable is noticed like a closed one.
 */
#ifndef WICK_SRC_LAUNCHER_AGENT_H
#define WICK_SRC_LAUNCHER_AGENT_H

#include "launcher/launcher.h"

#include <netinet/in.h>
#include <pthread.h>

enum { WK__WIRE_ROOM = 4096, WK__MOST_NODES = 4096, WK__MOST_PROCS = 100000 };

typedef struct wk__agent_options {
    int min_nodes, max_nodes, node_rank /* -1: whoever comes first */, procs, max_restarts;
    bool fixed; /* backend static: node_rank numbers the nodes */
    char host[256];
    int port; /* of the rendezvous; 0: any, for one node */
    const char *id, *role, *log_dir, *local_address;
    int is_host;             /* -1: whoever has the address */
    unsigned tee, redirects; /* 1 stdout, 2 stderr */
    double join_timeout, last_call, rejoin_timeout, silence, grace;
    const char **argv; /* of a rank, NULL-terminated */
    char *owned;       /* argv's memory */
} wk__agent_options;

/* -1: go on, else the exit code.  Free argv's memory with wk_free(options->owned). */
int wk__agent_options_read(int argc, char **argv, wk__agent_options *options);

/* ---- wire.c: lines over a connection ---- */
typedef struct wk__wire {
    int fd; /* -1: none */
    bool closed;
    size_t used;
    double heard_at, spoke_at;
    char in[WK__WIRE_ROOM];
} wk__wire;
void wk__wire_take(wk__wire *wire, int fd);
/* A connection to one of the host's addresses, or -1 with errno. */
int wk__wire_connect(const char *host, int port);
/* A listener; port 0 becomes the one it got.  -1 with errno. */
int wk__wire_listen(int *port);
void wk__wire_say(wk__wire *wire, const char *format, ...) WK_PRINTF(2, 3);
/* Take in what is there, without waiting. */
void wk__wire_hear(wk__wire *wire);
/* The next whole line into `line` (WK__WIRE_ROOM bytes); false if there is none. */
bool wk__wire_line(wk__wire *wire, char *line);
/* Speak if a second has passed; closed if the other end was silent too long. */
void wk__wire_beat(wk__wire *wire, double silence);
void wk__wire_close(wk__wire *wire);
/* Does the name stand for this machine? */
bool wk__is_this_host(const char *host);

/* ---- rendezvous.c ---- */
typedef struct wk__rendezvous wk__rendezvous;
/* Serve at this listener, in a thread; takes the descriptor over. */
wk__rendezvous *wk__rendezvous_start(const wk__agent_options *options, int listener);
/* Wait until it has told everybody the end. */
void wk__rendezvous_finish(wk__rendezvous *rendezvous);

/* ---- workers.c: the ranks of this node ---- */
typedef struct wk__round { /* what the rendezvous said */
    int number, group_rank, group_size, first_rank, world, role_first, role_world, restarts;
    char master[256];
    int port;
} wk__round;

typedef struct wk__worker {
    pid_t pid;
    bool ended;
    int how;
    char *folder;  /* error.json, and the logs */
    off_t told[2]; /* bytes of each log that the console has */
} wk__worker;

typedef struct wk__workers {
    const wk__agent_options *options;
    wk__round round;
    char *folder;
    bool own_folder;
    wk__worker *items;
    size_t count, alive;
    int culprit; /* the first that failed, -1: none */
    bool stopping;
    double kill_at;
} wk__workers;
wk_status wk__workers_open(wk__workers *workers, const wk__agent_options *options);
wk_status wk__workers_start(wk__workers *workers, const wk__round *round);
/* Take note of what ended; true while any lives. */
bool wk__workers_reap(wk__workers *workers);
/* A culprit is known: wait a moment for one that was killed, of which it may only complain. */
void wk__workers_settle(wk__workers *workers);
/* Tell them to end, once; what is left after the grace is killed by wk__workers_press. */
void wk__workers_stop(wk__workers *workers, int signal_number);
void wk__workers_press(wk__workers *workers);
void wk__workers_signal(const wk__workers *workers, int signal_number);
/* "rank 3 (local rank 1) was killed by SIGKILL on host b": of the culprit; free with wk_free. */
char *wk__workers_sentence(const wk__workers *workers);
/* The culprit's exit code, 128 + signal. */
int wk__workers_code(const wk__workers *workers);
/* The error file of the first that failed becomes the agent's own, with its exit code. */
void wk__workers_pass_on_error(const wk__workers *workers, const char *sentence);
/* tee.c: print the new lines of the logs, "[role0]:" before each; at the end also those without a newline. */
void wk__workers_tee(wk__workers *workers, bool last);
void wk__workers_close(wk__workers *workers);

#endif
