/* `wick agent`: nodes on 127.0.0.1, what ranks find, restarts, nodes that come and go, and who is killed. */
#include "launcher/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* An agent that is killed leaves its files where temporary ones lie. */
static void agent_begin(void) {
    state_begin();
    (void)setenv("TMPDIR", state_dir(), 1);
}

TestSuite(agent, .init = agent_begin, .fini = state_end);

enum { MOST_WORDS = 40 };

/* A port of the test's own, below those that the system gives away. */
static const char *endpoint(void) {
    static char text[64];
    (void)snprintf(text, sizeof text, "127.0.0.1:%d", 20000 + (int)(getpid() % 10000));
    return text;
}

/* Below the state directory; a few at a time. */
static const char *below(const char *name) {
    static char paths[4][1200];
    static int turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", state_dir(), name);
    return path;
}

/* Words of a script that find it again in /proc and nobody else's. */
static const char *marked(const char *script) {
    static char text[4096];
    (void)snprintf(text, sizeof text, "DIR='%s'; %s", state_dir(), script);
    return text;
}

static pid_t start(const char *out, const char *const *argv) {
    pid_t pid = fork();
    if (pid) return pid;
    int fd = open(below(out), O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(126);
}
#define AGENT(out, ...) start(out, (const char *const[]){ WICK_BINARY, "agent", __VA_ARGS__, NULL })

/* The next line that holds the word, which an agent says to the test as its rendezvous. */
static void expect_line(FILE *wire, const char *word) {
    char line[1200];
    do cr_assert_not_null(fgets(line, sizeof line, wire), "no \"%s\" came", word);
    while (strncmp(line, word, strlen(word)) != 0);
}

static int code_of(pid_t pid) {
    int how = 0;
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

static char *content(const char *name) {
    outcome o = run_program((const char *const[]){ "cat", below(name), NULL });
    wk_free(o.err);
    return o.out;
}

static bool comes(const char *name, const char *part, double seconds) {
    bool found = false;
    for (double end = wk_now() + seconds; !found && wk_now() < end; pause_for(0.02)) {
        char *text = content(name);
        found = strstr(text, part) != NULL;
        wk_free(text);
    }
    cr_expect(found, "no \"%s\" in %s", part, name);
    return found;
}

/* torchrun's variables, of four ranks on two nodes; the second node is there long before the one that keeps the
 * rendezvous. */
Test(agent, environment_of_ranks_with_node_0_late) {
    static const char script[] =
        "echo $RANK/$WORLD_SIZE local $LOCAL_RANK/$LOCAL_WORLD_SIZE group $GROUP_RANK/$GROUP_WORLD_SIZE role "
        "$ROLE_NAME:$ROLE_RANK/$ROLE_WORLD_SIZE at $MASTER_ADDR run $TORCHELASTIC_RUN_ID restart "
        "$TORCHELASTIC_RESTART_COUNT/$TORCHELASTIC_MAX_RESTARTS store $TORCHELASTIC_USE_AGENT_STORE nccl "
        "$TORCH_NCCL_ASYNC_ERROR_HANDLING; test \"$MASTER_PORT\" -gt 0 && test \"$OMP_NUM_THREADS\" -gt 0 && "
        "test -d \"$(dirname $TORCHELASTIC_ERROR_FILE)\"";
    const char *common[] = { "--nnodes=2", "--nproc_per_node=2", "--rdzv-backend=static" };
    char rank[2][32] = { "--node-rank=1", "--node-rank=0" };
    pid_t agents[2];
    for (int i = 0; i < 2; i++) {
        agents[i] = AGENT("out", common[0], common[1], common[2], rank[i], "--rdzv-endpoint", endpoint(),
                          "--rdzv-id=j7", "--max-restarts", "2", "--role", "t", "sh", "-c", script);
        pause_for(i ? 0 : 1);
    }
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(agents[i]), 0);
    char *out = content("out");
    for (int r = 0; r < 4; r++) {
        char line[256];
        (void)snprintf(line, sizeof line,
                       "%d/4 local %d/2 group %d/2 role t:%d/4 at 127.0.0.1 run j7 restart 0/2 store False nccl 1\n", r,
                       r % 2, r / 2, r);
        assert_contains(out, line);
    }
    wk_free(out);
}

/* Whoever is first, all ranks reach each other, and the node that has the address keeps the rendezvous. */
Test(agent, ranks_meet_whoever_is_first) {
    for (int turn = 0; turn < 12; turn++) {
        pid_t agents[4];
        for (int i = 0; i < 4; i++)
            agents[i] =
                AGENT("out", "--nnodes=4", "--nproc-per-node=2", "--rdzv-endpoint", endpoint(), WICK_BINARY, "__world");
        for (int i = 0; i < 4; i++) cr_expect_eq(code_of(agents[i]), 0);
    }
    char *out = content("out");
    int lines = 0;
    for (const char *at = out; (at = strstr(at, "computed world size 8\n")); at++) lines++;
    cr_expect_eq(lines, 96, "%s", out);
    wk_free(out);
}

/* Two roles meet in one rendezvous: ranks go through, role ranks are the role's. */
Test(agent, roles_have_ranks_of_their_own) {
    static const char script[] = "echo $ROLE_NAME $ROLE_RANK/$ROLE_WORLD_SIZE of $WORLD_SIZE";
    pid_t a = AGENT("out", "--nnodes=2", "--role=ps", "--rdzv-endpoint", endpoint(), "sh", "-c", script);
    pid_t b =
        AGENT("out", "--nnodes=2", "--nproc-per-node=2", "--role=w", "--rdzv-endpoint", endpoint(), "sh", "-c", script);
    cr_expect_eq(code_of(a), 0);
    cr_expect_eq(code_of(b), 0);
    comes("out", "ps 0/1 of 3\n", 1);
    comes("out", "w 1/2 of 3\n", 1);
}

/* Rank 1 fails twice: all ranks are started again, and the third time they succeed. */
Test(agent, restarts_ranks_that_fail) {
    const char *script = marked("echo $RANK at $TORCHELASTIC_RESTART_COUNT; test $RANK = 1 && test "
                                "$TORCHELASTIC_RESTART_COUNT -lt 2 && sleep 0.5 && kill -9 $$; sleep 0.2");
    pid_t agents[2];
    for (int i = 0; i < 2; i++)
        agents[i] = AGENT(i ? "b" : "a", "--nnodes=2", "--nproc-per-node=2", "--max-restarts=2", "--rdzv-endpoint",
                          endpoint(), "sh", "-c", script);
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(agents[i]), 0);
    char *both[] = { content("a"), content("b") };
    char *all = wk_format("%s%s", both[0], both[1]);
    for (int r = 0; r < 4; r++)
        for (int k = 0; k < 3; k++) {
            char line[32];
            (void)snprintf(line, sizeof line, "%d at %d\n", r, k);
            assert_contains(all, line);
        }
    assert_contains(all, "wick agent: rank 1 (local rank 1) was killed by SIGKILL on host ");
    wk_free(all);
    wk_free(both[0]);
    wk_free(both[1]);
}

/* A rank that fails for good ends the ranks of every node, with its own exit code, and each says why. */
Test(agent, a_failure_ends_all_nodes) {
    const char *script = marked(
        "if [ $RANK = 3 ]; then sleep 0.3; echo the end >&2; exit 7; fi; trap '' TERM; sleep 30 & wait; sleep 30");
    pid_t agents[2];
    for (int i = 0; i < 2; i++)
        agents[i] = AGENT(i ? "b" : "a", "--nnodes=2", "--nproc-per-node=2", "--grace=1", "--tee=3", "--rdzv-endpoint",
                          endpoint(), "sh", "-c", script);
    double begin = wk_now();
    for (int i = 0; i < 2; i++) cr_expect_eq(code_of(agents[i]), 7);
    cr_expect_lt(wk_now() - begin, 10.0);
    for (int i = 0; i < 2; i++) comes(i ? "b" : "a", "rank 3 (local rank 1) ended with exit code 7 on host ", 1);
    for (int i = 0; i < 2; i++) comes(i ? "b" : "a", "; last line of stderr: the end", 1);
    cr_expect(vanishes(state_dir(), 1));
}

/* The error file of the first that failed becomes that of the agent, as torchrun does. */
Test(agent, error_files_are_passed_on) {
    (void)setenv("TORCHELASTIC_ERROR_FILE", below("error.json"), 1);
    pid_t a = AGENT("out", "--nproc-per-node=2", WICK_BINARY, "__world", "throws");
    cr_expect_eq(code_of(a), 1);
    comes("error.json", "raised because throws was asked for", 1);
    comes("error.json", "\"errorCode\": 1", 1);
    comes("out", "; error: raised because throws was asked for", 1);
    (void)unlink(below("error.json"));
    a = AGENT("out", "sh", "-c", "kill -9 $$");
    cr_expect_eq(code_of(a), 137);
    comes("error.json", "rank 0 (local rank 0) was killed by SIGKILL", 1);
    comes("error.json", "\"errorCode\": 137", 1);
}

/* The trainer of these tests: counts to `last` in a file that is its checkpoint, a tenth of a second a step. */
#define TRAIN                                                                                                      \
    "n=$(cat $DIR/checkpoint 2>/dev/null || echo 0); test $RANK = 0 && echo from $n with $WORLD_SIZE >>$DIR/log; " \
    "while [ $n -lt 20 ]; do sleep 0.1; n=$((n + 1)); "                                                            \
    "test $RANK = 0 && echo $n >$DIR/checkpoint.new && mv $DIR/checkpoint.new $DIR/checkpoint; done; true"

/* Of two nodes one is killed with all it has: the other goes on alone from the checkpoint, and takes a third one in. */
Test(agent, nodes_come_and_go) {
    const char *script = marked(TRAIN);
    static const char conf[] = "--rdzv-conf=last_call_timeout=1";
    pid_t first = AGENT("a", "--nnodes=1:2", conf, "--rdzv-endpoint", endpoint(), "sh", "-c", script);
    pause_for(0.2);
    pid_t second = AGENT("b", "--nnodes=1:2", conf, "--rdzv-endpoint", endpoint(), "sh", "-c", script);
    comes("log", "from 0 with 2\n", 5);
    pause_for(0.6);
    pid_t agent = 0; /* the guard's child */
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)second, (long)second);
    FILE *file = fopen(path, "r");
    long number = 0;
    if (file && fscanf(file, "%ld", &number) == 1) agent = (pid_t)number;
    if (file) (void)fclose(file);
    cr_assert_gt(agent, 0);
    (void)kill(agent, SIGKILL);
    cr_expect_eq(code_of(second), 137);
    comes("b", "the agent was killed by SIGKILL; its ranks were ended", 2);
    comes("log", " with 1\n", 5);
    pid_t third = AGENT("c", "--nnodes=1:2", conf, "--rdzv-endpoint", endpoint(), "sh", "-c", script);
    cr_expect_eq(code_of(third), 0);
    cr_expect_eq(code_of(first), 0);
    char *log = content("log");
    const char *alone = strstr(log, " with 1\n");
    cr_assert_not_null(alone);
    cr_expect_not_null(strstr(alone + 1, " with 2\n"), "%s", log);
    for (const char *at = strchr(log, '\n') + 1; *at; at = strchr(at, '\n') + 1) /* every later one from a checkpoint */
        cr_expect_neq(strncmp(at, "from 0 ", 7), 0, "%s", log);
    wk_free(log);
}

/* With fewer than min there is no going on: after the join timeout it says so. */
Test(agent, too_few_nodes) {
    pid_t a =
        AGENT("a", "--nnodes=2", "--rdzv-conf=join_timeout=1", "--rdzv-endpoint", endpoint(), "sh", "-c", "exit 0");
    cr_expect_eq(code_of(a), 1);
    comes("a", "only 1 of at least 2 nodes came to the rendezvous within 1 s", 1);
    a = AGENT("b", "--nnodes=2", "--rdzv-backend=static", "--node-rank=1", "--rdzv-conf=join_timeout=1",
              "--rdzv-endpoint", endpoint(), "sh", "-c", "exit 0");
    cr_expect_eq(code_of(a), 1);
    comes("b", "did not answer within 1 s: Connection refused", 1);
}

/* kill -9 of an agent, of its guard, of the agent that keeps the rendezvous, and of a rank's whole group: within 15 s
 * nothing is left, whatever ignores SIGTERM or left the session. */
#define STUBBORN                                                                                                 \
    "trap '' TERM; (setsid sh -c \"M='$DIR'; trap '' TERM; while :; do sleep 0.2; done\") & echo up >>$DIR/up; " \
    "while :; do sleep 0.2; done"

static pid_t child_of(pid_t pid) {
    char path[64];
    long number = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%ld", &number) != 1) number = 0;
    if (file) (void)fclose(file);
    cr_assert_gt(number, 0);
    return (pid_t)number;
}

static void nothing_is_left_after(int who) {
    pid_t agents[2];
    for (int i = 0; i < 2; i++) {
        agents[i] = AGENT("out", "--nnodes=2", "--nproc-per-node=2", "--grace=1", "--rdzv-conf=rejoin_timeout=5",
                          "--rdzv-endpoint", endpoint(), "sh", "-c", marked(STUBBORN));
        pause_for(0.2);
    }
    comes("up", "up\nup\nup\nup\n", 5);
    pid_t agent = child_of(agents[who / 2]);
    (void)kill(who % 2 ? agents[who / 2] : agent, SIGKILL);
    cr_expect(vanishes(state_dir(), 15), "%d are left", count_processes(state_dir()));
    for (int i = 0; i < 2; i++) (void)code_of(agents[i]);
}

Test(agent, killed_keeper_of_the_rendezvous) {
    nothing_is_left_after(0);
}

Test(agent, killed_guard_of_the_keeper) {
    nothing_is_left_after(1);
}

Test(agent, killed_agent) {
    nothing_is_left_after(2);
}

Test(agent, killed_guard) {
    nothing_is_left_after(3);
}

Test(agent, killed_group_of_a_rank) {
    pid_t a = AGENT("out", "--nproc-per-node=2", "--grace=1", "sh", "-c", marked(STUBBORN));
    comes("up", "up\nup\n", 5);
    pid_t rank = child_of(child_of(a));
    (void)kill(-rank, SIGKILL);
    cr_expect_eq(code_of(a), 137);
    cr_expect(vanishes(state_dir(), 15));
}

/* A stopped agent (SIGSTOP stands for a machine that hangs) is taken for gone; the others go on or end. */
Test(agent, silent_agent_is_gone) {
    pid_t agents[2];
    for (int i = 0; i < 2; i++) {
        agents[i] = AGENT(i ? "b" : "a", "--nnodes=1:2", "--rdzv-conf=heartbeat_timeout=2,last_call_timeout=1",
                          "--rdzv-endpoint", endpoint(), "sh", "-c", marked("echo $WORLD_SIZE >>$DIR/worlds; sleep 3"));
        pause_for(0.2);
    }
    comes("worlds", "2\n2\n", 5);
    pid_t agent = child_of(agents[1]);
    (void)kill(agent, SIGSTOP);
    cr_expect_eq(code_of(agents[0]), 0);
    comes("worlds", "1\n", 1);
    (void)kill(agent, SIGCONT);
    cr_expect_eq(code_of(agents[1]), 1);
    comes("b", "the rendezvous at 127.0.0.1:", 1);
}

/* SIGTERM reaches the ranks, who may finish within the grace; SIGUSR1 is theirs alone. */
Test(agent, signals_go_to_ranks) {
    pid_t a = AGENT("out", "--nproc-per-node=2", "sh", "-c",
                    marked("trap 'echo usr $RANK' USR1; trap 'echo term $RANK; exit 0' TERM; echo up >>$DIR/up; "
                           "while :; do sleep 0.05; done"));
    comes("up", "up\nup\n", 5);
    (void)kill(a, SIGUSR1);
    comes("out", "usr 0\n", 2);
    comes("out", "usr 1\n", 2);
    (void)kill(a, SIGTERM);
    cr_expect_eq(code_of(a), 128 + SIGTERM);
    comes("out", "term 0\n", 1);
    comes("out", "term 1\n", 1);
}

/* Streams to files, and to the console with the rank before each whole line, the last one too. */
Test(agent, logs_of_ranks) {
    pid_t a = AGENT("out", "--nproc-per-node=2", "--rdzv-id=j", "--role=t", "--log-dir", below("logs"), "--tee=1",
                    "--redirects=3", "sh", "-c", "echo one; echo err >&2; printf 'no newline'");
    cr_expect_eq(code_of(a), 0);
    char *out = content("out");
    for (int r = 0; r < 2; r++) {
        char text[1200];
        (void)snprintf(text, sizeof text, "[t%d]:one\n", r);
        assert_contains(out, text);
        (void)snprintf(text, sizeof text, "[t%d]:no newline\n",
                       r); /* when it has ended; the other's line may be between */
        assert_contains(strstr(out, "one\n"), text);
        (void)snprintf(text, sizeof text, "cat %s/logs/j_*/attempt_0/%d/stderr.log", state_dir(), r);
        outcome err = run_program((const char *const[]){ "sh", "-c", text, NULL });
        cr_expect_str_eq(err.out, "err\n");
        forget(&err);
    }
    cr_expect_null(strstr(out, "err\n"));
    wk_free(out);
}

Test(agent, refusals) {
    static const struct {
        const char *words[4], *message;
        int code;
    } cases[] = {
        { { "--nnodes=0", "true" }, "wick: agent: --nnodes takes N or MIN:MAX, from 1 to 4096, not \"0\"\n", 2 },
        { { "--nnodes=3:2", "true" }, "wick: agent: --nnodes takes N or MIN:MAX, from 1 to 4096, not \"3:2\"\n", 2 },
        { { "--nproc-per-node", "x", "true" },
          "wick: agent: --nproc-per-node takes a number from 1 to 100000, not \"x\"\n",
          2 },
        { { "--nnodes=2", "true" }, "wick: agent: 2 nodes need a place to meet: --rdzv-endpoint HOST:PORT\n", 2 },
        { { "--rdzv-endpoint=a:b", "true" }, "wick: agent: --rdzv-endpoint takes HOST:PORT, not \"a:b\"\n", 2 },
        { { "--rdzv-backend=etcd", "true" }, "wick: agent: --rdzv-backend is c10d or static, not \"etcd\"\n", 2 },
        { { "--rdzv-backend=static", "true" }, "wick: agent: --rdzv-backend static needs --node-rank\n", 2 },
        { { "--rdzv-conf=tls=1", "true" },
          "wick: agent: --rdzv-conf: \"tls=1\" is none of join_timeout, last_call_timeout, rejoin_timeout, "
          "heartbeat_timeout, is_host with a value\n",
          2 },
        { { "--loud", "true" }, "wick: agent: unknown option --loud; `wick agent --help` lists them\n", 2 },
        { { "--nnodes=1" }, "wick: agent: which program? `wick agent --help` shows an example\n", 2 },
        { { "/no/such/program" }, "wick agent: cannot run \"/no/such/program\": No such file or directory\n", 127 },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        const char *argv[] = { WICK_BINARY, "agent", cases[i].words[0], cases[i].words[1], cases[i].words[2], NULL };
        outcome o = run_program(argv);
        cr_expect_str_eq(o.err, cases[i].message, "%s", o.err);
        cr_expect_eq(o.code, cases[i].code);
        forget(&o);
    }
}

/* The component, on schedulers that start a node a replica; where to meet they tell.  What mpirun tells an agent is not
 * for its ranks. */
Test(agent, component_on_local_and_mpi) {
    const char *script = write_file(
        "train.sh", "#!/bin/sh\necho rank $RANK of $WORLD_SIZE on node $GROUP_RANK $1 ${OMPI_COMM_WORLD_RANK:+mpi}\n");
    outcome made = run_program((const char *const[]){ "chmod", "+x", script, NULL });
    forget(&made);
    static const char *const schedulers[] = { "local", "mpi" };
    for (size_t i = 0; i < WK_COUNT(schedulers); i++) {
        outcome o = WICK("run", "-s", schedulers[i], "--wait", "--log", "dist.agent", "-j", "2x2", "--script", script,
                         "--", "a b");
        cr_expect_eq(o.code, 0, "%s", o.err);
        for (int r = 0; r < 4; r++) {
            char line[64];
            (void)snprintf(line, sizeof line, ":rank %d of 4 on node %d a b\n", r, r / 2);
            assert_contains(o.err, line);
        }
        forget(&o);
    }
    outcome o = WICK("run", "--wait", "dist.agent", "-j", "1x2", "--script", "/bin/false");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "error: rank ");
    assert_contains(o.err, "ended with exit code 1 on host");
    forget(&o);
}

/* A Python script is run by python3, without torchrun. */
Test(agent, python_scripts) {
    const char *script = write_file("t.py", "import os, sys\nprint('py', os.environ['RANK'], sys.argv[1])\n");
    pid_t a = AGENT("out", "--nproc-per-node=2", script, "x");
    cr_expect_eq(code_of(a), 0);
    comes("out", "py 0 x\n", 1);
    comes("out", "py 1 x\n", 1);
}

/* A round that is called off in the same breath: no rank of it is started, and the agent is ready for the next. */
Test(agent, a_round_is_called_off_before_it_begins) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    struct timeval patience = { 30, 0 };
    char place[40];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(place, sizeof place, "127.0.0.1:%d", ntohs(address.sin_port));
    pid_t pid =
        AGENT("out", "--nnodes", "1:2", "--rdzv-endpoint", place, "--rdzv-conf", "is_host=0,heartbeat_timeout=60", "sh",
              "-c", marked("echo round $WICK_AGENT_ROUND >>$DIR/rounds"));
    int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    FILE *wire = fdopen(fd, "r+");
    expect_line(wire, "ready ");
    static const char both[] = "round 1 0 1 0 1 0 1 0 1 localhost\nstop 1\n",
                      next[] = "round 2 0 1 0 1 0 1 0 1 localhost\n";
    cr_assert_eq(send(fd, both, sizeof both - 1, 0), sizeof both - 1);
    expect_line(wire, "ready ");
    cr_assert_eq(send(fd, next, sizeof next - 1, 0), sizeof next - 1);
    expect_line(wire, "done 2");
    cr_assert_eq(send(fd, "end 0 succeeded\n", 16, 0), 16);
    cr_expect_eq(code_of(pid), 0);
    char *rounds = content("rounds");
    cr_expect_str_eq(rounds, "round 2\n");
    wk_free(rounds);
    (void)fclose(wire);
    (void)close(listener);
}
