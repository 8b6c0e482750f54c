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
WK_API uint32_t wk__crc32c(const void *bytes, size_t size);

#endif
