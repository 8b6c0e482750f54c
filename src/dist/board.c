/* board.c: a page of shared memory, one row a rank.
 *
 * A rank that waits in a collective cannot know over the transport who is missing.  Ranks of one host share this page
 * under the job's name; ranks elsewhere are simply not on it.
 */
#include "dist/board.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct row {
    _Atomic uint64_t sequence; /* 0: not on this host */
    _Atomic int64_t bytes;
    _Atomic int64_t stirred; /* milliseconds on the clock of this host */
    char what[32];
} row;

struct wk__board {
    row *rows;
    size_t size;
    int rank, ranks;
    char *name;
};

/* The same string on every rank of a job and on no other: roles of one app are jobs of their own, and so are rounds of
 * an agent, which give rank 0 another port. */
static char *job_name(void) {
    static const char *const keys[] = { "WICK_APP_ID", "PMIX_NAMESPACE", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID" };
    static const char *const more[] = { "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT" };
    for (size_t i = 0; i < WK_COUNT(keys); i++) {
        const char *value = getenv(keys[i]);
        uint64_t hash = 0;
        if (!value || !*value) continue;
        for (size_t k = 0; k < WK_COUNT(more); k++) {
            const char *part = getenv(more[k]);
            hash = wk__hash(wk__hash(hash, part ? part : ""), "/");
        }
        char *name = wk_format("/wick-%ld-%.100s-%016llx", (long)getuid(), value, (unsigned long long)hash);
        for (char *at = name ? name + 1 : NULL; at && *at; at++)
            if (*at == '/') *at = '_';
        return name;
    }
    return NULL;
}

wk__board *wk__board_open(int rank, int ranks) {
    if (ranks < 2) return NULL;
    wk__board *board = wk_alloc(sizeof *board);
    if (!board) {
        wk_clear_error();
        return NULL;
    }
    board->name = job_name();
    board->rank = rank;
    board->ranks = ranks;
    board->size = (size_t)ranks * sizeof(row);
    int descriptor = board->name ? shm_open(board->name, O_CREAT | O_RDWR | O_CLOEXEC, 0600) : -1;
    void *memory = MAP_FAILED;
    if (descriptor >= 0 && ftruncate(descriptor, (off_t)board->size) == 0)
        memory = mmap(NULL, board->size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (descriptor >= 0) (void)close(descriptor);
    if (memory == MAP_FAILED) {
        wk_free(board->name);
        wk_free(board);
        return NULL;
    }
    board->rows = memory;
    /* An earlier job of this name may have died before it took the page away. */
    atomic_store(&board->rows[rank].sequence, 0);
    return board;
}

void wk__board_unlink(wk__board *board) {
    if (board) (void)shm_unlink(board->name);
}

void wk__board_close(wk__board *board) {
    if (!board) return;
    (void)munmap(board->rows, board->size);
    (void)shm_unlink(board->name);
    wk_free(board->name);
    wk_free(board);
}

void wk__board_begin(wk__board *board, uint64_t sequence, const char *what, int64_t bytes) {
    if (!board) return;
    row *r = &board->rows[board->rank];
    (void)snprintf(r->what, sizeof r->what, "%s", what);
    atomic_store(&r->bytes, bytes);
    atomic_store(&r->sequence, sequence);
}

void wk__board_stir(wk__board *board) {
    if (board) atomic_store(&board->rows[board->rank].stirred, (int64_t)(1e3 * wk_now()));
}

/* A process that was stopped inside a collective has joined it, and still it is the one to name. */
static const double STILL_SECONDS = 1.7;

bool wk__board_laggards(const wk__board *board, uint64_t sequence, wk_text *text) {
    bool any = false;
    for (int i = 0; board && i < board->ranks; i++) {
        const row *r = &board->rows[i];
        uint64_t at = atomic_load(&r->sequence);
        double still = wk_now() - 1e-3 * (double)atomic_load(&r->stirred);
        if (i == board->rank || at == 0 || (at >= sequence && still < STILL_SECONDS)) continue;
        wk_text_printf(text, "%srank %d (last: %s %llu, %.3g MB", any ? ", " : "", i, r->what, (unsigned long long)at,
                       1e-6 * (double)atomic_load(&r->bytes));
        if (still >= STILL_SECONDS) wk_text_printf(text, "; its process has not run for %.0f s", still);
        wk_text_puts(text, ")");
        any = true;
    }
    return any;
}
