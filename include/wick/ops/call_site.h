/* wick/ops/call_site.h: where a call stands.
 *
 * Each operation is a function and also a macro that notes file and line first, so that an error can say where the call
 * stands.  Taking a function's address works as always, for the macros need an argument list.
 */
#ifndef WICK_OPS_CALL_SITE_H
#define WICK_OPS_CALL_SITE_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

WK_API void wk_note_call(const char *where);
#define WK_HERE_TEXT(line) #line
#define WK_HERE_LINE(line) WK_HERE_TEXT(line)
#define WK_HERE            wk_note_call(__FILE__ ":" WK_HERE_LINE(__LINE__))

#ifdef __cplusplus
}
#endif
#endif
