/* list.c: the loggers by name. */
#include "train/loggers/text.h"

#include "train/builtin.h"

const wk_logger_entry wk__builtin_loggers[] = {
    { { "csv", "as Lightning's CSVLogger", wk__csv_args }, wk__csv_build },
    { { "jsonl", "a line of JSON a row", wk__jsonl_args }, wk__jsonl_build },
    { { "tensorboard", "as Lightning's TensorBoardLogger, with hyperparameters", wk__tensorboard_args },
      wk__tensorboard_build },
    { { NULL, NULL, NULL }, NULL },
};
