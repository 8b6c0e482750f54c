/* offer.h: one file, over HTTP, for a server that fetches it by its URL. */
#ifndef WICK_SRC_LAUNCHER_OFFER_H
#define WICK_SRC_LAUNCHER_OFFER_H

#include "launcher/launcher.h"

typedef struct wk__offer wk__offer;
/* Offer `path` (not owned) as `name` at the address of this machine that leads to host:port (so nobody hears of it whom
 * that network does not reach); own_port 0: any.  Its URL is in `url`.  Errors: WK_IO with what is wrong. */
wk__offer *wk__offer_open(const char *path, const char *name, const char *host, const char *port, int own_port,
                          char *url, size_t size);
/* The answer under way is cut off. */
void wk__offer_close(wk__offer *offer);

#endif
