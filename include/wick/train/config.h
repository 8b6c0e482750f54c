/* wick/train/config.h: one mapping of a run's file, read by whoever is built from it.
 *
 * Look-ups are typed.  A member of another type or out of range is a pending error with file, line and column, and the
 * look-up gives `otherwise`: a builder reads all it needs and asks wk_failed() once.
 */
#ifndef WICK_TRAIN_CONFIG_H
#define WICK_TRAIN_CONFIG_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_config wk_config;
/* The member's value, or `otherwise` where it is missing or null. */
WK_API int64_t wk_config_int(const wk_config *config, const char *key, int64_t least, int64_t most, int64_t otherwise);
WK_API double wk_config_double(const wk_config *config, const char *key, double least, double most, double otherwise);
WK_API bool wk_config_bool(const wk_config *config, const char *key, bool otherwise);
/* Belongs to the configuration. */
WK_API const char *wk_config_string(const wk_config *config, const char *key, const char *otherwise);
WK_API bool wk_config_has(const wk_config *config, const char *key);
/* One of `words` (ended by NULL): its index.  Another word is an error that lists them. */
WK_API int wk_config_choice(const wk_config *config, const char *key, const char *const *words, int otherwise);
/* A list of at most `most` numbers or texts (a single value counts as a list of one): how many; 0 where it is missing.
 */
WK_API int wk_config_doubles(const wk_config *config, const char *key, double *values /* (most) */, int most);
WK_API int wk_config_ints(const wk_config *config, const char *key, int64_t *values /* (most) */, int most);
WK_API int wk_config_strings(const wk_config *config, const char *key, const char **values /* (most) */, int most);
/* WK_CONFIG at the member's place in the file (the mapping's, where it is missing). */
WK_API wk_status wk_config_fail(const wk_config *config, const char *key, const char *format, ...) WK_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
