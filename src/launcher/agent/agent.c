/* agent.c: `wick agent`: a guard, and the agent that it guards.
 *
 * Whichever of the two is killed, the other ends all ranks and what they started: both are subreapers, so nothing gets
 * out of their sight.  The agent itself only does what the rendezvous says, and tells what became of it.
 */
#include "launcher/agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum phase { WAITING, RUNNING, DONE, STOPPING, ENDING } phase;

typedef struct agent {
    wk__agent_options options;
    wk__wire wire;
    wk__rendezvous *rendezvous; /* NULL: another agent keeps it */
    wk__workers workers;
    wk__round next;
    int signals, signal_number, code;
    phase phase;
    bool has_next, said; /* said: why the round failed, on this node */
} agent;

static void say(const char *format, ...) WK_PRINTF(1, 2);
static void say(const char *format, ...) {
    char line[2048];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(line, sizeof line, format, list);
    va_end(list);
    (void)fprintf(stderr, "wick agent: %s\n", line);
}

static int watch_signals(void) {
    static const int watched[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < WK_COUNT(watched); i++) (void)sigaddset(&set, watched[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- meeting ---- */

/* A port of this machine that is free now, for rank 0 should it be here. */
static int free_port(void) {
    int port = 0;
    int fd = wk__wire_listen(&port);
    if (fd >= 0) (void)close(fd);
    return port;
}

/* Of several agents that could keep the rendezvous, the one that gets the port does.  Two that call listen at the same
 * moment may both be told that it is taken, so this is tried again as long as nobody answers there. */
static wk_status keep_rendezvous(agent *a) {
    wk__agent_options *o = &a->options;
    if (a->rendezvous) return WK_OK;
    bool ours = o->is_host >= 0 ? o->is_host : o->fixed ? o->node_rank == 0 : wk__is_this_host(o->host);
    int port = o->port;
    if (!ours) return WK_OK;
    int listener = wk__wire_listen(&port);
    if (listener < 0 && errno == EADDRINUSE && !o->fixed && o->is_host != 1) return WK_OK;
    if (listener < 0)
        return wk_fail(WK_IO, "agent: cannot listen at port %d for the rendezvous: %s", port, strerror(errno));
    o->port = port;
    a->rendezvous = wk__rendezvous_start(o, listener);
    return a->rendezvous ? WK_OK : wk_error_code();
}

static void read_signals(agent *a) {
    struct signalfd_siginfo info;
    while (read(a->signals, &info, sizeof info) == sizeof info) {
        int number = (int)info.ssi_signo;
        if (number == SIGUSR1 || number == SIGUSR2)
            wk__workers_signal(&a->workers, number);
        else if (number != SIGCHLD)
            a->signal_number = number;
    }
}

/* Until it answers, up to join_timeout: node 0 may be later than all others. */
static wk_status reach_rendezvous(agent *a) {
    const wk__agent_options *o = &a->options;
    double end = wk_now() + o->join_timeout;
    for (double pause = 0.02; !a->signal_number; pause = pause < 0.5 ? 1.5 * pause : pause) {
        WK_TRY(keep_rendezvous(a));
        int fd = wk__wire_connect(a->rendezvous ? "localhost" : o->host, o->port);
        if (fd >= 0) {
            wk__wire_take(&a->wire, fd);
            return WK_OK;
        }
        if (wk_now() >= end)
            return wk_fail(WK_TIMEOUT, "agent: the rendezvous at %s:%d did not answer within %.0f s: %s", o->host,
                           o->port, o->join_timeout, strerror(errno));
        wk__sleep(pause * (1 + (double)(getpid() % 16) / 16)); /* not all at the same moments */
        read_signals(a);
    }
    return wk_fail(WK_CANCELLED, "agent: ended by %s before the rendezvous answered",
                   wk__signal_name(a->signal_number));
}

static void join(agent *a) {
    char name[256] = "";
    const wk__agent_options *o = &a->options;
    (void)gethostname(name, sizeof name - 1);
    if (o->max_nodes == 1 || strcmp(o->host, "localhost") == 0 || strncmp(o->host, "127.", 4) == 0)
        (void)snprintf(name, sizeof name, "%s", o->max_nodes == 1 ? "localhost" : o->host); /* all agents are here */
    wk__wire_say(&a->wire, "join %s %s %d %d %s", o->id, o->local_address ? o->local_address : name, o->procs,
                 o->node_rank, o->role);
    wk__wire_say(&a->wire, "ready %d", free_port());
    a->phase = WAITING;
}

/* ---- what the rendezvous says ---- */

static void end_by(agent *a, int code) {
    a->code = code;
    a->phase = ENDING;
    wk__workers_stop(&a->workers, a->signal_number ? a->signal_number : SIGTERM);
}

static void hear_end(agent *a, const char *line) {
    int code = 1;
    int at = 0;
    (void)sscanf(line, "end %d %n", &code, &at);
    if (code && !a->said) say("%s", at ? line + at : "failed");
    end_by(a, code);
}

/* One that waits has said that it is ready already; but a round may be called off before its ranks were started. */
static void hear_stop(agent *a, int round) {
    if (a->phase == RUNNING || a->phase == DONE) {
        a->phase = STOPPING;
        wk__workers_stop(&a->workers, SIGTERM);
    } else if (a->phase == WAITING && a->has_next && a->next.number == round) {
        a->has_next = false;
        wk__wire_say(&a->wire, "ready %d", free_port());
    }
}

static void hear(agent *a) {
    char line[WK__WIRE_ROOM];
    wk__wire_hear(&a->wire);
    while (wk__wire_line(&a->wire, line)) {
        wk__round r = { 0 };
        int number = 0;
        if (sscanf(line, "round %d %d %d %d %d %d %d %d %d %255s", &r.number, &r.group_rank, &r.group_size,
                   &r.first_rank, &r.world, &r.role_first, &r.role_world, &r.restarts, &r.port, r.master)
            == 10) {
            a->next = r;
            a->has_next = true;
        } else if (sscanf(line, "stop %d", &number) == 1) {
            hear_stop(a, number);
        } else if (strncmp(line, "end ", 4) == 0 && a->phase != ENDING)
            hear_end(a, line);
    }
    if (a->wire.closed && a->wire.fd >= 0) {
        wk__wire_close(&a->wire);
        if (a->phase == ENDING) return;
        say("the rendezvous at %s:%d is gone", a->options.host, a->options.port);
        end_by(a, 1);
    }
}

/* ---- what becomes of the ranks ---- */

static void start_round(agent *a) {
    a->has_next = a->said = false;
    a->phase = RUNNING;
    if (wk__workers_start(&a->workers, &a->next) == WK_OK) return;
    char *words = wk_strdup(wk_message()); /* as good as a rank that failed at once */
    wk_clear_error();
    say("%s", words ? words : "out of memory");
    a->said = true;
    wk__wire_say(&a->wire, "failed %d 127 %s", a->next.number, words ? words : "out of memory");
    a->phase = STOPPING;
    wk__workers_stop(&a->workers, SIGTERM);
    wk_free(words);
}

static void tell_failure(agent *a) {
    wk__workers_settle(&a->workers);
    char *sentence = wk__workers_sentence(&a->workers);
    say("%s", sentence ? sentence : "a rank failed");
    a->said = true;
    wk__wire_say(&a->wire, "failed %d %d %s", a->workers.round.number, wk__workers_code(&a->workers),
                 sentence ? sentence : "a rank failed");
    if (sentence) wk__workers_pass_on_error(&a->workers, sentence);
    wk_free(sentence);
    a->phase = STOPPING;
    wk__workers_stop(&a->workers, SIGTERM);
}

/* One step; false at the end of everything. */
static bool step(agent *a) {
    bool alive = wk__workers_reap(&a->workers);
    if (a->signal_number && a->phase != ENDING) {
        wk__wire_say(&a->wire, "leave");
        end_by(a, 128 + a->signal_number);
    }
    if (a->phase == WAITING && a->has_next) {
        start_round(a);
        return true;
    }
    if (a->phase == RUNNING && a->workers.culprit >= 0)
        tell_failure(a);
    else if (a->phase == RUNNING && !alive) {
        wk__wire_say(&a->wire, "done %d", a->workers.round.number);
        a->phase = DONE;
    }
    wk__workers_press(&a->workers);
    bool left = alive || (a->workers.stopping && wk__signal_descendants(0) > 0);
    wk__workers_tee(&a->workers, !left && a->phase != RUNNING);
    if (left) return true;
    if (a->phase == STOPPING) {
        wk__wire_say(&a->wire, "ready %d", free_port());
        a->phase = WAITING;
    }
    return a->phase != ENDING;
}

static void live(agent *a) {
    join(a);
    while (step(a)) {
        struct pollfd fds[2] = { { .fd = a->signals, .events = POLLIN }, { .fd = a->wire.fd, .events = POLLIN } };
        (void)poll(fds, 2, a->phase == STOPPING || a->phase == ENDING ? 20 : a->options.tee ? 50 : 200);
        read_signals(a);
        hear(a);
        wk__wire_beat(&a->wire, a->options.silence);
    }
}

static int be_agent(wk__agent_options *options, pid_t guard) {
    agent a = { .options = *options, .code = 1, .wire = { .fd = -1 } };
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != guard) return 1;
    a.signals = watch_signals();
    if (a.signals >= 0 && wk__workers_open(&a.workers, &a.options) == WK_OK && reach_rendezvous(&a) == WK_OK) live(&a);
    int code = wk_failed() ? wk_report(stderr), 1 : a.code;
    wk__wire_close(&a.wire);
    if (a.rendezvous && a.phase != ENDING) _exit(code); /* nobody came to it: there is no end to wait for */
    if (a.rendezvous && a.signal_number) { /* who leaves takes the rendezvous along: the others hear the wire fall */
        wk__workers_close(&a.workers);
        _exit(code);
    }
    wk__rendezvous_finish(a.rendezvous);
    wk__workers_close(&a.workers);
    if (a.signals >= 0) (void)close(a.signals);
    return code;
}

/* ---- the guard ---- */

static int be_guard(pid_t child, int signals) {
    struct signalfd_siginfo info;
    int how = 0;
    while (waitpid(child, &how, WNOHANG) == 0) {
        struct pollfd wait = { .fd = signals, .events = POLLIN };
        (void)poll(&wait, 1, -1);
        while (read(signals, &info, sizeof info) == sizeof info)
            if (info.ssi_signo != SIGCHLD) (void)kill(child, (int)info.ssi_signo);
    }
    wk__end_descendants(1);
    if (!WIFSIGNALED(how)) return WEXITSTATUS(how);
    say("the agent was killed by %s; its ranks were ended", wk__signal_name(WTERMSIG(how)));
    return 128 + WTERMSIG(how);
}

int wk_agent_main(int argc, char **argv) {
    wk__agent_options options;
    int code = wk__agent_options_read(argc, argv, &options);
    if (code >= 0) {
        wk_free(options.owned);
        return code;
    }
    int signals = watch_signals();
    pid_t self = getpid();
    (void)fflush(NULL);
    pid_t child = signals >= 0 ? fork() : -1;
    if (child == 0) {
        (void)close(signals);
        code = be_agent(&options, self);
    } else if (child > 0)
        code = be_guard(child, signals);
    else {
        say("cannot start: %s", strerror(errno));
        code = 1;
    }
    wk_free(options.owned);
    return code;
}
