/* file_server.h: a file server with bad days (files/server.py), for the time of a test. */
#ifndef WICK_TESTS_LAUNCHER_FILE_SERVER_H
#define WICK_TESTS_LAUNCHER_FILE_SERVER_H

#include "launcher/harness.h"

/* Fixtures: a state directory and the server; its end. */
void file_server_begin(void);
void file_server_end(void);
/* "http://127.0.0.1:PORT" and "https://…". */
const char *http_base(void);
const char *https_base(void);
/* BASE/REST, in one of eight places that are used in turn. */
const char *at(const char *base, const char *rest);
/* A file of the server, put there or read ("" if there is none; free with wk_free). */
void serve_text(const char *name, const char *text);
char *served(const char *name);
/* How many requests were logged that begin so ("PUT /a"); and the whole log. */
int requests(const char *begin);
char *request_log(void);

#endif
