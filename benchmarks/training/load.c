/* load.c: every tensor of a safetensors file into memory that is there, as a model's parameters; prints GB/s.
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

enum { MOST = 1024 };

/* Memory for what the file holds, as a model that begins has it. */
static int make_room(wk_safetensors *file, wk_tensor *tensor[MOST], const char *name[MOST]) {
    const int count = wk_safetensors_count(file);
    for (int i = 0; i < count && i < MOST && !wk_failed(); i++) {
        const wk_tensor *stored = wk_safetensors_get(file, wk_safetensors_name(file, i));
        name[i] = wk_safetensors_name(file, i);
        tensor[i] = stored ? wk_kept_zeros(wk_dtype_get(stored), wk_dims_get(stored)) : NULL;
    }
    return count < MOST ? count : MOST;
}

int main(int argc, char **argv) {
    static wk_tensor *tensor[MOST];
    static const char *name[MOST];
    wk_scope scope = wk_scope_begin();
    wk_safetensors *shapes = argc == 2 ? wk_safetensors_open(argv[1]) : NULL;
    if (!shapes) return wk_failed() ? (int)wk_report(stderr) : 2;
    const int count = make_room(shapes, tensor, name);
    double bytes = 0;
    for (int i = 0; i < count && tensor[i]; i++)
        bytes += (double)wk_count(tensor[i]) * (double)wk_dtype_size(wk_dtype_get(tensor[i]));
    const double began = seconds();
    wk_safetensors *file = wk_safetensors_open(argv[1]);
    if (file) (void)wk_load_named(file, "", (wk_named_tensors){ tensor, name, count }, "the file");
    wk_safetensors_close(file);
    (void)printf("%.3f\n", bytes / (seconds() - began) / 1e9);
    wk_safetensors_close(shapes);
    for (int i = 0; i < count; i++) wk_release(tensor[i]);
    wk_scope_end(scope);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}
