/* event_file.h: TensorBoard event files. */
#ifndef WICK_SRC_IO_EVENT_FILE_H
#define WICK_SRC_IO_EVENT_FILE_H

#include "base/base.h"

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
/* event_kinds.c.  Text under TAG/text_summary; a histogram of f64 values, in TensorBoard's buckets; an image of
 * (height, width, channels) bytes, 1, 3 or 4 channels, as PNG. */
WK_API void wk__event_text(wk_text *out, double wall_time, int64_t step, const char *tag, const char *text);
WK_API void wk__event_histogram(wk_text *out, double wall_time, int64_t step, const char *tag, const double *values,
                                int64_t count);
WK_API wk_status wk__event_image(wk_text *out, double wall_time, int64_t step, const char *tag,
                                 const unsigned char *pixels, int height, int width, int channels);
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
/* Add records that were encoded; the text is freed. */
WK_API wk_status wk__event_file_put(wk__event_file *file, wk_text *records);

/* What encoders are made of: protobuf fields, a summary of one value as a record, a record of any event. */
void wk__proto_little(wk_text *out, uint64_t value, int bytes);
void wk__proto_varint(wk_text *out, uint64_t value);
void wk__proto_bytes(wk_text *out, int field, const char *bytes, size_t size);
void wk__proto_double(wk_text *out, int field, double value);
void wk__proto_float(wk_text *out, int field, float value);
void wk__event_summary(wk_text *out, double wall_time, int64_t step, const wk_text *value);
void wk__event_record(wk_text *out, const wk_text *data);

WK_API uint32_t wk__crc32c(const void *bytes, size_t size);

#endif
