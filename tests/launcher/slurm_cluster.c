#include "launcher/slurm_cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t daemons[3];
static char reason[300];

static const char configuration[] =
    "ClusterName=t\nSlurmctldHost=%s(127.0.0.1)\nSlurmctldPort=%d\nSlurmUser=%s\nSlurmdUser=%s\n"
    "AuthType=auth/none\nCredType=cred/none\nStateSaveLocation=%s/slurm/state\nSlurmdSpoolDir=%s/slurm/spool.%%n\n"
    "SlurmctldPidFile=%s/slurm/ctld.pid\nSlurmdPidFile=%s/slurm/slurmd.%%n.pid\nTmpFS=%s/slurm/tmp\n"
    "SlurmctldLogFile=%s/slurm/ctld.log\nSlurmdLogFile=%s/slurm/slurmd.%%n.log\n"
    "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nAccountingStorageType=accounting_storage/none\n"
    "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nMailProg=/bin/true\nKillWait=2\n"
    "SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0\n"
    "SlurmdTimeout=10\nRebootProgram=/bin/true\n"
    "NodeName=n1 NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=2 CoresPerSocket=2 RealMemory=4000 State=UNKNOWN\n"
    "NodeName=n2 NodeHostname=%s NodeAddr=127.0.0.1 Port=%d CPUs=2 CoresPerSocket=2 RealMemory=4000 State=UNKNOWN\n"
    "PartitionName=p Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n";

static int free_port(void) {
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int port = 0;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0
        && getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    (void)close(fd);
    return port;
}

static pid_t start(const char *const *argv) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) (void)dup2(null, fd);
    (void)setpgid(0, 0);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void make_folder(const char *name) {
    char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", state_dir(), name);
    (void)mkdir(path, 0755);
}

static void write_configuration(void) {
    char host[128] = "";
    char text[4096];
    const char *d = state_dir();
    const char *user = getuid() == 0 ? "root" : getenv("USER");
    static const char *const folders[] = { "slurm", "slurm/state", "slurm/tmp" };
    (void)gethostname(host, sizeof host - 1);
    host[strcspn(host, ".")] = '\0';
    for (size_t i = 0; i < WK_COUNT(folders); i++) make_folder(folders[i]);
    (void)snprintf(text, sizeof text, configuration, host, free_port(), user, user, d, d, d, d, d, d, d, host,
                   free_port(), host, free_port());
    (void)setenv("SLURM_CONF", write_file("slurm/slurm.conf", text), 1);
}

static bool is_idle(void) {
    outcome o = run_program((const char *const[]){ "sinfo", "-h", "-t", "idle", "-o", "%D", NULL });
    bool idle = strcmp(o.out, "2\n") == 0;
    forget(&o);
    return idle;
}

void cluster_begin(void) {
    state_begin();
    (void)setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", 1);
    outcome found = run_program((const char *const[]){ "sh", "-c", "command -v slurmctld slurmd sbatch", NULL });
    int missing = found.code;
    forget(&found);
    if (missing) {
        (void)snprintf(reason, sizeof reason,
                       "slurmctld, slurmd and sbatch are not installed (tools/install-deps --check)");
        return;
    }
    write_configuration();
    daemons[0] = start((const char *const[]){ "slurmctld", "-D", "-c", NULL });
    daemons[1] = start((const char *const[]){ "slurmd", "-D", "-N", "n1", NULL });
    daemons[2] = start((const char *const[]){ "slurmd", "-D", "-N", "n2", NULL });
    for (double end = wk_now() + 20; wk_now() < end; pause_for(0.05)) {
        if (is_idle()) return;
        for (int i = 0; i < 3; i++)
            if (daemons[i] && waitpid(daemons[i], NULL, WNOHANG) == daemons[i]) daemons[i] = 0;
    }
    (void)snprintf(reason, sizeof reason, "its daemons do not come up; their logs: %s/slurm", state_dir());
}

void cluster_needed(void) {
    if (!*reason) return;
    (void)fprintf(stderr, "\n*** SKIPPED: no Slurm here: %s\n", reason);
    cr_skip_test("no Slurm here: %s", reason);
}

void cluster_end(void) {
    state_end_apps();
    for (int i = 2; i >= 0; i--) {
        if (daemons[i] <= 0) continue;
        (void)kill(daemons[i], SIGTERM);
        for (int turn = 0; turn < 100 && waitpid(daemons[i], NULL, WNOHANG) == 0; turn++) {
            if (turn == 60) (void)kill(daemons[i], SIGKILL);
            pause_for(0.05);
        }
        daemons[i] = 0;
    }
    state_end_files();
}
