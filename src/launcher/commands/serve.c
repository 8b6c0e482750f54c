/* serve.c: `wick serve-push`: have a TorchServe take up a model archive.
 *
 * TorchServe's management API takes the URL of an archive and fetches it there, so the archive is offered over HTTP
 * while it is asked to (POST /models, https://pytorch.org/serve/management_api.html#register-a-model).
 */
#include "launcher/net/http.h"
#include "launcher/net/offer.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, PORT = 8222, NOT_ALLOWED = 405 };

static const char help[] =
    "usage: wick serve-push --model-path FILE --management-api URL [options]\n"
    "\n"
    "Registers a model archive (.mar) with a TorchServe, which fetches it from this machine.\n"
    "\n"
    "  --model-path FILE        the archive\n"
    "  --management-api URL     of TorchServe: http://127.0.0.1:8081\n"
    "  --port N                 where TorchServe fetches it, 0 for any (8222)\n"
    "  --key-file FILE          key_file.json that a TorchServe writes which asks for a token\n"
    "  --timeout SECONDS        for TorchServe's answer (60)\n"
    "  --params K=V,...         as the options below\n"
    "  --model-name, --handler, --runtime, --batch-size, --max-batch-delay, --initial-workers,\n"
    "  --synchronous, --response-timeout VALUE   TorchServe's own\n"
    "  --dryrun                 say that it works, and do nothing\n"
    "\n"
    "example: wick serve-push --model-path cnn.mar --management-api http://127.0.0.1:8081 --initial-workers 1\n";

static const char *const parameters[] = { "model_name",      "handler",         "runtime",     "batch_size",
                                          "max_batch_delay", "initial_workers", "synchronous", "response_timeout" };

typedef struct options {
    const char *model, *api;
    const char *key_file; /* NULL: no token is sent */
    const char *value[WK_COUNT(parameters)];
    char *split; /* --params, cut at its commas; owned */
    double timeout;
    int port;
    bool dryrun;
} options;

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: serve-push: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

/* ---- the command line ---- */

/* Underscores, as TorchX has them, or hyphens. */
static bool same_name(const char *word, const char *name) {
    for (; *name; word++, name++)
        if (*word != *name && !(*word == '-' && *name == '_')) return false;
    return *word == '\0';
}

static bool set_parameter(options *o, const char *name, const char *value) {
    for (size_t i = 0; i < WK_COUNT(parameters); i++)
        if (same_name(name, parameters[i])) {
            o->value[i] = value;
            return true;
        }
    return false;
}

static int set_parameters(options *o, const char *text) {
    wk_free(o->split);
    o->split = wk_strdup(text);
    char *rest = NULL;
    for (char *pair = o->split ? strtok_r(o->split, ",", &rest) : NULL; pair; pair = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(pair, '=');
        if (!equals) return usage("--params takes K=V,…, not", pair);
        *equals = '\0';
        if (!set_parameter(o, pair, equals + 1)) return usage("TorchServe has no parameter", pair);
    }
    return -1;
}

static bool read_number(const char *text, double most, double *number) {
    char *end = NULL;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number >= 0 && *number <= most;
}

static int set_option(options *o, const char *name, const char *value) {
    double number = 0;
    if (same_name(name, "model_path"))
        o->model = value;
    else if (same_name(name, "management_api"))
        o->api = value;
    else if (same_name(name, "key_file"))
        o->key_file = *value ? value : NULL; /* empty from the component: none */
    else if (same_name(name, "params"))
        return set_parameters(o, value);
    else if (same_name(name, "timeout"))
        return read_number(value, 86400, &o->timeout) ? -1 : usage("--timeout takes seconds, not", value);
    else if (same_name(name, "port")) {
        if (!read_number(value, 65535, &number)) return usage("--port takes 0 to 65535, not", value);
        o->port = (int)number;
    } else if (!set_parameter(o, name, value))
        return usage("unknown option", name);
    return -1;
}

/* -1: go on, else the exit code. */
static int read_options(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(help, stdout) < 0;
        if (strncmp(argv[i], "--", 2) != 0) return usage("unexpected", argv[i]);
        if (strcmp(argv[i], "--dryrun") == 0) {
            o->dryrun = true;
            continue;
        }
        if (i + 1 == argc) return usage("expected a word behind", argv[i]);
        const int code = set_option(o, argv[i] + 2, argv[i + 1]);
        if (code >= 0) return code;
        i++;
    }
    if (!o->model || !o->api) return usage("--model-path and --management-api are needed", "");
    return -1;
}

/* ---- the request ---- */

static void add_encoded(wk_text *to, const char *text) {
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~", c))
            wk_text_add(to, text, 1);
        else
            wk_text_printf(to, "%%%02X", c);
    }
}

/* Host and port of http://HOST[:PORT][/…]; an IPv6 address stands in brackets. */
static wk_status split_url(const char *url, char host[256], char port[16]) {
    const bool tls = strncmp(url, "https://", 8) == 0;
    const char *at = tls ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    const bool is_six = at && *at == '[';
    const size_t size = at ? strcspn(at + is_six, is_six ? "]" : ":/") : 0;
    if (size == 0 || size > 255)
        return wk_fail(WK_INVALID, "%s: expected http://HOST:PORT of TorchServe's management API", url);
    (void)snprintf(host, 256, "%.*s", (int)size, at + is_six);
    const char *rest = at + is_six + size + is_six;
    if (*rest == ':')
        (void)snprintf(port, 16, "%.*s", (int)strspn(rest + 1, "0123456789"), rest + 1);
    else
        (void)snprintf(port, 16, "%s", tls ? "443" : "80");
    return WK_OK;
}

static char *request_path(const options *o, const char *url) {
    wk_text path = { 0 };
    wk_text_puts(&path, "/models?url=");
    add_encoded(&path, url);
    for (size_t i = 0; i < WK_COUNT(parameters); i++) {
        if (!o->value[i]) continue;
        wk_text_printf(&path, "&%s=", parameters[i]);
        add_encoded(&path, o->value[i]);
    }
    if (path.failed) wk_text_free(&path);
    return path.data;
}

/* The key for its management API out of TorchServe's file: {"management": {"key": …, "expiration time": …}, …}.
 * NULL: error set; else to be freed with wk_free. */
static char *read_key(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    const char *key = json_string_value(json_object_get(json_object_get(root, "management"), "key"));
    char *copy = key ? wk_strdup(key) : NULL;
    if (!root)
        (void)wk_fail(WK_INVALID, "%s: %s; expected the key_file.json of a TorchServe", path, error.text);
    else if (!key)
        (void)wk_fail(WK_INVALID, "%s: expected {\"management\": {\"key\": …}}, as TorchServe writes it", path);
    json_decref(root);
    return copy;
}

static wk_status ask(const options *o, const char *url, const char *key) {
    char base[1024];
    wk__http_answer reply = { 0 };
    (void)snprintf(base, sizeof base, "%s", o->api);
    for (size_t size = strlen(base); size > 0 && base[size - 1] == '/'; size--) base[size - 1] = '\0';
    const wk__http_server server = { .base = base, .token = key, .timeout = o->timeout };
    char *path = request_path(o, url);
    wk_status status = path ? wk__http_request(&server, "POST", path, NULL, NULL, &reply) : wk_error_code();
    wk_free(path);
    if (status != WK_OK) return status;
    if (reply.status / 100 == 2)
        (void)printf("%s\n", wk_text_get(&reply.body));
    else
        status =
            wk_fail(WK_IO, "%s answered %ld%s: %.400s", o->api, reply.status,
                    reply.status == NOT_ALLOWED ? " (TorchServe takes models if started with --enable-model-api)" : "",
                    wk_text_get(&reply.body));
    wk_text_free(&reply.body);
    return status;
}

static wk_status push(const options *o) {
    char host[256], port[16], url[400], id[64], name[80];
    WK_TRY(split_url(o->api, host, port));
    /* The name ends up in TorchServe's store; drawn, so that two pushes do not meet there. */
    WK_TRY(wk_make_unique("model", id, sizeof id));
    (void)snprintf(name, sizeof name, "%s.mar", id);
    const char *file = strncmp(o->model, "file://", 7) == 0 ? o->model + 7 : o->model;
    char *key = o->key_file ? read_key(o->key_file) : NULL;
    if (o->key_file && !key) return wk_error_code();
    wk__offer *offer = wk__offer_open(file, name, host, port, o->port, url, sizeof url);
    if (offer) (void)fprintf(stderr, "wick: %s is offered at %s\n", file, url);
    wk_status status = offer ? ask(o, url, key) : wk_error_code();
    wk__offer_close(offer);
    wk_free(key);
    return status;
}

int wk_serve_push_main(int argc, char **argv) {
    options o = { .timeout = 60, .port = PORT };
    int code = read_options(argc, argv, &o);
    if (code < 0 && o.dryrun) code = printf("serve-push: nothing was done\n") < 0;
    if (code < 0) code = push(&o) == WK_OK ? 0 : 1;
    if (code == 1 && wk_failed()) (void)wk_report(stderr);
    wk_free(o.split);
    return code;
}
