/* csv.c: numbers of a run's metrics.csv. */
#include "support/csv.h"

#include "support/program.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

double csv_value(const char *path, const char *column, bool first) {
    char *csv = read_bytes(path, NULL), *rest = NULL;
    double value = -1;
    int at = -1, k = 0;
    cr_assert_not_null(csv, "no %s", path);
    char *header = strtok_r(csv, "\r\n", &rest);
    for (char *name = header, *end; name; name = end ? end + 1 : NULL, k++) {
        end = strchr(name, ',');
        if (end) *end = '\0';
        if (strcmp(name, column) == 0) at = k;
    }
    cr_assert_geq(at, 0, "%s: no column %s", path, column);
    for (char *line; (line = strtok_r(NULL, "\r\n", &rest));) {
        for (k = 0; k < at && line; k++) line = strchr(line, ',') ? strchr(line, ',') + 1 : NULL;
        if (!line || !*line || *line == ',') continue;
        value = strtod(line, NULL);
        if (first) break;
    }
    free(csv);
    return value;
}
