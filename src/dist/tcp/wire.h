/* wire.h: what ranks say to each other over TCP, byte by byte (little-endian).
 *
 *   hello    a rank to rank 0, and to each rank below it: who it is and which run it belongs to
 *   answer   rank 0 to a rank: go away, or come again, and why; or what rank 0 wishes, and `ranks` seats follow
 *   seat     where a rank is
 *   frame    before each message later on
 *
 * Whatever comes in is taken for a stranger's: the readers look at fixed sizes alone, refuse numbers that cannot be,
 * and make text printable.
 */
#ifndef WICK_SRC_DIST_TCP_WIRE_H
#define WICK_SRC_DIST_TCP_WIRE_H

#include "dist/route.h"

enum {
    WK__WIRE_VERSION = 1,
    WK__MOST_RANKS = 65536,
    WK__NAME_BYTES = 64,
    WK__WORDS_BYTES = 240,
    WK__HELLO_BYTES = 40 + WK__NAME_BYTES,
    WK__ANSWER_BYTES = 16 + WK__WORDS_BYTES,
    WK__SEAT_BYTES = 32 + WK__NAME_BYTES,
    WK__FRAME_BYTES = 16,
    WK__ABORT_BYTES = 1000 /* of a reason, at most */
};

typedef struct wk__hello {
    uint32_t version; /* of another one nothing else is known */
    int ranks, rank, port /* where those above it reach it */;
    uint64_t run, host; /* hashes: of the run, its role, its attempt; of the machine */
    char name[WK__NAME_BYTES];
} wk__hello;

typedef enum wk__answer_kind { WK__COME_AGAIN, WK__GO_AWAY, WK__SEATS } wk__answer_kind;

typedef struct wk__answer {
    wk__answer_kind kind;
    int ranks;                   /* so many seats follow */
    char words[WK__WORDS_BYTES]; /* why not */
    wk_wishes wishes;            /* WK__SEATS */
} wk__answer;

typedef struct wk__seat {
    int family; /* 4, 6, or 0: the address at which rank 0 is */
    int port;
    unsigned char address[16];
    uint64_t host;
    char name[WK__NAME_BYTES];
} wk__seat;

/* DATA + n: of the n-th exchange of the ranks; the others end a connection. */
typedef enum wk__frame_kind { WK__FRAME_ABORT, WK__FRAME_BYE, WK__FRAME_DATA } wk__frame_kind;

typedef struct wk__frame {
    uint32_t kind, sequence;
    uint64_t bytes; /* that follow */
} wk__frame;

void wk__hello_write(unsigned char *bytes /* (WK__HELLO_BYTES) */, const wk__hello *hello);
void wk__answer_write(unsigned char *bytes /* (WK__ANSWER_BYTES) */, const wk__answer *answer);
void wk__seat_write(unsigned char *bytes /* (WK__SEAT_BYTES) */, const wk__seat *seat);
void wk__frame_write(unsigned char *bytes /* (WK__FRAME_BYTES) */, const wk__frame *frame);

/* False: no rank of this library says that. */
WK_API bool wk__hello_read(const unsigned char *bytes, wk__hello *hello);
WK_API bool wk__answer_read(const unsigned char *bytes, wk__answer *answer);
WK_API bool wk__seat_read(const unsigned char *bytes, wk__seat *seat);
WK_API bool wk__frame_read(const unsigned char *bytes, wk__frame *frame);
/* Whether so many bytes, fewer than a hello has, can be the beginning of one. */
bool wk__hello_begins(const unsigned char *bytes, size_t size);
/* Copy text of unknown origin: it ends, and has no control characters. */
void wk__text_take(char *to /* (size) */, const unsigned char *from /* (size) */, size_t size);

#endif
