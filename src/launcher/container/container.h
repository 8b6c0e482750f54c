/* container.h: the schedulers `podman` and `docker`: each replica in a container of this machine.
 *
 * They are `local` with another program: a replica's wrapper starts `podman run …` in place of the program itself, so
 * gangs, restarts, logs, states and ends are those of local.  container.c has the options, command.c the words of a
 * run, image.c lays a workspace over an image.
 */
#ifndef WICK_SRC_LAUNCHER_CONTAINER_H
#define WICK_SRC_LAUNCHER_CONTAINER_H

#include "launcher/launcher.h"

typedef struct wk__container_maker {
    wk_request *request;
    const wk_appdef *app;
    const wk_cfg *cfg;
    const char *program; /* path of podman or docker */
    bool docker;
    const char **images; /* (roles): what to run, the patched one where there is a workspace */
} wk__container_maker;

/* Replace the programs of every replica by what starts them in containers. */
wk_status wk__container_commands(wk__container_maker *m);
/* "name", at most 63 characters: the end of the app's id, the role, the number. */
void wk__container_name(const char *app_id, const char *role, int replica, char name[64]);

/* The name of an image with a workspace over it: the same for the same content. */
const char *wk__container_patched(wk__container_maker *m, size_t role);
/* Build the patched images that are not there, push them where a repository is named; make the network. */
wk_status wk__container_prepare(const wk_request *request);

#endif
