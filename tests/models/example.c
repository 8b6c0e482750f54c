/* example.c: examples/char_lstm learns, from a text of this tree. */
#define WK_NO_CALL_SITES
#include "support/program.h"
#include "wick/base.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(example, char_lstm_learns_a_text) {
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("char_lstm"));
    program p = start(folder,
                      (char *[]){ (char *)WICK_CHAR_LSTM, (char *)WICK_SOURCE_DIR "/docs/architecture.md", (char *)"60",
                                  (char *)"40", NULL },
                      (char *[]){ (char *)"OMP_NUM_THREADS=1", NULL });
    cr_assert_eq(finish(&p, 100), 0);
    char *said = read_bytes(p.out, NULL);
    cr_assert_not_null(said);
    double losses[3];
    const char *at = said;
    for (int i = 0; i < 3; i++) {
        at = strstr(at, " loss ");
        cr_assert_not_null(at, "%s", said);
        losses[i] = strtod(at += 6, NULL);
    }
    cr_expect(losses[0] > 5 && losses[2] < 3.5, "%s", said);
    const char *last_line = strchr(at, '\n');
    cr_expect(last_line && strlen(last_line + 1) > 1, "%s", said);
    free(said);
    remove_folder(folder);
}
