/* pretrained.h: folders in Hugging Face's layout. */
#ifndef WICK_SRC_TASKS_PRETRAINED_H
#define WICK_SRC_TASKS_PRETRAINED_H

#include "tasks/tasks.h"
#include "wick/tasks.h"

#include <jansson.h>

/* config.json; to be given to json_decref. */
json_t *wk__pretrained_config(const char *folder);

#endif
