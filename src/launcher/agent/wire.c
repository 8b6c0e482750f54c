/* wire.c: lines of text over TCP, for the agents' few words. */
#include "launcher/agent/agent.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void wk__wire_take(wk__wire *wire, int fd) {
    int yes = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    *wire = (wk__wire){ .fd = fd, .heard_at = wk_now(), .spoke_at = wk_now() };
}

/* Not longer than 2 s: a host that is down answers nothing at all. */
static bool connects(int fd, const struct sockaddr *address, socklen_t size) {
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, address, size) == 0) return true;
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    if (errno != EINPROGRESS) return false;
    if (poll(&wait, 1, 2000) <= 0) {
        errno = ETIMEDOUT;
        return false;
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    errno = error;
    return error == 0;
}

int wk__wire_connect(const char *host, int port) {
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char service[16];
    int fd = -1;
    (void)snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) { /* names of pods appear with the pods */
        errno = EHOSTUNREACH;
        return -1;
    }
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (fd >= 0 && !connects(fd, a->ai_addr, a->ai_addrlen)) {
            int error = errno;
            (void)close(fd);
            errno = error;
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

int wk__wire_listen(int *port) {
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)*port) };
    struct sockaddr_in older = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port) };
    struct sockaddr *any = (struct sockaddr *)&address;
    socklen_t size = sizeof address;
    int yes = 1;
    int no = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    else {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        any = (struct sockaddr *)&older;
        size = sizeof older;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, any, size) == 0 && listen(fd, 1024) == 0 && getsockname(fd, any, &size) == 0) {
        *port = ntohs(any->sa_family == AF_INET6 ? address.sin6_port : older.sin_port);
        return fd;
    }
    int error = errno;
    if (fd >= 0) (void)close(fd);
    errno = error;
    return -1;
}

/* A few bytes into an empty buffer: what does not fit at once meets an end that does not read. */
void wk__wire_say(wk__wire *wire, const char *format, ...) {
    char line[WK__WIRE_ROOM];
    va_list list;
    if (wire->fd < 0 || wire->closed) return;
    va_start(list, format);
    int size = vsnprintf(line, sizeof line - 1, format, list);
    va_end(list);
    if (size < 0) return;
    if (size > WK__WIRE_ROOM - 2) size = WK__WIRE_ROOM - 2;
    for (int i = 0; i < size; i++)
        if (line[i] == '\n') line[i] = ' ';
    line[size] = '\n';
    if (send(wire->fd, line, (size_t)size + 1, MSG_NOSIGNAL | MSG_DONTWAIT) != size + 1) wire->closed = true;
    wire->spoke_at = wk_now();
}

void wk__wire_hear(wk__wire *wire) {
    while (wire->fd >= 0 && !wire->closed && wire->used < sizeof wire->in) {
        ssize_t got = recv(wire->fd, wire->in + wire->used, sizeof wire->in - wire->used, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            wire->closed = true;
            return;
        }
        wire->used += (size_t)got;
        wire->heard_at = wk_now();
    }
}

bool wk__wire_line(wk__wire *wire, char *line) {
    char *end = memchr(wire->in, '\n', wire->used);
    if (!end) {
        if (wire->used == sizeof wire->in) wire->closed = true; /* no agent speaks like that */
        return false;
    }
    size_t size = (size_t)(end - wire->in);
    memcpy(line, wire->in, size);
    line[size] = '\0';
    wire->used -= size + 1;
    memmove(wire->in, end + 1, wire->used);
    return true;
}

void wk__wire_beat(wk__wire *wire, double silence) {
    if (wire->fd < 0) return;
    if (wk_now() - wire->spoke_at >= 1) wk__wire_say(wire, "beat");
    if (wk_now() - wire->heard_at > silence) wire->closed = true;
}

void wk__wire_close(wk__wire *wire) {
    if (wire->fd >= 0) (void)close(wire->fd);
    *wire = (wk__wire){ .fd = -1, .closed = true };
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b) {
    if (!b || a->sa_family != b->sa_family) return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr
               == ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    return a->sa_family == AF_INET6
           && memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                     &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, sizeof(struct in6_addr))
                  == 0;
}

bool wk__is_this_host(const char *host) {
    char name[256] = "";
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    struct ifaddrs *interfaces = NULL;
    bool ours = false;
    (void)gethostname(name, sizeof name - 1);
    if (strcmp(host, "localhost") == 0 || strcmp(host, name) == 0) return true;
    if (getaddrinfo(host, NULL, &hints, &found) == 0 && getifaddrs(&interfaces) == 0)
        for (const struct addrinfo *a = found; a; a = a->ai_next)
            for (const struct ifaddrs *i = interfaces; i && !ours; i = i->ifa_next)
                ours = same_address(a->ai_addr, i->ifa_addr);
    if (interfaces) freeifaddrs(interfaces);
    if (found) freeaddrinfo(found);
    return ours;
}
