/* text.c: see text.h. */
#include "train/loggers/text.h"

#include "base/base.h"
#include "io/file.h"

#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static long largest_version(const char *parent) {
    long largest = -1;
    DIR *folder = opendir(parent);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        char *end;
        if (strncmp(entry->d_name, "version_", 8) != 0) continue;
        long version = strtol(entry->d_name + 8, &end, 10);
        if (!*end && end != entry->d_name + 8 && version > largest) largest = version;
    }
    if (folder) (void)closedir(folder);
    return largest;
}

char *wk__version_folder(const char *folder, const char *name, int64_t resumed_step) {
    char *parent = *name ? wk_format("%s/%s", folder, name) : wk_strdup(folder);
    if (!parent) return NULL;
    long version = largest_version(parent);
    if (resumed_step < 0 || version < 0) version++;
    char *path = wk_format("%s/version_%ld", parent, version);
    wk_free(parent);
    if (path && wk__make_folder(path) == WK_OK) return path;
    wk_free(path);
    return NULL;
}

const char *wk__python_float(double value, char text[40]) {
    char digits[40];
    if (!isfinite(value)) return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    /* The fewest digits that give the value again.  A number of up to 15 digits comes back whole when its double is
     * written with 15, so fewer are those 15 without their zeros; but not where a double itself holds fewer. */
    int precision = fabs(value) < DBL_MIN ? 1 : 15;
    do (void)snprintf(digits, sizeof digits, "%.*e", precision - 1, value);
    while (strtod(digits, NULL) != value && ++precision <= 17);
    char *mark = strchr(digits, 'e'), *end = mark;
    const long exponent = strtol(mark + 1, NULL, 10);
    while (precision == 15 && end[-1] == '0') end--;
    if (precision == 15) {
        const int kept = (int)(end - digits) - (*digits == '-') - 1; /* without the point */
        precision = kept > 1 ? kept : 1;
        if (end[-1] == '.') end--;
        memmove(end, mark, strlen(mark) + 1);
    }
    if (exponent >= -4 && exponent < 16) { /* repr's bounds for writing without an exponent */
        int decimals = precision - 1 - (int)exponent;
        (void)snprintf(text, 40, "%.*f", decimals > 1 ? decimals : 1, value);
    } else {
        (void)snprintf(text, 40, "%s", digits);
    }
    return text;
}
