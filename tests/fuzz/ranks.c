/* ranks.c: libFuzzer over what strangers may say to ranks that meet over TCP: the readers, and what they promise. */
#include "dist/tcp/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

static void must_be_text(const char *text, size_t size) {
    must(memchr(text, '\0', size) != NULL);
    for (; *text; text++) must(*text >= 32 && *text < 127);
}

static void read_hello(const unsigned char *bytes) {
    wk__hello h;
    if (!wk__hello_read(bytes, &h) || h.version != WK__WIRE_VERSION) return;
    must(h.ranks > 0 && h.ranks <= WK__MOST_RANKS && h.rank >= 0 && h.rank < h.ranks && h.port >= 0 && h.port < 65536);
    must_be_text(h.name, sizeof h.name);
}

static void read_answer(const unsigned char *bytes) {
    wk__answer a;
    wk_hosts hosts = { .ranks = 4, .hosts = 2, .host_ranks = 2, .is_even = true };
    wk_way way;
    bool is_free;
    int number = 1;
    if (!wk__answer_read(bytes, &a)) return;
    must(a.ranks >= 0 && a.ranks <= WK__MOST_RANKS);
    must_be_text(a.words, sizeof a.words);
    must_be_text(a.wishes.way, sizeof a.wishes.way);
    must_be_text(a.wishes.hosts, sizeof a.wishes.hosts);
    if (wk__wishes_hosts(&a.wishes, &number) == WK_OK) must(number > 0);
    if (wk__wishes_way(&a.wishes, &hosts, &way, &is_free) == WK_OK) must(way < WK_WAYS);
    wk_clear_error();
}

static void read_seat(const unsigned char *bytes) {
    wk__seat s;
    if (!wk__seat_read(bytes, &s)) return;
    must((s.family == 0 || s.family == 4 || s.family == 6) && s.port >= 0 && s.port < 65536);
    must_be_text(s.name, sizeof s.name);
}

static void read_frame(const unsigned char *bytes) {
    wk__frame f;
    if (!wk__frame_read(bytes, &f)) return;
    must(f.kind != WK__FRAME_ABORT || f.bytes <= WK__ABORT_BYTES);
    must(f.kind != WK__FRAME_BYE || f.bytes == 0);
}

/* Each reader looks at so many bytes, which end where the memory does. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const struct {
        size_t size;
        void (*read)(const unsigned char *);
    } readers[] = { { WK__HELLO_BYTES, read_hello },
                    { WK__ANSWER_BYTES, read_answer },
                    { WK__SEAT_BYTES, read_seat },
                    { WK__FRAME_BYTES, read_frame } };
    for (size_t i = 0; i < WK_COUNT(readers); i++) {
        unsigned char *exact = size >= readers[i].size ? malloc(readers[i].size) : NULL;
        if (!exact) continue;
        memcpy(exact, bytes, readers[i].size);
        readers[i].read(exact);
        free(exact);
    }
    return 0;
}
