/* link.c: see link.h.
 *
 * A rank that ends the job says so behind whatever it was sending, and a rank that dies leaves what it had sent to be
 * read.  So whoever finds a connection closed reads on to the end: what stands there is the reason, and if nothing does
 * the rank died.
 */
#include "dist/tcp/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t size_of(const wk__frame *f) {
    return WK__FRAME_BYTES + f->bytes;
}

void wk__link_send(wk__link *l, const wk__frame *frame, const void *out) {
    wk__frame_write(l->out_head, frame);
    l->outgoing = *frame;
    l->out = out;
    l->out_at = 0;
    l->sends = true;
}

void wk__link_receive(wk__link *l, const wk__frame *expected, void *in) {
    l->expected = *expected;
    l->in = in;
    l->in_at = 0;
    l->receives = true;
}

/* ---- the end of a connection ---- */

/* Exactly so many bytes of what has come, thrown away where `to` is NULL; false: they are not there. */
static bool take(const wk__link *l, void *to, uint64_t size) {
    char dump[4096];
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        ssize_t got =
            recv(l->fd, to ? (char *)to + at : dump, to || left < sizeof dump ? left : sizeof dump, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += (uint64_t)got;
    }
    return true;
}

static wk_status fail_ended(const wk__link *l, uint64_t bytes) {
    unsigned char words[WK__ABORT_BYTES + 1] = { 0 };
    char reason[sizeof words];
    if (bytes > WK__ABORT_BYTES || !take(l, words, bytes)) words[0] = 0;
    wk__text_take(reason, words, sizeof reason);
    return wk_fail(WK_RANK_FAILED, "rank %d on %s has ended the job%s%s", l->rank, l->name, *reason ? ": " : "",
                   reason);
}

static wk_status fail_left(const wk__link *l) {
    return wk_fail(WK_RANK_FAILED, "rank %d on %s has left the group, this rank still waits for it", l->rank, l->name);
}

/* The connection is closed: what did the rank say at last? */
static wk_status fail_gone(wk__link *l, int error) {
    wk__frame frame;
    uint64_t rest = 0;
    bool reads = true;
    if (l->receives && l->in_at < WK__FRAME_BYTES)
        reads = take(l, l->in_head + l->in_at, WK__FRAME_BYTES - l->in_at) && wk__frame_read(l->in_head, &frame);
    else if (l->receives)
        frame = (wk__frame){ .kind = WK__FRAME_DATA }, rest = size_of(&l->expected) - l->in_at;
    else
        reads = take(l, l->in_head, WK__FRAME_BYTES) && wk__frame_read(l->in_head, &frame);
    while (reads) {
        if (frame.kind == WK__FRAME_ABORT) return fail_ended(l, frame.bytes);
        reads = take(l, NULL, rest ? rest : frame.bytes) && take(l, l->in_head, WK__FRAME_BYTES)
                && wk__frame_read(l->in_head, &frame);
        rest = 0;
    }
    return wk_fail(WK_RANK_FAILED, "rank %d on %s is gone: its connection %s%s", l->rank, l->name,
                   error ? "failed: " : "was closed", error ? strerror(error) : "");
}

/* ---- going on ---- */

static wk_status go_out(wk__link *l) {
    const uint64_t size = size_of(&l->outgoing);
    while (l->sends) {
        uint64_t head = l->out_at < WK__FRAME_BYTES ? WK__FRAME_BYTES - l->out_at : 0,
                 at = l->out_at + head - WK__FRAME_BYTES;
        struct iovec parts[2] = { { l->out_head + WK__FRAME_BYTES - head, head },
                                  { (char *)(uintptr_t)l->out + at, l->outgoing.bytes - at } };
        struct msghdr message = { .msg_iov = head ? parts : parts + 1, .msg_iovlen = head ? 2 : 1 };
        ssize_t sent = sendmsg(l->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return WK_OK;
        if (sent < 0) return fail_gone(l, errno);
        l->out_at += (uint64_t)sent;
        l->sends = l->out_at < size;
    }
    return WK_OK;
}

/* The head of a message has come whole. */
static wk_status check_head(const wk__link *l) {
    wk__frame f;
    if (!wk__frame_read(l->in_head, &f))
        return wk_fail(WK_RANK_FAILED, "rank %d on %s sends what is no message of a rank", l->rank, l->name);
    if (f.kind == WK__FRAME_ABORT) return fail_ended(l, f.bytes);
    if (f.kind == WK__FRAME_BYE) return fail_left(l);
    if (f.kind == l->expected.kind && f.sequence == l->expected.sequence && f.bytes == l->expected.bytes) return WK_OK;
    return wk_fail(
        WK_RANK_FAILED,
        "rank %d on %s sends %llu bytes as message %u, expected were %llu bytes as message %u: every rank must "
        "call the same collectives with the same shapes in the same order",
        l->rank, l->name, (unsigned long long)f.bytes, f.sequence, (unsigned long long)l->expected.bytes,
        l->expected.sequence);
}

static wk_status go_in(wk__link *l) {
    const uint64_t size = size_of(&l->expected);
    while (l->receives) {
        const bool in_head = l->in_at < WK__FRAME_BYTES;
        char *to = in_head ? (char *)l->in_head + l->in_at : l->in + (l->in_at - WK__FRAME_BYTES);
        ssize_t got = recv(l->fd, to, in_head ? WK__FRAME_BYTES - l->in_at : size - l->in_at, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return WK_OK;
        if (got <= 0) return fail_gone(l, got < 0 ? errno : 0);
        l->in_at += (uint64_t)got;
        if (in_head && l->in_at == WK__FRAME_BYTES) WK_TRY(check_head(l));
        l->receives = l->in_at < size;
    }
    return WK_OK;
}

wk_status wk__link_go(wk__link *l) {
    WK_TRY(go_out(l));
    return go_in(l);
}

/* ---- all of them ---- */

static struct pollfd *watch(const wk__link *links, int count, short events) {
    struct pollfd *fds = wk_alloc((size_t)count * sizeof *fds);
    for (int i = 0; fds && i < count; i++) fds[i] = (struct pollfd){ .fd = links[i].fd, .events = events };
    return fds;
}

/* One that is closed, or whose next words are that it has ended the job or left it. */
static wk_status check_idle(wk__link *l, short events, uint32_t sequence) {
    unsigned char head[WK__FRAME_BYTES];
    wk__frame f;
    if (events & (POLLRDHUP | POLLHUP | POLLERR)) return fail_gone(l, 0);
    if (!(events & POLLIN) || l->receives) return WK_OK;
    if (recv(l->fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)sizeof head || !wk__frame_read(head, &f))
        return WK_OK;
    if (f.kind == WK__FRAME_BYE && f.sequence < sequence) return fail_left(l);
    return f.kind == WK__FRAME_ABORT && take(l, head, sizeof head) ? fail_ended(l, f.bytes) : WK_OK;
}

wk_status wk__links_look(wk__link *links, int count, uint32_t sequence) {
    wk_status status = WK_OK;
    struct pollfd *fds = watch(links, count, POLLIN | POLLRDHUP);
    if (!fds) return WK_NO_MEMORY;
    if (poll(fds, (nfds_t)count, 0) > 0)
        for (int i = 0; i < count && status == WK_OK; i++)
            if (fds[i].revents) status = check_idle(&links[i], fds[i].revents, sequence);
    wk_free(fds);
    return status;
}

/* Until nothing is left to be sent, or the time is over.  Those that fail have their own reasons. */
static void flush(wk__link *links, int count, double end) {
    for (bool left = true; left && wk_now() < end;) {
        left = false;
        for (int i = 0; i < count; i++) {
            if (links[i].fd < 0 || !links[i].sends) continue;
            if (go_out(&links[i]) != WK_OK) links[i].sends = false;
            left = left || links[i].sends;
        }
        if (left) (void)poll(NULL, 0, 2);
    }
}

static void say_to_all(wk__link *links, int count, const wk__frame *frame, const char *text, double end) {
    flush(links, count, end);
    for (int i = 0; i < count; i++)
        if (links[i].fd >= 0 && !links[i].sends) wk__link_send(&links[i], frame, text);
    flush(links, count, end);
}

void wk__links_abort(wk__link *links, int count, const char *reason) {
    size_t size = strlen(reason);
    if (size > WK__ABORT_BYTES) size = WK__ABORT_BYTES;
    say_to_all(links, count, &(wk__frame){ .kind = WK__FRAME_ABORT, .bytes = size }, reason, wk_now() + 0.5);
}

void wk__links_leave(wk__link *links, int count, uint32_t sequence, double seconds) {
    wk__error before = *wk__error_slot(); /* leaving must neither fail nor hide why */
    double end = wk_now() + seconds;
    say_to_all(links, count, &(wk__frame){ .kind = WK__FRAME_BYE, .sequence = sequence }, NULL, end);
    for (int i = 0; i < count; i++) {
        wk__link *l = &links[i];
        wk__frame bye = { .kind = WK__FRAME_BYE };
        while (l->fd >= 0 && wk_now() < end) { /* what was meant for a collective that nobody waits for goes by */
            struct pollfd wait = { .fd = l->fd, .events = POLLIN };
            (void)poll(&wait, 1, 100);
            if (!wait.revents) continue;
            if (!take(l, l->in_head, WK__FRAME_BYTES) || !wk__frame_read(l->in_head, &bye) || bye.kind == WK__FRAME_BYE)
                break;
            if (!take(l, NULL, bye.bytes)) break;
        }
    }
    for (int i = 0; i < count; i++)
        if (links[i].fd >= 0) (void)close(links[i].fd);
    *wk__error_slot() = before;
}
