/* wire.c: see wire.h. */
#include "dist/tcp/wire.h"

#include <string.h>

static const char HELLO[8] = "WICKRANK", ANSWER[8] = "WICKSEAT";
enum { FRAME = 0x574b };

/* ---- numbers ---- */

static unsigned char *put(unsigned char *at, uint64_t value, int size) {
    for (int i = 0; i < size; i++) *at++ = (unsigned char)(value >> 8 * i);
    return at;
}

static uint64_t get(const unsigned char **at, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value |= (uint64_t) * (*at)++ << 8 * i;
    return value;
}

static unsigned char *put_bytes(unsigned char *at, const void *bytes, size_t size) {
    return (unsigned char *)memcpy(at, bytes, size) + size;
}

/* A number below `limit`, or false. */
static bool get_below(const unsigned char **at, uint64_t limit, int *value) {
    uint64_t number = get(at, 4);
    *value = number < limit ? (int)number : 0;
    return number < limit;
}

void wk__text_take(char *to, const unsigned char *from, size_t size) {
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++) to[i] = from[i] < 32 || from[i] > 126 ? '?' : (char)from[i];
    memset(to + i, 0, size - i);
}

/* ---- hello ---- */

void wk__hello_write(unsigned char *bytes, const wk__hello *h) {
    unsigned char *at = put_bytes(bytes, HELLO, sizeof HELLO);
    at = put(at, h->version, 4);
    at = put(at, (uint64_t)h->ranks, 4);
    at = put(at, (uint64_t)h->rank, 4);
    at = put(at, (uint64_t)h->port, 4);
    at = put(at, h->run, 8);
    at = put(at, h->host, 8);
    (void)put_bytes(at, h->name, sizeof h->name);
}

bool wk__hello_begins(const unsigned char *bytes, size_t size) {
    return memcmp(bytes, HELLO, size < sizeof HELLO ? size : sizeof HELLO) == 0;
}

bool wk__hello_read(const unsigned char *bytes, wk__hello *h) {
    const unsigned char *at = bytes + sizeof HELLO;
    *h = (wk__hello){ 0 };
    if (memcmp(bytes, HELLO, sizeof HELLO) != 0) return false;
    h->version = (uint32_t)get(&at, 4);
    if (h->version != WK__WIRE_VERSION) return true;
    if (!get_below(&at, WK__MOST_RANKS + 1, &h->ranks) || !get_below(&at, (uint64_t)h->ranks, &h->rank)
        || !get_below(&at, 65536, &h->port))
        return false;
    h->run = get(&at, 8);
    h->host = get(&at, 8);
    wk__text_take(h->name, at, sizeof h->name);
    return true;
}

/* ---- answer ---- */

void wk__answer_write(unsigned char *bytes, const wk__answer *a) {
    unsigned char *at = put_bytes(bytes, ANSWER, sizeof ANSWER);
    at = put(at, (uint64_t)a->kind, 4);
    at = put(at, (uint64_t)a->ranks, 4);
    memset(at, 0, WK__WORDS_BYTES);
    if (a->kind == WK__SEATS)
        (void)put_bytes(put_bytes(at, a->wishes.way, sizeof a->wishes.way), a->wishes.hosts, sizeof a->wishes.hosts);
    else
        (void)put_bytes(at, a->words, WK__WORDS_BYTES);
}

bool wk__answer_read(const unsigned char *bytes, wk__answer *a) {
    const unsigned char *at = bytes + sizeof ANSWER;
    int kind = 0;
    *a = (wk__answer){ 0 };
    if (memcmp(bytes, ANSWER, sizeof ANSWER) != 0 || !get_below(&at, WK__SEATS + 1, &kind)
        || !get_below(&at, WK__MOST_RANKS + 1, &a->ranks))
        return false;
    a->kind = (wk__answer_kind)kind;
    if (a->kind != WK__SEATS) return wk__text_take(a->words, at, WK__WORDS_BYTES), true;
    wk__text_take(a->wishes.way, at, sizeof a->wishes.way);
    wk__text_take(a->wishes.hosts, at + sizeof a->wishes.way, sizeof a->wishes.hosts);
    return true;
}

/* ---- seat ---- */

void wk__seat_write(unsigned char *bytes, const wk__seat *s) {
    unsigned char *at = put(bytes, (uint64_t)s->family, 4);
    at = put(at, (uint64_t)s->port, 4);
    at = put_bytes(at, s->address, sizeof s->address);
    at = put(at, s->host, 8);
    (void)put_bytes(at, s->name, sizeof s->name);
}

bool wk__seat_read(const unsigned char *bytes, wk__seat *s) {
    const unsigned char *at = bytes;
    *s = (wk__seat){ 0 };
    if (!get_below(&at, 7, &s->family) || !get_below(&at, 65536, &s->port)) return false;
    memcpy(s->address, at, sizeof s->address);
    at += sizeof s->address;
    s->host = get(&at, 8);
    wk__text_take(s->name, at, sizeof s->name);
    return s->family == 0 || s->family == 4 || s->family == 6;
}

/* ---- frame ---- */

void wk__frame_write(unsigned char *bytes, const wk__frame *f) {
    unsigned char *at = put(bytes, FRAME, 2);
    at = put(at, f->kind, 2);
    at = put(at, f->sequence, 4);
    (void)put(at, f->bytes, 8);
}

bool wk__frame_read(const unsigned char *bytes, wk__frame *f) {
    const unsigned char *at = bytes;
    bool good = get(&at, 2) == FRAME;
    f->kind = (uint32_t)get(&at, 2);
    f->sequence = (uint32_t)get(&at, 4);
    f->bytes = get(&at, 8);
    return good && (f->kind != WK__FRAME_ABORT || f->bytes <= WK__ABORT_BYTES)
           && (f->kind != WK__FRAME_BYE || !f->bytes);
}
