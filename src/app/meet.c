/* meet.c: ranks agree on a number, without any library for messages.
 *
 * Rank 0 listens at MASTER_PORT and the others come to it, as often as they must, so it does not matter who is first.
 * Connections stay for later calls.  Values are added in the order of ranks: the sum has the same bits each time.  A
 * caller says which job, role and attempt it belongs to, so a straggler of an earlier attempt is sent away.
 */
#include "app/app.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct hello { /* both ends run the same program, so its bytes need no order of their own */
    uint64_t job;
    int32_t rank, world;
} hello;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int *links; /* rank 0: a descriptor a rank, -1 at its own; others: one */
static int link_count;

static uint64_t job_hash(void) {
    static const char *const names[] = { "TORCHELASTIC_RUN_ID", "ROLE_NAME", "TORCHELASTIC_RESTART_COUNT" };
    uint64_t hash = 0;
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        hash = wk__hash(hash, value ? value : "");
    }
    return hash;
}

/* All bytes before the deadline, or false: the other end is gone, or the time is over. */
static bool transfer(int fd, void *bytes, size_t size, bool sending, double end) {
    for (char *at = bytes; size > 0;) {
        struct pollfd wait = { .fd = fd, .events = sending ? POLLOUT : POLLIN };
        double left = end - wk_now();
        if (left <= 0 || poll(&wait, 1, (int)(left * 1e3) + 1) < 0) return false;
        if (!wait.revents) continue;
        ssize_t moved = sending ? send(fd, at, size, MSG_NOSIGNAL) : recv(fd, at, size, 0);
        if (moved <= 0) return false;
        at += moved;
        size -= (size_t)moved;
    }
    return true;
}

static void no_delay(int fd) {
    int yes = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/* ---- rank 0 ---- */

static int listen_at(int port) {
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    struct sockaddr_in older = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int yes = 1;
    int no = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool six = fd >= 0;
    if (!six) fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (six) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (fd >= 0
        && bind(fd, six ? (struct sockaddr *)&address : (struct sockaddr *)&older, six ? sizeof address : sizeof older)
               == 0
        && listen(fd, 1024) == 0)
        return fd;
    int error = errno;
    if (fd >= 0) (void)close(fd);
    (void)wk_fail(WK_IO, "rank 0 cannot listen at port %d (MASTER_PORT): %s", port, strerror(error));
    return -1;
}

static wk_status missing(int world, double seconds) {
    wk_text names = { 0 };
    int named = 0;
    for (int rank = 1; rank < world; rank++)
        if (links[rank] < 0 && ++named <= 16) wk_text_printf(&names, "%s%d", named > 1 ? ", " : "", rank);
    wk_status status = wk_fail(WK_TIMEOUT, "after %.0f s these ranks had not come to rank 0: %s%s", seconds,
                               wk_text_get(&names), named > 16 ? ", ..." : "");
    wk_text_free(&names);
    return status;
}

static wk_status gather_links(int port, int world, double seconds, double end) {
    int waiting = world - 1;
    int fd = listen_at(port);
    if (fd < 0) return wk_error_code();
    while (waiting > 0) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        double left = end - wk_now();
        if (left <= 0) break;
        if (poll(&wait, 1, (int)(left * 1e3) + 1) <= 0) continue;
        int caller = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        hello h = { 0 };
        double patience = wk_now() + 2;
        char welcome = 1;
        if (caller >= 0 && transfer(caller, &h, sizeof h, false, patience < end ? patience : end) && h.job == job_hash()
            && h.world == world && h.rank > 0 && h.rank < world && links[h.rank] < 0
            && transfer(caller, &welcome, 1, true, end)) {
            no_delay(caller);
            links[h.rank] = caller;
            waiting--;
        } else if (caller >= 0)
            (void)close(caller);
    }
    (void)close(fd);
    return waiting ? missing(world, seconds) : WK_OK;
}

/* ---- the others ---- */

static int connect_once(const char *host, const char *port) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1; /* names of pods appear with the pods */
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static wk_status reach_rank0(const char *host, const char *port, double seconds, double end) {
    hello h = { .job = job_hash(), .rank = wk_job_rank(), .world = wk_job_world_size() };
    for (long pause = 5; wk_now() < end; pause = pause < 200 ? pause * 2 : pause) {
        char welcome = 0;
        int fd = connect_once(host, port);
        if (fd >= 0 && transfer(fd, &h, sizeof h, true, end) && transfer(fd, &welcome, 1, false, end)) {
            no_delay(fd);
            links[0] = fd;
            return WK_OK;
        }
        if (fd >= 0) (void)close(fd);
        (void)nanosleep(&(struct timespec){ .tv_nsec = pause * 1000000 }, NULL);
    }
    return wk_fail(WK_TIMEOUT, "rank %d did not reach rank 0 at %s:%s within %.0f s", (int)h.rank, host, port, seconds);
}

/* ---- together ---- */

static void leave(void) {
    for (int i = 0; i < link_count; i++)
        if (links[i] >= 0) (void)close(links[i]);
    wk_free(links);
    links = NULL;
    link_count = 0;
}

static wk_status meet(int rank, int world, double seconds, double end) {
    const char *host = getenv("MASTER_ADDR");
    const char *port = getenv("MASTER_PORT");
    if (links) return WK_OK;
    if (!host || !port || strtol(port, NULL, 10) <= 0)
        return wk_fail(WK_STATE, "rank %d of %d has no MASTER_ADDR and MASTER_PORT: start it with wick run", rank,
                       world);
    if (rank < 0 || rank >= world) return wk_fail(WK_STATE, "RANK %d is outside of WORLD_SIZE %d", rank, world);
    link_count = rank == 0 ? world : 1;
    links = wk_alloc((size_t)link_count * sizeof *links);
    if (!links) return wk_error_code();
    for (int i = 0; i < link_count; i++) links[i] = -1;
    return rank == 0 ? gather_links((int)strtol(port, NULL, 10), world, seconds, end)
                     : reach_rank0(host, port, seconds, end);
}

static wk_status exchange(int rank, int world, double *value, double end) {
    double total = *value;
    double theirs = 0;
    if (rank != 0) {
        if (transfer(links[0], value, sizeof *value, true, end) && transfer(links[0], value, sizeof *value, false, end))
            return WK_OK;
        return wk_fail(wk_now() < end ? WK_RANK_FAILED : WK_TIMEOUT, "rank 0 %s",
                       wk_now() < end ? "has ended" : "waits for others still");
    }
    for (int r = 1; r < world; r++) {
        if (!transfer(links[r], &theirs, sizeof theirs, false, end))
            return wk_fail(wk_now() < end ? WK_RANK_FAILED : WK_TIMEOUT, "rank %d %s", r,
                           wk_now() < end ? "has ended" : "did not come in time");
        total += theirs;
    }
    for (int r = 1; r < world; r++)
        if (!transfer(links[r], &total, sizeof total, true, end))
            return wk_fail(WK_RANK_FAILED, "rank %d has ended", r);
    *value = total;
    return WK_OK;
}

wk_status wk_job_sum(double value, double seconds, double *sum) {
    int rank = wk_job_rank();
    int world = wk_job_world_size();
    if (seconds <= 0) seconds = 300;
    double end = wk_now() + seconds;
    *sum = value;
    if (world == 1) return WK_OK;
    (void)pthread_mutex_lock(&lock);
    wk_status status = meet(rank, world, seconds, end);
    if (status == WK_OK) status = exchange(rank, world, sum, end);
    if (status != WK_OK) leave();
    (void)pthread_mutex_unlock(&lock);
    return status;
}

wk_status wk_job_barrier(double seconds) {
    double sum = 0;
    return wk_job_sum(0, seconds, &sum);
}

wk_status wk_job_rank0_first_begin(double seconds) {
    return wk_job_is_rank0() ? WK_OK : wk_job_barrier(seconds);
}

wk_status wk_job_rank0_first_end(double seconds) {
    return wk_job_is_rank0() ? wk_job_barrier(seconds) : WK_OK;
}
