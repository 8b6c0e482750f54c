/* wick/wick.h: everything that an embedding program needs: libwick. */
#ifndef WICK_WICK_H
#define WICK_WICK_H

#include "wick/autograd.h"
#include "wick/base.h"
#include "wick/device.h"
#include "wick/dist.h"
#include "wick/dlpack.h"
#include "wick/files.h"
#include "wick/inplace.h"
#include "wick/io.h"
#include "wick/lr.h"
#include "wick/models.h"
#include "wick/nn.h"
#include "wick/op.h"
#include "wick/ops.h"
#include "wick/optim.h"
#include "wick/profile.h"
#include "wick/random.h"
#include "wick/step.h"
#include "wick/tensor.h"

#endif
