/* options.c: the command line of `wick agent`: torchrun's options, with - or _ between their words. */
#include "launcher/agent/agent.h"
#include "launcher/commands/flags.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: wick agent [options] PROGRAM [ARGUMENT...]\n\n"
    "Starts the ranks of one node and sees them through; run one on each node.  A PROGRAM that ends in .py is run by "
    "python3.\n\n"
    "  --nnodes [MIN:]MAX        nodes (1); with MIN it goes on with fewer, and takes newcomers in\n"
    "  --nproc-per-node N        ranks of this node (1), or cpu: one a core\n"
    "  --rdzv-endpoint HOST:PORT where the agents meet; unless given $MASTER_ADDR:$MASTER_PORT, or this node alone\n"
    "  --rdzv-backend B          c10d: the agent on HOST keeps the rendezvous; static: that of node rank 0\n"
    "  --rdzv-id ID              of this job ($TORCHELASTIC_RUN_ID)\n"
    "  --rdzv-conf K=V,...       join_timeout=600, last_call_timeout=30, rejoin_timeout=10 (for a node that\n"
    "                            was lost), heartbeat_timeout=5: seconds; is_host=true\n"
    "  --node-rank N             the number of this node (static)\n"
    "  --standalone              this node alone\n"
    "  --max-restarts N          start all ranks again so often after one failed (0)\n"
    "  -m, --module              PROGRAM is a Python module\n"
    "  --no-python               PROGRAM is run as it is, even if it ends in .py\n"
    "  --role NAME               of these ranks (default)\n"
    "  --log-dir DIR             a folder for each attempt and rank: stdout.log, stderr.log, error.json\n"
    "  -r, --redirects N         streams that go to these files: 0 none, 1 stdout, 2 stderr, 3 both\n"
    "  -t, --tee N               streams that go to the files and, a rank before each line, to the console\n"
    "  --local-addr ADDR         the name of this node for the others\n"
    "  --grace S                 seconds from SIGTERM to SIGKILL (5)\n\n"
    "example:  wick agent --nnodes 2 --nproc-per-node 4 --rdzv-endpoint node1:29500 train.py --epochs 3\n";

typedef struct words {
    int argc, at;
    char **argv;
    const char *value; /* after =, or NULL */
} words;

/* "--nproc_per_node=2" is nproc-per-node, with a value. */
static bool is(words *w, const char *name, const char *letter) {
    const char *word = w->argv[w->at];
    w->value = NULL;
    if (letter && strcmp(word, letter) == 0) return true;
    if (strncmp(word, "--", 2) != 0) return false;
    for (word += 2; *name && *word; name++, word++)
        if (*word != *name && !(*word == '_' && *name == '-')) return false;
    if (*name || (*word && *word != '=')) return false;
    if (*word) w->value = word + 1;
    return true;
}

static const char *value(words *w) {
    if (w->value) return w->value;
    if (w->at + 1 < w->argc) return w->argv[++w->at];
    (void)wk_fail(WK_CONFIG, "agent: %s needs a value", w->argv[w->at]);
    return "";
}

static int number(words *w, int least, int most) {
    char *end = NULL;
    const char *name = w->argv[w->at];
    const char *text = value(w);
    long n = strtol(text, &end, 10);
    if (!wk_failed() && (end == text || *end || n < least || n > most))
        (void)wk_fail(WK_CONFIG, "agent: %.*s takes a number from %d to %d, not \"%s\"", (int)strcspn(name, "="), name,
                      least, most, text);
    return (int)n;
}

static void read_nodes(words *w, wk__agent_options *o) {
    char *end = NULL;
    const char *text = value(w);
    long least = strtol(text, &end, 10);
    long most = *end == ':' ? strtol(end + 1, &end, 10) : least;
    if (!wk_failed() && (end == text || *end || least < 1 || most < least || most > WK__MOST_NODES))
        (void)wk_fail(WK_CONFIG, "agent: --nnodes takes N or MIN:MAX, from 1 to %d, not \"%s\"", WK__MOST_NODES, text);
    o->min_nodes = (int)least;
    o->max_nodes = (int)most;
}

static void set_endpoint(wk__agent_options *o, const char *text) {
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 29400; /* torchrun's own */
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    if (size == 0 || size >= sizeof o->host || (end && (end == colon + 1 || *end)) || port < 0 || port > 65535)
        (void)wk_fail(WK_CONFIG, "agent: --rdzv-endpoint takes HOST:PORT, not \"%s\"", text);
    else {
        (void)snprintf(o->host, sizeof o->host, "%.*s", (int)size, text);
        o->port = (int)port;
    }
}

/* k=v,k2=v2: those of torchrun that have no meaning here are taken and left. */
static void read_conf(wk__agent_options *o, const char *text) {
    const struct {
        const char *name;
        double *seconds;
    } known[] = { { "join_timeout", &o->join_timeout },
                  { "timeout", &o->join_timeout },
                  { "last_call_timeout", &o->last_call },
                  { "rejoin_timeout", &o->rejoin_timeout },
                  { "heartbeat_timeout", &o->silence },
                  { "close_timeout", NULL },
                  { "read_timeout", NULL } };
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, "=,");
        size_t total = strcspn(at, ",");
        const char *given = at + size + (at[size] == '=');
        bool found = false;
        for (size_t i = 0; i < WK_COUNT(known); i++)
            if (strlen(known[i].name) == size && strncmp(at, known[i].name, size) == 0) {
                char *end = NULL;
                double seconds = strtod(given, &end);
                found = end == at + total && seconds >= 0;
                if (found && known[i].seconds) *known[i].seconds = seconds;
            }
        if (size == 7 && strncmp(at, "is_host", 7) == 0) {
            o->is_host = strchr("1tTyY", *given) != NULL && *given;
            found = true;
        }
        if (!found)
            (void)wk_fail(WK_CONFIG,
                          "agent: --rdzv-conf: \"%.*s\" is none of join_timeout, last_call_timeout, "
                          "rejoin_timeout, heartbeat_timeout, is_host with a value",
                          (int)total, at);
        at += total + (at[total] == ',');
    }
}

static void set_backend(wk__agent_options *o, const char *text) {
    if (strcmp(text, "static") == 0)
        o->fixed = true;
    else if (strcmp(text, "c10d") != 0)
        (void)wk_fail(WK_CONFIG, "agent: --rdzv-backend is c10d or static, not \"%s\"", text);
}

typedef struct wishes {
    bool module, no_python, alone, endpoint;
} wishes;

/* One option; false if it is none. */
static bool read_option(words *w, wk__agent_options *o, wishes *wish) {
    if (is(w, "nnodes", NULL))
        read_nodes(w, o);
    else if (is(w, "nproc-per-node", NULL)) {
        bool cores = strcmp(w->value ? w->value : w->at + 1 < w->argc ? w->argv[w->at + 1] : "", "cpu") == 0;
        if (cores) (void)value(w);
        o->procs = cores ? wk__core_count() : number(w, 1, 100000);
    } else if (is(w, "rdzv-endpoint", NULL) || is(w, "rdzv-endpoint", "--master-addr")) {
        set_endpoint(o, value(w));
        wish->endpoint = true;
    } else if (is(w, "rdzv-backend", NULL))
        set_backend(o, value(w));
    else if (is(w, "rdzv-id", NULL))
        o->id = value(w);
    else if (is(w, "rdzv-conf", NULL))
        read_conf(o, value(w));
    else if (is(w, "node-rank", NULL))
        o->node_rank = number(w, 0, WK__MOST_NODES);
    else if (is(w, "standalone", NULL))
        wish->alone = true;
    else if (is(w, "max-restarts", NULL))
        o->max_restarts = number(w, 0, INT_MAX);
    else if (is(w, "module", "-m"))
        wish->module = true;
    else if (is(w, "no-python", NULL))
        wish->no_python = true;
    else if (is(w, "role", NULL))
        o->role = value(w);
    else if (is(w, "log-dir", NULL))
        o->log_dir = value(w);
    else if (is(w, "redirects", "-r"))
        o->redirects = (unsigned)number(w, 0, 3);
    else if (is(w, "tee", "-t"))
        o->tee = (unsigned)number(w, 0, 3);
    else if (is(w, "local-addr", NULL))
        o->local_address = value(w);
    else if (is(w, "grace", NULL))
        o->grace = number(w, 0, 86400);
    else if (is(w, "monitor-interval", NULL))
        (void)value(w); /* there is nothing to look at again and again */
    else
        return false;
    return true;
}

/* What ends in .py, and modules, are Python's. */
static void make_command(wk__agent_options *o, const wishes *wish, int argc, char **argv) {
    const char *dot = strrchr(argv[0], '.');
    int at = 0;
    bool python = wish->module || (!wish->no_python && dot && strcmp(dot, ".py") == 0);
    o->argv = wk_alloc(((size_t)argc + 4) * sizeof *o->argv);
    o->owned = (char *)o->argv;
    if (!o->argv) return;
    if (python) {
        o->argv[at++] = "python3";
        o->argv[at++] = "-u";
    }
    if (wish->module) o->argv[at++] = "-m";
    for (int i = 0; i < argc; i++) o->argv[at++] = argv[i];
}

static void from_environment(wk__agent_options *o, const wishes *wish) {
    const char *host = getenv("MASTER_ADDR");
    const char *port = getenv("MASTER_PORT");
    const char *rank = getenv("RANK");
    const char *role = getenv("ROLE_NAME");
    if (!o->id) o->id = getenv("TORCHELASTIC_RUN_ID");
    if (!o->id || !*o->id) o->id = "none";
    if (!o->log_dir && !getenv("WICK_REPLICA_DIR")) o->log_dir = getenv("PET_LOG_DIR");
    if (!o->role || !*o->role) o->role = role && *role ? role : "default";
    if (o->fixed && o->node_rank < 0 && rank) o->node_rank = (int)strtol(rank, NULL, 10);
    if (wish->endpoint) return;
    if (o->max_nodes == 1 || wish->alone || !host || !port) {
        (void)snprintf(o->host, sizeof o->host, "localhost");
        if (o->max_nodes > 1)
            (void)wk_fail(WK_CONFIG, "agent: %d nodes need a place to meet: --rdzv-endpoint HOST:PORT", o->max_nodes);
    } else {
        (void)snprintf(o->host, sizeof o->host, "%s", host);
        o->port = (int)strtol(port, NULL, 10);
    }
}

static wk_status check(const wk__agent_options *o, bool has_program) {
    if (!has_program) return wk_fail(WK_CONFIG, "agent: which program? `wick agent --help` shows an example");
    if (o->fixed && o->node_rank < 0) return wk_fail(WK_CONFIG, "agent: --rdzv-backend static needs --node-rank");
    if (strpbrk(o->role, " \t\n") || strlen(o->role) > 60 || strpbrk(o->id, " \t\n") || strlen(o->id) > 250 || !*o->id)
        return wk_fail(WK_CONFIG, "agent: --role and --rdzv-id are words without blanks");
    return wk_error_code();
}

int wk__agent_options_read(int argc, char **argv, wk__agent_options *o) {
    words w = { argc, 1, argv, NULL };
    wishes wish = { 0 };
    *o = (wk__agent_options){ .min_nodes = 1,
                              .max_nodes = 1,
                              .node_rank = -1,
                              .procs = 1,
                              .is_host = -1,
                              .join_timeout = 600,
                              .last_call = 30,
                              .rejoin_timeout = 10,
                              .silence = 5,
                              .grace = 5 };
    for (; w.at < argc && argv[w.at][0] == '-' && !wk_failed(); w.at++) {
        if (strcmp(argv[w.at], "--help") == 0 || strcmp(argv[w.at], "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[w.at], "--") == 0) {
            w.at++;
            break;
        }
        if (!read_option(&w, o, &wish))
            return wk__usage_error("agent: unknown option %s; `wick agent --help` lists them", argv[w.at]);
    }
    if (!wk_failed()) from_environment(o, &wish);
    if (!wk_failed() && check(o, w.at < argc) == WK_OK) make_command(o, &wish, argc - w.at, argv + w.at);
    return wk_failed() ? wk__report_code() : -1;
}
