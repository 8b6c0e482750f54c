/* events.h: what the files that log to TensorBoard share. */
#ifndef WICK_SRC_TRAIN_EVENTS_H
#define WICK_SRC_TRAIN_EVENTS_H

#include "train/run.h"

/* Records to the run's event file; the text is freed. */
wk_status wk__put_events(wk_trainer *trainer, wk_text *records);
/* A tensor's elements in order, in f32, for as long as the scope that is open; NULL with an error pending. */
const float *wk__as_floats(wk_tensor *tensor);
/* A tag as one name of a file: "val/psnr" is "val%2fpsnr".  To be freed. */
char *wk__tag_file_name(const char *tag);

#endif
