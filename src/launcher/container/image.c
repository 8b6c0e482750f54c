/* image.c: a workspace over an image.
 *
 * The patched image is named after its content, workspace and base, so it is built once.  The workspace's own
 * Dockerfile.torchx (or Dockerfile.wick) says how, with the arguments IMAGE and WORKSPACE; without one it is copied
 * into the working directory of the image.
 */
#include "launcher/container/container.h"

#include <string.h>

enum { BUILD_SECONDS = 3600, ASK_SECONDS = 60 };

const char *wk__container_patched(wk__container_maker *m, size_t role) {
    const wk__request_role *r = &m->request->roles[role];
    const char *image = *m->app->roles[role].image ? m->app->roles[role].image : wk_cfg_string(m->cfg, "image");
    const char *slash = strrchr(r->directory, '/');
    const char *repository = wk_cfg_string(m->cfg, "image_repo");
    if (!r->workspace_count || !slash) return image;
    return wk__arena_text(&m->request->arena, "%s:%s-%08x", repository ? repository : "localhost/wick-patch", slash + 1,
                          (unsigned)(wk__hash(0, image) & 0xFFFFFFFFu));
}

/* Run one of the client's commands; what it says is the error. */
static wk_status run(const char *const *argv, double seconds, const char *what) {
    wk__command c;
    wk_status status = wk__command_run(argv, seconds, &c);
    if (status == WK_OK && c.code != 0) {
        const char *last = c.err.data; /* the last line that says something */
        for (char *at = c.err.data; *at; at++)
            if (*at == '\n' && at[1] && at[1] != '\n') last = at + 1;
        status = wk_fail(WK_STATE, "%s: %.*s", what, (int)strcspn(last, "\n"), last);
    }
    wk__command_free(&c);
    return status;
}

static bool succeeds(const char *const *argv) {
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    bool good = run(argv, ASK_SECONDS, "") == WK_OK;
    (void)wk__error_bind(former);
    return good;
}

static const char *dockerfile(wk_request *r, const char *folder) {
    static const char *const names[] = { "Dockerfile.wick", "Dockerfile.torchx" };
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        const char *path = wk__arena_text(&r->arena, "%s/%s", folder, names[i]);
        if (path && wk__exists(path)) return path;
    }
    static const char text[] = "ARG IMAGE\nFROM $IMAGE\nCOPY . .\n";
    const char *path = wk__arena_text(&r->arena, "%s/workspaces/Dockerfile", wk__state_dir());
    return path && wk__write_file(path, text, sizeof text - 1) == WK_OK ? path : NULL;
}

static wk_status build(wk_request *r, const char *const *patch) {
    const char *program = patch[0];
    const char *folder = patch[1];
    const char *base = patch[2];
    const char *image = patch[3];
    bool pushed = patch[4][0] == 'p';
    const char *what = wk__arena_text(&r->arena, "%s: the image %s", r->scheduler, image);
    const char *const ask[] = { program, "image", "inspect", image, NULL };
    if (succeeds(ask)) return WK_OK;
    const char *file = dockerfile(r, folder);
    const char *base_arg = wk__arena_text(&r->arena, "IMAGE=%s", base);
    if (!file || !base_arg || !what) return wk_error_code();
    const char *const make[] = { program,
                                 "build",
                                 "--quiet",
                                 "--tag",
                                 image,
                                 "--build-arg",
                                 base_arg,
                                 "--build-arg",
                                 "WORKSPACE=.",
                                 "--label",
                                 "torchx.pytorch.org/version=wick",
                                 "--file",
                                 file,
                                 folder,
                                 NULL };
    WK_TRY(run(make, BUILD_SECONDS, what));
    const char *const push[] = { program, "push", image, NULL };
    return pushed ? run(push, BUILD_SECONDS, what) : WK_OK;
}

wk_status wk__container_prepare(const wk_request *request) {
    wk_request *r = (wk_request *)(uintptr_t)request; /* its arena grows */
    WK_TRY(wk__request_copy_workspaces(r));
    const char *const *at = r->patches;
    const char *program = at[0];
    const char *network = at[1];
    if (!strchr(program, '/'))
        return wk_fail(WK_NOT_FOUND, "%s: no program \"%s\"; install it, or run without it: -s local", r->scheduler,
                       program);
    if (*network) {
        const char *const ask[] = { program, "network", "inspect", network, NULL };
        const char *const make[] = { program, "network", "create", network, NULL };
        if (!succeeds(ask)) WK_TRY(run(make, ASK_SECONDS, r->scheduler));
    }
    for (at += 2; *at; at += 5) WK_TRY(build(r, at));
    return WK_OK;
}
