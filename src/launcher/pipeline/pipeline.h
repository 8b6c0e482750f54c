/* pipeline.h: AppDefs that run one after the other, or side by side.
 *
 * A pipeline is read into *stages*, each an app with the stages it comes after (load.c): fan-outs and pipelines within
 * are spread out then, so that everything behind knows only a graph.  text.c replaces ${{…}}, app.c makes a stage's
 * AppDef, run.c runs the graph, record.c keeps what happened so that a killed run goes on, cache.c knows what need not
 * run again, show.c and svg.c draw, kubeflow.c and airflow.c write it for others.
 */
#ifndef WICK_SRC_LAUNCHER_PIPELINE_H
#define WICK_SRC_LAUNCHER_PIPELINE_H

#include "launcher/launcher.h"

typedef enum wk__stage_state {
    WK__STAGE_WAITING,
    WK__STAGE_RUNNING,
    WK__STAGE_SUCCEEDED,
    WK__STAGE_CACHED,
    WK__STAGE_FAILED,
    WK__STAGE_SKIPPED,
    WK__STAGE_STATES
} wk__stage_state;
extern const char *const wk__stage_words[WK__STAGE_STATES];

typedef enum wk__stage_when { WK__WHEN_SUCCESS, WK__WHEN_FAILURE, WK__WHEN_ALWAYS } wk__stage_when;

typedef struct wk__stage {
    const char *name;           /* "train", "train-0" of a fan-out, "sub.train" of a pipeline within */
    const char *written;        /* the same without the number */
    const wk__yaml_node *node;  /* as written */
    const wk__yaml_node *each;  /* its value of a fan-out, or NULL */
    const wk__yaml_node *scope; /* parameters it sees */
    const char *prefix;         /* "sub." of names that it uses */
    const char *file;           /* it stands in; file names in it are relative to that */
    size_t *after, after_count; /* indices of earlier stages */
    wk__stage_when when;
    int64_t retries;
    bool cache, adds, extended;  /* extended: what it added has been read */
    const char *scheduler, *cfg; /* NULL: local, none */
    wk_pair *outputs;            /* name -> URL */
    size_t output_count;
    wk__stage_state state;
    int attempt;
    char handle[256], key[40]; /* of its app; of the cache */
} wk__stage;

typedef struct wk__pipeline {
    wk__arena arena;
    wk__yaml *doc;       /* the file that was named */
    wk__yaml *files[64]; /* others */
    size_t file_count;
    const char *name, *id, *directory; /* where outputs and records lie */
    bool fail_fast;
    wk__stage *stages;
    size_t count, room;
} wk__pipeline;

/* From a file, with parameters "NAME=VALUE" in place of its own; outputs lie below `directory`. */
WK_API wk__pipeline *wk__pipeline_load(const char *path, const char *const *parameters, size_t count,
                                       const char *directory);
WK_API void wk__pipeline_free(wk__pipeline *pipeline);
/* Stages of a list, put behind those there are; after: what each comes after if it says nothing (SIZE_MAX: nothing). */
wk_status wk__pipeline_add(wk__pipeline *p, wk__yaml *file, const wk__yaml_node *list, const wk__stage *like,
                           size_t after);

/* A copy of the tree with ${{NAME}} replaced: parameters, `each`, STAGE.OUTPUT, out.OUTPUT. */
wk__yaml_node *wk__pipeline_fill(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, const wk__yaml_node *node);
/* The AppDef of a stage; free with wk_appdef_free. */
wk_appdef *wk__pipeline_app(wk__pipeline *p, wk__stage *stage);

/* What happened, in <directory>/record.json. */
wk_status wk__pipeline_write(const wk__pipeline *p);
/* States of a run that went before; stages that were added are added again. */
wk_status wk__pipeline_read(wk__pipeline *p);
/* The stages that a stage wrote into <directory>/NAME.stages.yaml. */
wk_status wk__pipeline_extend(wk__pipeline *p, size_t stage);
char *wk__pipeline_stages_file(const wk__pipeline *p, const wk__stage *stage);

/* A stage's name among all that ever ran: what it is made of and what its inputs hold. */
wk_status wk__cache_key(wk__pipeline *p, wk__stage *stage);
/* Take its outputs from an earlier run; false if there is none. */
bool wk__cache_find(wk__pipeline *p, wk__stage *stage);
wk_status wk__cache_keep(const wk__stage *stage);

/* Run it to its end; WK_STATE if a stage failed.  jobs: most stages at once, 0: no limit. */
wk_status wk__pipeline_run(wk__pipeline *p, int jobs);

/* Free with wk_free. */
WK_API char *wk__pipeline_tree(const wk__pipeline *p);
WK_API char *wk__pipeline_svg(const wk__pipeline *p);
WK_API char *wk__pipeline_kubeflow(wk__pipeline *p);
WK_API char *wk__pipeline_airflow(wk__pipeline *p);
WK_API char *wk__kubeflow_component(const wk_appdef *app);

#endif
