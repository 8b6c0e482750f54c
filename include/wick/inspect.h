/* wick/inspect.h: looking at the engine from the command line: what `wick op`, `wick ckpt` and `wick devices` run. */
#ifndef WICK_INSPECT_H
#define WICK_INSPECT_H

#include "wick/base.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* op NAME a.safetensors … -o out.safetensors [--attr k=v …] [--grad gout.safetensors], op --list [--json],
 * op --docs FOLDER, op --coverage FILE, op NAME --help.  Gives the process's exit code: 0; 1: an error, which was
 * reported; 2: usage. */
WK_API int wk_op_main(int argc, char **argv);

/* ckpt ls|show|diff|convert|average FILE...: files of named tensors.  Exit codes as above, but 1 of diff where the
 * files differ. */
WK_API int wk_ckpt_main(int argc, char **argv);

/* devices [--json]: the devices of this machine, and why a kind of them cannot be used.  Exit codes as above. */
WK_API int wk_devices_main(int argc, char **argv);

/* The op table: a line an operation, or an array of JSON objects (name, family, doc, inputs, outputs, attributes with
 * type and default, dtypes, differentiable or why not, composite, data_dependent, random, internal). */
WK_API wk_status wk_op_table_print(FILE *out, bool json);

/* How each row runs on the emulated device, as Markdown; wk_free it.  NULL with an error pending where there is no such
 * device. */
WK_API char *wk_op_coverage(void);

/* The op reference as Markdown: FOLDER/FAMILY.md for each family of Wick's own rows, and FOLDER/README.md.  Signatures
 * and comments come from the *.h in `headers` (include/wick/ops).  Errors: WK_IO. */
WK_API wk_status wk_op_docs_write(const char *folder, const char *headers);

#ifdef __cplusplus
}
#endif
#endif
