/* socket.c: see socket.h. */
#include "dist/tcp/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int close_for(int fd, int error) {
    if (fd >= 0) (void)close(fd);
    errno = error;
    return -1;
}

int wk__tcp_listen(int *port) {
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)*port) };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port) };
    int yes = 1, no = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const bool has_six = fd >= 0;
    struct sockaddr *any = has_six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t size = has_six ? sizeof six : sizeof four;
    if (has_six)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    else
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, any, size) != 0 || listen(fd, 1024) != 0 || getsockname(fd, any, &size) != 0)
        return close_for(fd, errno);
    *port = ntohs(has_six ? six.sin6_port : four.sin_port);
    return fd;
}

static int milliseconds_until(double end) {
    double left = end - wk_now();
    return left <= 0 ? 0 : left > 1000 ? 1000000 : (int)(left * 1e3) + 1;
}

/* Ready for `event` before the end; errno ETIMEDOUT where not. */
static bool wait_for(int fd, short event, double end) {
    struct pollfd wait = { .fd = fd, .events = event };
    for (;;) {
        int ready = poll(&wait, 1, milliseconds_until(end));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
        if (wk_now() < end) continue;
        errno = ETIMEDOUT;
        return false;
    }
}

int wk__tcp_connect(const struct sockaddr *address, socklen_t size, double end) {
    int error = 0, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof error;
    if (fd < 0) return -1;
    if (connect(fd, address, size) == 0) return fd;
    if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, end)) return close_for(fd, errno);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error)
        return close_for(fd, error ? error : errno);
    return fd;
}

int wk__tcp_connect_name(const char *host, int port, double end) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char service[16];
    int fd = -1, error;
    (void)snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) { /* names of pods appear with the pods */
        errno = EHOSTUNREACH;
        return -1;
    }
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        double soon = wk_now() + 2; /* a host that is down answers nothing at all */
        fd = wk__tcp_connect(a->ai_addr, a->ai_addrlen, soon < end ? soon : end);
    }
    error = errno;
    freeaddrinfo(found);
    errno = error;
    return fd;
}

static void set_port(struct sockaddr_storage *address, int port) {
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)address)->sin_port = htons((uint16_t)port);
}

int wk__tcp_connect_seat(const wk__seat *seat, int to_first, double end) {
    struct sockaddr_storage address = { .ss_family = seat->family == 6 ? AF_INET6 : AF_INET };
    socklen_t size = sizeof address;
    if (seat->family == 0) {
        if (getpeername(to_first, (struct sockaddr *)&address, &size) != 0) return -1;
    } else if (seat->family == 6)
        memcpy(&((struct sockaddr_in6 *)(void *)&address)->sin6_addr, seat->address, 16);
    else
        memcpy(&((struct sockaddr_in *)(void *)&address)->sin_addr, seat->address, 4);
    set_port(&address, seat->port);
    size = address.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    return wk__tcp_connect((struct sockaddr *)&address, size, end);
}

void wk__tcp_peer(int fd, wk__seat *seat) {
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof address;
    seat->family = 0;
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0) return;
    if (address.ss_family == AF_INET6) {
        const struct in6_addr *a = &((struct sockaddr_in6 *)(void *)&address)->sin6_addr;
        const bool is_four = IN6_IS_ADDR_V4MAPPED(a);
        if (IN6_IS_ADDR_LOOPBACK(a) || (is_four && a->s6_addr[12] == 127)) return;
        seat->family = is_four ? 4 : 6;
        memcpy(seat->address, a->s6_addr + (is_four ? 12 : 0), is_four ? 4 : 16);
        return;
    }
    memcpy(seat->address, &((struct sockaddr_in *)(void *)&address)->sin_addr, 4);
    seat->family = seat->address[0] == 127 ? 0 : 4;
}

void wk__tcp_peer_text(int fd, char *text, size_t size) {
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0
        || getnameinfo((struct sockaddr *)&address, length, text, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
        (void)snprintf(text, size, "an unknown address");
    static const char mapped[] = "::ffff:"; /* IPv4 at a listener for both */
    if (strncmp(text, mapped, sizeof mapped - 1) == 0 && strchr(text, '.'))
        memmove(text, text + sizeof mapped - 1, strlen(text) - sizeof mapped + 2);
}

void wk__tcp_prepare(int fd) {
    const int yes = 1, seconds = 2, times = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

static bool move(int fd, char *at, size_t size, bool writes, double end) {
    while (size > 0) {
        ssize_t moved = writes ? send(fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(fd, at, size, MSG_DONTWAIT);
        if (moved < 0 && errno == EINTR) continue;
        if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!wait_for(fd, writes ? POLLOUT : POLLIN, end)) return false;
            continue;
        }
        if (moved == 0) errno = 0;
        if (moved <= 0) return false;
        at += moved;
        size -= (size_t)moved;
    }
    return true;
}

bool wk__tcp_write(int fd, const void *bytes, size_t size, double end) {
    return move(fd, (char *)(uintptr_t)bytes, size, true, end);
}
bool wk__tcp_read(int fd, void *bytes, size_t size, double end) {
    return move(fd, bytes, size, false, end);
}
