/* event_file.h: TensorBoard event files. */
#ifndef WICK_SRC_IO_EVENT_FILE_H
#define WICK_SRC_IO_EVENT_FILE_H

#include "base/base.h"
#include "wick/tensor.h"

typedef struct wk__event_file wk__event_file;
/* A new file `events.out.tfevents.TIME.HOST.PID.N` in the folder. */
WK_API wk__event_file *wk__event_file_open(const char *folder);
WK_API wk_status wk__event_file_scalar(wk__event_file *file, double wall_time, int64_t step, const char *tag,
                                       float value);
/* What was written for later steps by a run that died is void: TensorBoard drops it. */
WK_API wk_status wk__event_file_restart(wk__event_file *file, double wall_time, int64_t step);
WK_API wk_status wk__event_file_flush(wk__event_file *file);
WK_API void wk__event_file_close(wk__event_file *file);

/* The encoders, for tests: one record (length, checksums, data) with an event inside is added to the text. */
WK_API void wk__event_version(wk_text *out, double wall_time);
WK_API void wk__event_scalar(wk_text *out, double wall_time, int64_t step, const char *tag, float value);
/* event_kinds.c.  Text under TAG/text_summary; a histogram of f64 values, in TensorBoard's buckets. */
WK_API void wk__event_text(wk_text *out, double wall_time, int64_t step, const char *tag, const char *text);
WK_API void wk__event_histogram(wk_text *out, double wall_time, int64_t step, const char *tag, const double *values,
                                int64_t count);
/* The pr_curves plug-in: `thresholds` (2 to 127) points, each (thresholds) row of numbers: true and false positives,
 * true and false negatives, precision, recall. */
enum { WK__PR_ROWS = 6, WK__PR_MOST = 127 };
WK_API void wk__event_pr_curve(wk_text *out, double wall_time, int64_t step, const char *tag,
                               const float *rows /* (WK__PR_ROWS, thresholds) */, int thresholds);
/* The custom_scalars plug-in: charts on one page, each with the tags that match its pattern. */
typedef struct wk__board_chart {
    const char *category, *title, *tag; /* a regular expression; charts of a category follow each other */
} wk__board_chart;
WK_API void wk__event_layout(wk_text *out, double wall_time, const wk__board_chart *charts, int count);
/* The hparams plug-in: what was chosen, numbers as numbers; the metrics to show beside it; and how the run ended. */
typedef struct wk__hparam {
    const char *name, *value;
    enum { WK__HPARAM_TEXT, WK__HPARAM_BOOL, WK__HPARAM_NUMBER } kind;
} wk__hparam;
WK_API void wk__event_hparams(wk_text *out, double wall_time, const wk__hparam *hparams, int count,
                              const char *const *metrics, int n_metrics);
typedef enum wk__session { WK__SESSION_SUCCESS = 1, WK__SESSION_FAILURE, WK__SESSION_RUNNING } wk__session;
WK_API void wk__event_session_end(wk_text *out, double wall_time, wk__session status);
/* event_media.c.  An image of (height, width, channels) bytes, 1, 3 or 4 channels, as PNG; sound of (frames, channels)
 * samples at `rate` Hz, -1 to 1 (what is beyond is cut off), as WAV of 16 bits. */
WK_API wk_status wk__event_image(wk_text *out, double wall_time, int64_t step, const char *tag,
                                 const unsigned char *pixels, int height, int width, int channels);
WK_API void wk__event_audio(wk_text *out, double wall_time, int64_t step, const char *tag, const float *samples,
                            int64_t frames, int channels, int rate);
/* The mesh plug-in: points and, unless NULL, triangles of them and the points' colours, as floats (batch, n, 3); and
 * how Three.js shall show them, JSON. */
typedef struct wk__mesh {
    const float *points, *faces, *colours;
    int64_t batch, n_points, n_faces;
    const char *config;
} wk__mesh;
WK_API void wk__event_mesh(wk_text *out, double wall_time, int64_t step, const char *tag, const wk__mesh *mesh);
/* event_graph.c.  A graph for the page of that name, whose nodes are grouped by what their names have before each "/":
 * names are unlike each other, inputs are names of nodes. */
typedef struct wk__graph_part {
    const char *name, *op;
    const char *const *input;
    int inputs;
    const wk_dims *shape; /* of its results */
    int shapes;
} wk__graph_part;
WK_API void wk__event_graph(wk_text *out, double wall_time, const wk__graph_part *parts, int count);
/* Add records that were encoded; the text is freed. */
WK_API wk_status wk__event_file_put(wk__event_file *file, wk_text *records);

/* What encoders are made of: a record of any event; of one with a summary of one value, which is freed; what a value
 * has for a plug-in, whose `content` (NULL: none) is freed, and as a tensor of floats; a TensorShapeProto. */
void wk__event_record(wk_text *out, const wk_text *event);
void wk__event_summary(wk_text *out, double wall_time, int64_t step, wk_text *value);
void wk__event_metadata(wk_text *value, const char *plugin, wk_text *content);
void wk__event_floats(wk_text *value, const float *numbers, wk_dims sizes);
void wk__event_shape(wk_text *out, int field, wk_dims sizes);

WK_API uint32_t wk__crc32c(const void *bytes, size_t size);

#endif
