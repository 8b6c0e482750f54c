/* wick/models/image.h: networks that see images, (N, C, H, W). */
#ifndef WICK_MODELS_IMAGE_H
#define WICK_MODELS_IMAGE_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif
#endif
