/* load.c: every tensor of a safetensors file into memory of one's own; prints GB/s.
 *
 *   load FILE
 */
#define _POSIX_C_SOURCE 200809L
#include <wick/io.h>
#include <wick/wick.h>

#include <stdio.h>
#include <time.h>

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    const double began = seconds();
    double bytes = 0;
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = argc == 2 ? wk_safetensors_open(argv[1]) : NULL;
    for (int i = 0; file && i < wk_safetensors_count(file); i++) {
        const wk_tensor *tensor = wk_safetensors_get(file, wk_safetensors_name(file, i));
        if (tensor) bytes += (double)wk_count(tensor) * (double)wk_dtype_size(wk_dtype_get(tensor));
    }
    wk_safetensors_close(file);
    (void)printf("%.3f\n", bytes / (seconds() - began) / 1e9);
    wk_scope_end(scope);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}
