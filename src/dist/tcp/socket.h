/* socket.h: listeners and connections. */
#ifndef WICK_SRC_DIST_TCP_SOCKET_H
#define WICK_SRC_DIST_TCP_SOCKET_H

#include "dist/tcp/wire.h"

#include <sys/socket.h>

/* Listen for IPv4 and, where there is, IPv6; port 0 becomes the one it got.  -1 with errno. */
int wk__tcp_listen(int *port);
/* Not blocking, or -1 with errno; waits until `end` at most. */
int wk__tcp_connect(const struct sockaddr *address, socklen_t size, double end);
/* Each of the host's addresses in turn. */
int wk__tcp_connect_name(const char *host, int port, double end);
/* Where a seat is, told by rank 0, to which `to_first` is a connection. */
int wk__tcp_connect_seat(const wk__seat *seat, int to_first, double end);
/* The other end's address, for a seat: family 0 where it is this machine's own loop. */
void wk__tcp_peer(int fd, wk__seat *seat);
/* "10.0.0.7" of the other end. */
void wk__tcp_peer_text(int fd, char *text, size_t size);
/* Messages go at once, and a machine that went away is noticed within 8 s of silence. */
void wk__tcp_prepare(int fd);
/* All bytes, or false with errno (0: closed) when that cannot be before `end`. */
bool wk__tcp_write(int fd, const void *bytes, size_t size, double end);
bool wk__tcp_read(int fd, void *bytes, size_t size, double end);

#endif
