/* offer.c: a file server with one file.  A thread answers one request after the other; whoever is silent for ten
 * seconds is left, so that nobody can hold it up. */
#include "launcher/net/offer.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_REQUEST = 8192, SILENCE = 10 /* seconds */ };

struct wk__offer {
    int file, listener; /* -1: none */
    off_t size;
    char name[128];
    atomic_bool over;
    bool has_thread;
    pthread_t thread;
};

/* ---- answers ---- */

static bool send_all(int to, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t sent = send(to, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

static void send_file(const wk__offer *o, int to) {
    for (off_t at = 0; at < o->size && !atomic_load(&o->over);) {
        const off_t left = o->size - at;
        if (sendfile(to, o->file, &at, left < (1 << 20) ? (size_t)left : (size_t)1 << 20) <= 0) return;
    }
}

/* "GET /NAME HTTP/1.1"; nothing else is here. */
static void answer(const wk__offer *o, int to, const char *request) {
    char wanted[160], header[200];
    const bool is_head = strncmp(request, "HEAD ", 5) == 0;
    (void)snprintf(wanted, sizeof wanted, "/%s HTTP/1.", o->name);
    const char *path = is_head ? request + 5 : strncmp(request, "GET ", 4) == 0 ? request + 4 : "";
    if (strncmp(path, wanted, strlen(wanted)) != 0) {
        static const char nothing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        (void)send_all(to, nothing, sizeof nothing - 1);
        return;
    }
    (void)snprintf(header, sizeof header,
                   "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %lld\r\n"
                   "Connection: close\r\n\r\n",
                   (long long)o->size);
    if (send_all(to, header, strlen(header)) && !is_head) send_file(o, to);
}

static void serve_one(const wk__offer *o, int to) {
    const struct timeval patience = { .tv_sec = SILENCE };
    char request[LONGEST_REQUEST + 1];
    size_t size = 0;
    (void)setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(to, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    request[0] = '\0';
    while (size < LONGEST_REQUEST && !strstr(request, "\r\n\r\n")) {
        ssize_t got = recv(to, request + size, LONGEST_REQUEST - size, 0);
        if (got <= 0) return;
        size += (size_t)got;
        request[size] = '\0';
    }
    answer(o, to, request);
    (void)shutdown(to, SHUT_WR);
}

static void *serve(void *context) {
    wk__offer *o = context;
    while (!atomic_load(&o->over)) {
        struct pollfd waiting = { .fd = o->listener, .events = POLLIN };
        if (poll(&waiting, 1, 100) <= 0) continue;
        int to = accept4(o->listener, NULL, NULL, SOCK_CLOEXEC);
        if (to < 0) continue;
        serve_one(o, to);
        (void)close(to);
    }
    return NULL;
}

/* ---- opening ---- */

/* The address of this machine from which host:port is reached; no packet is sent. */
static bool own_address(const char *host, const char *port, struct sockaddr_storage *own, socklen_t *size) {
    const struct addrinfo wish = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
    struct addrinfo *found = NULL;
    bool good = false;
    const int error = getaddrinfo(host, port, &wish, &found);
    if (error) (void)wk_fail(WK_IO, "%s: %s", host, gai_strerror(error));
    for (const struct addrinfo *at = found; at && !good; at = at->ai_next) {
        int probe = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        *size = sizeof *own;
        good = probe >= 0 && connect(probe, at->ai_addr, at->ai_addrlen) == 0
               && getsockname(probe, (struct sockaddr *)own, size) == 0;
        if (probe >= 0) (void)close(probe);
    }
    if (found) freeaddrinfo(found);
    if (!good && !error) (void)wk_fail(WK_IO, "%s port %s: no way there: %s", host, port, strerror(errno));
    return good;
}

static void set_port(struct sockaddr_storage *address, int port) {
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)address)->sin_port = htons((uint16_t)port);
}

static bool listen_at(wk__offer *o, struct sockaddr_storage *address, socklen_t size, int port, char *url,
                      size_t room) {
    const int yes = 1;
    char host[64], service[16];
    set_port(address, port);
    o->listener = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (o->listener >= 0) (void)setsockopt(o->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (o->listener < 0 || bind(o->listener, (struct sockaddr *)address, size) != 0 || listen(o->listener, 8) != 0
        || getsockname(o->listener, (struct sockaddr *)address, &size) != 0
        || getnameinfo((struct sockaddr *)address, size, host, sizeof host, service, sizeof service,
                       NI_NUMERICHOST | NI_NUMERICSERV)
               != 0) {
        (void)wk_fail(WK_IO, "port %d, where the model would be fetched: %s", port, strerror(errno));
        return false;
    }
    const bool is_six = strchr(host, ':') != NULL;
    (void)snprintf(url, room, "http://%s%s%s:%s/%s", is_six ? "[" : "", host, is_six ? "]" : "", service, o->name);
    return true;
}

static bool open_file(wk__offer *o, const char *path) {
    struct stat info;
    o->file = open(path, O_RDONLY | O_CLOEXEC);
    if (o->file < 0 || fstat(o->file, &info) != 0) {
        (void)wk_fail(WK_IO, "%s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(info.st_mode)) {
        (void)wk_fail(WK_IO, "%s: not a file", path);
        return false;
    }
    o->size = info.st_size;
    return true;
}

wk__offer *wk__offer_open(const char *path, const char *name, const char *host, const char *port, int own_port,
                          char *url, size_t size) {
    struct sockaddr_storage own = { 0 };
    socklen_t length = 0;
    wk__offer *o = wk_alloc(sizeof *o);
    if (!o) return NULL;
    o->file = o->listener = -1;
    (void)snprintf(o->name, sizeof o->name, "%s", name);
    if (open_file(o, path) && own_address(host, port, &own, &length)
        && listen_at(o, &own, length, own_port, url, size)) {
        o->has_thread = pthread_create(&o->thread, NULL, serve, o) == 0;
        if (o->has_thread) return o;
        (void)wk_fail(WK_IO, "no thread for the model's server");
    }
    wk__offer_close(o);
    return NULL;
}

void wk__offer_close(wk__offer *o) {
    if (!o) return;
    atomic_store(&o->over, true);
    if (o->has_thread) (void)pthread_join(o->thread, NULL);
    if (o->listener >= 0) (void)close(o->listener);
    if (o->file >= 0) (void)close(o->file);
    wk_free(o);
}
