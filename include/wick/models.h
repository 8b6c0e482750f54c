/* wick/models.h: models of the literature, each one file of src/models that reads from top to bottom.
 *
 * Options whose zero is the published network.  Parameter names, their order and (equal seeds) their initial values are
 * those of the implementation that each docstring names, so its checkpoints load by name.  All return a module that
 * the caller destroys, or NULL with an error pending.
 */
#ifndef WICK_MODELS_H
#define WICK_MODELS_H

#include "wick/models/generative.h"
#include "wick/models/image.h"
#include "wick/models/sequence.h"

#endif
