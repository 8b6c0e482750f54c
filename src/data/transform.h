/* transform.h: what the files of transforms share. */
#ifndef WICK_SRC_DATA_TRANSFORM_H
#define WICK_SRC_DATA_TRANSFORM_H

#include "base/base.h"
#include "wick/data/transform.h"

/* The values of each byte, (value / 255 − mean) / deviation, where the transform is a normalisation: values are made
 * and normalised in one pass.  (channels, 256); NULL for another transform. */
const float *wk__normalise_table(const wk_transform *transform, int64_t channel);
/* A transform of `size` pixels is possible. */
wk_status wk__transform_size(const char *name, int64_t height, int64_t width);
wk_status wk__transform_range(const char *name, const char *what, const double range[2], double least, double most);
wk_status wk__transform_chance(const char *name, double p);

/* A rectangle drawn as torchvision draws them: a part of the area, the ratio of its sides uniform in logarithms. */
typedef struct wk__rectangle {
    double scale[2], ratio[2];
} wk__rectangle;
void wk__rectangle_draw(const wk__rectangle *r, double area, wk_draws *draws, double *part, double *aspect);

#endif
