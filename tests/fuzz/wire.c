/* wire.c: libFuzzer over what agents say to the rendezvous: three of them whose words are the input, a line each in
 * turn. Sums, rounds and places stay in bounds, and nobody who did not join is heard.
 *
 * The rendezvous' own thread would make every input take milliseconds; its steps are called instead.
 */
#include "../../src/launcher/agent/rendezvous.c"

#include <stdlib.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { AGENTS = 3 };

static void enter(wk__rendezvous *r, int ends[2]) {
    member *m = wk_alloc(sizeof *m);
    if (!m || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) abort();
    wk__wire_take(&m->wire, ends[0]);
    r->members[r->count++] = m;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk__rendezvous r = { .options = { .id = "job", .min_nodes = 1, .max_nodes = 2, .max_restarts = 1, .silence = 60 } };
    r.options.join_timeout = r.options.rejoin_timeout = 60;
    int ends[AGENTS][2];
    member *room[AGENTS];
    r.members = room;
    r.room = AGENTS;
    r.options.fixed = size % 2;
    gather(&r);
    for (size_t i = 0; i < AGENTS; i++) enter(&r, ends[i]);
    for (size_t turn = 0; size > 0; turn++) {
        const uint8_t *newline = memchr(bytes, '\n', size);
        const size_t line = newline ? (size_t)(newline - bytes) + 1 : size;
        (void)!send(ends[turn % AGENTS][1], bytes, line, MSG_NOSIGNAL | MSG_DONTWAIT);
        for (size_t i = 0; i < r.count; i++) listen_to(&r, r.members[i]);
        bury(&r);
        if (r.phase != OVER) advance(&r);
        bytes += line;
        size -= line;
    }
    for (size_t i = 0; i < r.count; i++) {
        if (r.members[i]->in_round && !r.members[i]->joined) abort();
        wk__wire_close(&r.members[i]->wire);
        wk_free(r.members[i]);
    }
    for (size_t i = 0; i < AGENTS; i++) (void)close(ends[i][1]);
    return 0;
}
