/* A report while memory runs out: an error each time, nothing kept, and the page there was stays. */
#include "support/allocator.h"
#include "support/program.h"
#include "train/report/report.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[400];

static void put(const char *name, const char *text) {
    char path[500];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    write_bytes(path, text, strlen(text));
}

Test(reports_fault, every_request_for_memory_may_fail) {
    long k = 0, held;
    char path[500], *page, *again;
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("reports_fault"));
    (void)snprintf(path, sizeof path, "%s/report.html", folder);
    put("config.yaml", "model: { name: mlp }\ntrainer: { max_epochs: 2 }\n");
    put("metrics.csv", "step,epoch,train_loss,val_loss,images_per_second\n5,1,2,1.5,100\n10,2,1,0.5,120\n");
    put("log.txt", "epoch 1/2\ndone in 0:01\n");
    put("run.json", "{\"state\": \"done\", \"started\": 1, \"summary\": \"Linear\", \"ranks\": 1}");
    put("evaluation.json",
        "{\"classes\": [\"a\", \"<b>\"], \"matrix\": [[3, 1], [0, 2]], \"samples\": "
        "[{\"item\": 0, \"target\": 0, \"predicted\": 1, \"probability\": 0.75, \"image\": \"AAAA\"}]}");
    cr_assert_eq(wk__report_write(folder), WK_OK, "%s", wk_message());
    page = read_bytes(path, NULL);
    cr_assert_not_null(strstr(page, "&lt;b&gt;"));
    allocator_watch();
    held = allocator_held();
    for (bool came = true; came; k++) {
        allocator_fail_at(k + 1);
        wk_status status = wk__report_write(folder);
        came = allocator_has_failed();
        allocator_fail_at(0);
        cr_assert_eq(status == WK_OK, !came, "request %ld: %s", k + 1, wk_message());
        cr_assert_eq(wk_error_code(), came ? WK_NO_MEMORY : WK_OK, "request %ld: %s", k + 1, wk_message());
        wk_clear_error();
        cr_assert_eq(allocator_held(), held, "request %ld leaves %ld blocks", k + 1, allocator_held() - held);
    }
    cr_expect_gt(k, 40);
    again = read_bytes(path, NULL);
    cr_expect_str_eq(again, page);
    free(again);
    free(page);
    remove_folder(folder);
}
