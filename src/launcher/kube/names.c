/* names.c: names that a cluster takes.
 *
 * Objects whose pods have host names may have 63 characters, and the number of the pod must find room behind them.  The
 * end of an app's id is what tells it from others, so what is too long loses its middle.
 */
#include "launcher/kube/kube.h"

#include <ctype.h>
#include <string.h>

void wk__kube_name(const char *text, size_t room, char name[WK__KUBE_NAME + 1]) {
    char clean[512];
    size_t size = 0;
    for (const char *at = text; *at && size + 1 < sizeof clean; at++) {
        bool good = isalnum((unsigned char)*at) != 0;
        if (!good && (size == 0 || clean[size - 1] == '-')) continue;
        clean[size++] = good ? (char)tolower((unsigned char)*at) : '-';
    }
    while (size && clean[size - 1] == '-') size--;
    if (room > WK__KUBE_NAME) room = WK__KUBE_NAME;
    size_t end = size > room ? room / 2 : 0; /* characters kept of the end */
    size_t begin = size > room ? room - end : size;
    while (size > room && begin && clean[begin - 1] == '-') begin--;
    while (end && clean[size - end] == '-') end--;
    (void)snprintf(name, WK__KUBE_NAME + 1, "%.*s%.*s", (int)begin, clean, (int)end, clean + size - end);
    if (!*name) (void)snprintf(name, WK__KUBE_NAME + 1, "w");
    if (!isalpha((unsigned char)name[0])) name[0] = 'w'; /* the name of a Service begins with a letter */
}

void wk__kube_role(const char *role, size_t index, char name[WK__KUBE_NAME + 1]) {
    enum { LONGEST = 24 };
    wk__kube_name(role, LONGEST, name);
    if (strlen(role) > LONGEST) (void)snprintf(name, WK__KUBE_NAME + 1, "r%zu", index);
}

void wk__kube_role_name(const char *app_id, const char *role, size_t index, int64_t replicas,
                        char name[WK__KUBE_NAME + 1]) {
    char number[24];
    char short_role[WK__KUBE_NAME + 1];
    size_t digits = (size_t)snprintf(number, sizeof number, "-%lld", (long long)(replicas > 1 ? replicas - 1 : 0));
    wk__kube_role(role, index, short_role);
    wk__kube_name(app_id, WK__KUBE_NAME - digits - strlen(short_role) - 1, name);
    size_t size = strlen(name);
    (void)snprintf(name + size, WK__KUBE_NAME + 1 - size, "-%s", short_role);
}

void wk__kube_label(const char *text, char label[WK__KUBE_NAME + 1]) {
    size_t size = 0;
    for (const char *at = text; *at && size < WK__KUBE_NAME; at++) {
        bool good = isalnum((unsigned char)*at) || (size && strchr("-_.", *at));
        label[size++] = good ? *at : 'x';
    }
    while (size && !isalnum((unsigned char)label[size - 1])) size--;
    label[size] = '\0';
}
